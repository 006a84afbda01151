package diag

// lab returns the codes RW5xxx: the lab.
func lab() []Entry {
	return []Entry{}
}
