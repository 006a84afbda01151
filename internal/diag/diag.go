// Package diag is how Ropeway says that something is wrong.
//
// A Problem names the object, the place in the file, what is wrong and the next thing to do, under a code that never changes
// its meaning (see Catalog). A List collects the problems of one run, so that a person mends a file in one pass. Text that came
// from a user enters a message through Quote only: nothing that a file says can move a cursor, break a log line or hide text.
package diag

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// A Code names a kind of problem for ever: "RW1203".
type Code string

// A Severity says whether a problem stops the work.
type Severity string

const (
	Error   Severity = "error"   // nothing goes on until it is mended
	Warning Severity = "warning" // worth knowing; nothing stops
)

// A Position is a place in a file. Line and Column count from 1; a zero Line means that no place is known.
type Position struct {
	File   string `json:"file,omitempty"`
	Line   int    `json:"line,omitempty"`
	Column int    `json:"column,omitempty"`
}

// String returns "file:line:column", as far as it is known.
func (p Position) String() string {
	switch {
	case p.Line == 0:
		return p.File
	case p.File == "":
		return fmt.Sprintf("%d:%d", p.Line, p.Column)
	}
	return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Column)
}

// A Problem is one thing that is wrong, and an error.
type Problem struct {
	Code     Code     `json:"code"`
	Severity Severity `json:"severity"`
	Subject  string   `json:"subject"` // the object: "gateway use1-a"
	Message  string   `json:"message"` // what is wrong
	Hint     string   `json:"hint"`    // the next thing to do
	Position Position `json:"position,omitzero"`
}

// Error returns one line: "fabric.yaml:12:7: RW1203 gateway use1-a: endpoint … (give it …)".
func (p Problem) Error() string {
	var b strings.Builder
	if at := p.Position.String(); at != "" {
		b.WriteString(at + ": ")
	}
	b.WriteString(string(p.Code) + " ")
	if p.Severity == Warning {
		b.WriteString("warning: ")
	}
	if p.Subject != "" {
		b.WriteString(p.Subject + ": ")
	}
	b.WriteString(p.Message)
	if p.Hint != "" {
		b.WriteString(" (" + p.Hint + ")")
	}
	return b.String()
}

// A List is the problems of one run, and an error where it holds one of severity Error.
type List []Problem

// Error returns a line per problem.
func (l List) Error() string {
	lines := make([]string, len(l))
	for i, p := range l {
		lines[i] = p.Error()
	}
	return strings.Join(lines, "\n")
}

// Err returns the list as an error, or nil where it holds nothing of severity Error.
func (l List) Err() error {
	if l.Failed() {
		return l
	}
	return nil
}

// Failed reports whether the list holds a problem of severity Error.
func (l List) Failed() bool {
	return slices.ContainsFunc(l, func(p Problem) bool { return p.Severity != Warning })
}

// Sort orders the list by place, then code, then subject and message, and drops exact repetitions.
func (l *List) Sort() {
	slices.SortStableFunc(*l, func(a, b Problem) int {
		return cmp.Or(
			cmp.Compare(a.Position.File, b.Position.File),
			cmp.Compare(a.Position.Line, b.Position.Line),
			cmp.Compare(a.Position.Column, b.Position.Column),
			cmp.Compare(a.Code, b.Code),
			cmp.Compare(a.Subject, b.Subject),
			cmp.Compare(a.Message, b.Message),
		)
	})
	*l = slices.Compact(*l)
}

// maxQuoted bounds how much of a user's text a message repeats, in bytes.
const maxQuoted = 80

// Quote makes text from outside safe to print: in quotes, in ASCII, everything else escaped, cut at 80 bytes.
func Quote(s string) string {
	if len(s) > maxQuoted {
		s = s[:maxQuoted] + "…"
	}
	return strconv.QuoteToASCII(s)
}
