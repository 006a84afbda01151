package diag

import "slices"

// An Entry explains a code. docs/errors.md is made of them.
type Entry struct {
	Code        Code
	Title       string // what is wrong, a few words
	Explanation string // why it is refused or reported
	Fix         string // what to do
}

// Catalog returns every code there is, in order. A code that was ever released keeps its meaning, or is never used again.
func Catalog() []Entry {
	return slices.Concat(
		fabricFile(),  // RW1xxx
		planAndLock(), // RW2xxx
		proof(),       // RW3xxx
		agent(),       // RW4xxx
		lab(),         // RW5xxx
		commandLine(), // RW6xxx
		controller(),  // RW70xx
		authority(),   // RW71xx
		cluster(),     // RW72xx
		rollouts(),    // RW73xx
		auditLog(),    // RW74xx
		changing(),    // RW75xx
		bounds(),      // RW76xx
		signing(),     // RW78xx
	)
}

// Explain returns the entry of a code; ok is false where there is none.
func Explain(code Code) (entry Entry, ok bool) {
	all := Catalog()
	i := slices.IndexFunc(all, func(e Entry) bool { return e.Code == code })
	if i < 0 {
		return Entry{}, false
	}
	return all[i], true
}
