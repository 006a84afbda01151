package diag

// agent returns the codes RW4xxx: the agent of a gateway.
func agent() []Entry {
	return []Entry{}
}
