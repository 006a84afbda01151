package diag

// fabricFile returns the codes RW1xxx: what is wrong with a fabric file.
func fabricFile() []Entry {
	return []Entry{
		{"RW1203", "Two prefixes overlap",
			"An address belongs to exactly one place: otherwise nobody could say where a packet for it goes, and WireGuard would silently give it to the peer that was configured last.",
			"Shorten or remove one of the two, or renumber one of the places."},
	}
}
