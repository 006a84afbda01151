package diag

// planAndLock returns the codes RW2xxx: lock file, plans and keys.
func planAndLock() []Entry {
	return []Entry{
		{"RW2001", "The lock file cannot be read",
			"The lock file remembers addresses, public keys and what was last accepted. It is written by Ropeway only; text that it would not write may be the rest of a merge or a file cut short, and guessing what it meant could renumber a running fabric.",
			"Restore it from version control. Where there never was one, delete it: the next plan starts afresh."},
		{"RW2002", "The lock file contradicts itself",
			"Two gateways hold the same number or key, or two places the same ordinal. That happens when two branches each added something and were merged line by line.",
			"Keep one side of the merge as it was and run plan again: what is missing gets new numbers."},
	}
}
