package diag

// An Entry explains a code. docs/errors.md is made of them.
type Entry struct {
	Code        Code
	Title       string // what is wrong, a few words
	Explanation string // why it is refused or reported
	Fix         string // what to do
}

// Catalog returns every code there is, in order.
func Catalog() []Entry {
	return []Entry{}
}
