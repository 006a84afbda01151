package plan

import (
	"net/netip"
	"slices"
	"strings"
	"unsafe"
)

// comparedLists remembers how two lists differ, by where they lie: what a thousand gateways share is compared once.
type comparedLists map[listPair]string

type listPair struct {
	before, after *netip.Prefix
	was, is       int // how long they are
}

// lists notes a change between two sets of prefixes, and nothing where they are the same.
func (c *changes) lists(object string, before, after []netip.Prefix) {
	if detail := c.known.differ(before, after); detail != "" {
		c.note(Alter, object, detail)
	}
}

// differ says what came and what went, "" where the lists are the same.
func (known comparedLists) differ(before, after []netip.Prefix) string {
	p := listPair{unsafe.SliceData(before), unsafe.SliceData(after), len(before), len(after)}
	detail, done := known[p]
	if !done {
		detail = differ(before, after, few)
		known[p] = detail
	}
	return detail
}

// differ says what came and what went, in the words of few, and "" where both lists hold the same.
func differ[T comparable](before, after []T, few func([]T) string) string {
	var parts []string
	if come := onlyIn(after, before); len(come) > 0 {
		parts = append(parts, "+ "+few(come))
	}
	if gone := onlyIn(before, after); len(gone) > 0 {
		parts = append(parts, "- "+few(gone))
	}
	return strings.Join(parts, ", ")
}

// onlyIn returns what is in a and not in b.
func onlyIn[T comparable](a, b []T) []T {
	if slices.Equal(a, b) {
		return nil
	}
	in := make(map[T]bool, len(b))
	for _, p := range b {
		in[p] = true
	}
	return slices.DeleteFunc(slices.Clone(a), func(p T) bool { return in[p] })
}
