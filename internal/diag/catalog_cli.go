package diag

// commandLine returns the codes RW6xxx: the command line.
func commandLine() []Entry {
	return []Entry{}
}
