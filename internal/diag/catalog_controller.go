package diag

// controller returns the codes RW70xx: the controller, and those who belong to it.
func controller() []Entry {
	return []Entry{
		{"RW7001", "The fabric has moved",
			"Somebody else changed the fabric after you looked at the difference that you want to apply: what you looked at is not what would happen.",
			"Look at the difference again, and apply once more. ropeway get revisions shows who changed what."},
		{"RW7002", "The file is of another fabric",
			"A controller keeps one fabric, by name. Another name may be a slip, and the fabric of the file would replace this one whole.",
			"Apply the file to the controller of its own fabric, or mend metadata.name."},
		{"RW7003", "The proof of a change fails",
			"A change whose proof fails is not applied: the message names the codes of what was found, or tests where a test of the file does not hold.",
			"Mend what the proof names. If it has to be, apply with --override CODE --reason …; both are recorded."},
		{"RW7004", "An override without a reason",
			"Whoever reads the history later has to see why a change was applied whose proof failed.",
			"Add --reason with a sentence."},
		{"RW7005", "The token was not taken",
			"A token serves once. This one is no token as it was printed, was used, has expired or was revoked; or nobody answered who is the controller that the token names.",
			"Check the address of the controller and copy the token whole. An administrator makes another with ropeway token create."},
		{"RW7006", "You have not logged in",
			"The command speaks with a controller, and this user belongs to none.",
			"ropeway login URL --token TOKEN; an administrator makes the token."},
		{"RW7007", "The controller does not answer",
			"Nobody answers at its address, or it has no store to work with: most of its members are down, for example. Gateways go on as they are.",
			"Check that it is up, and the network on the way. Nothing was changed."},
		{"RW7008", "You may not do that",
			"Your certificate is for a role that may not call this, you are no member any more, or the certificate is not of this controller.",
			"Ask an administrator for a token of the role that it takes: ropeway token create --operator NAME."},
		{"RW7009", "The controller refused",
			"The controller understood and said no, or failed; its own words follow.",
			"Do what the message says. Nothing was changed."},
		{"RW7010", "The controller does not know that call",
			"The command is of a later version than the controller that answered, and asks for something that came since.",
			"Upgrade the controllers, one after the other; or use the command line of their version."},
	}
}
