package diag

// planAndLock returns the codes RW2xxx: lock file, plans and keys.
func planAndLock() []Entry {
	return []Entry{}
}
