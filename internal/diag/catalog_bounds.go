package diag

// bounds returns the codes RW76xx: what one may cost a controller, and what those may who are bound to places.
func bounds() []Entry {
	return []Entry{
		{"RW7601", "Too many calls",
			"One member, or one address without a certificate, called more often than a controller answers one of them. Others are answered as ever.",
			"Wait a moment. A program should wait longer after each refusal, and not for the same time as its copies elsewhere."},
		{"RW7602", "Too many calls at once",
			"As many calls of this member, or of this address without a certificate, as one may have are being answered at this moment.",
			"Wait for their answers before making more."},
		{"RW7603", "A request is too large",
			"A controller takes what a fabric file of many thousand gateways needs from people, and much less from gateways and from those whom it does not know.",
			"Check that the right file was sent."},
		{"RW7604", "The change touches what is not yours",
			"You are bound to places, and may change what belongs to them alone: their gateways, provider and underlay, and segments, links, access entries and tests between them. What addresses a place has, its part in the topology, and whatever reaches beyond your places is for somebody who is bound to none.",
			"Begin from the file as it is in force and change only that, or ask somebody who is bound to no place to apply it."},
		{"RW7605", "An override by somebody who is bound to places",
			"What of the proof fails may concern places that are not yours, so whoever is bound to places may apply only what is proven.",
			"Mend what the proof names, or ask somebody who is bound to no place."},
		{"RW7606", "Nobody can be bound so",
			"A token binds a viewer or an operator to places by their names. A gateway has its own place, and an administrator could make himself a token without places.",
			"Use --place with --viewer or --operator, and names as in the fabric file."},
	}
}
