package diag

// proof returns the codes RW3xxx: what a proof found.
func proof() []Entry {
	return []Entry{}
}
