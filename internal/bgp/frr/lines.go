package frr

import (
	"slices"
	"strings"
)

// A line is one thing that FRR is told, where it is told, and how it is told to forget it. Two lines of one key are one thing: the later takes the earlier's place.
type line struct {
	context string // the line below which it stands: "router bgp 65001"; "": at the top
	set     string
	unset   string // "": it goes with the context, or is never taken back
	key     string
	mark    string // of a password: what tells it from another, and is shown to nobody
}

// A script is a configuration: lines in the order in which each knows what it names. Policies are named by what they say, so none ever changes: a neighbour is given
// another one instead, and never has half of one.
type script struct {
	router string // the context of all that is bgpd's
	lines  []line
	known  map[string]bool // contexts and keys that are there
}

func (s *script) add(context, set, unset, key string) {
	id := context + "\n" + key
	if !s.known[id] {
		s.known[id] = true
		s.lines = append(s.lines, line{context: context, set: set, unset: unset, key: key})
	}
}

// simple adds a line that is taken back by "no" before it.
func (s *script) simple(context, set string) { s.add(context, set, "no "+set, set) }

// text returns all lines as vtysh reads them, without passwords.
func (s *script) text() string { return write(s.lines, nil) }

// String returns a line for people.
func (l line) String() string { return strings.TrimPrefix(l.context+separator+l.set, separator) }

// write returns lines as vtysh reads them, with passwords in their places.
func write(lines []line, passwords map[string]string) string {
	var b strings.Builder
	context := ""
	for _, l := range lines {
		if l.context != context {
			leave(&b, context)
			enter(&b, l.context)
			context = l.context
		}
		set := l.set
		if l.mark != "" {
			for placeholder, secret := range passwords {
				set = strings.Replace(set, placeholder, secret, 1)
			}
		}
		b.WriteString(strings.Repeat(" ", depth(context)) + set + "\n")
	}
	leave(&b, context)
	return b.String()
}

// separator stands between the lines of a context within a context.
const separator = " / "

func depth(context string) int {
	if context == "" {
		return 0
	}
	return strings.Count(context, separator) + 1
}

func enter(b *strings.Builder, context string) {
	if context != "" {
		for i, l := range strings.Split(context, separator) {
			b.WriteString(strings.Repeat(" ", i) + l + "\n")
		}
	}
}

func leave(b *strings.Builder, context string) {
	switch {
	case context == "":
	case strings.Contains(context, "address-family"):
		b.WriteString(" exit-address-family\nexit\n!\n")
	default:
		b.WriteString("exit\n!\n")
	}
}

// difference returns the lines that come, and those that go, in the order in which they can. A line whose key stays is no line that goes: the new one takes its place.
func difference(last, next []line) (come, gone []line) {
	type id struct{ context, key string }
	was, is := map[line]bool{}, map[id]bool{}
	for _, l := range last {
		was[l] = true
	}
	for _, l := range next {
		is[id{l.context, l.key}] = true
		if !was[l] {
			come = append(come, l)
		}
	}
	for _, l := range last {
		if !is[id{l.context, l.key}] {
			gone = append(gone, l)
		}
	}
	return come, reversed(gone) // who names something goes before what is named
}

// watchContext begins the context of a sibling.
const watchContext = "bfd" + separator + "peer "

// forget returns what takes lines back. With a neighbour goes all that was said of it, and with a route map all its entries.
func forget(gone []line, next *script) (out []line) {
	contexts, neighbors, done := map[string]bool{}, map[string]bool{}, map[string]bool{}
	for _, l := range next.lines {
		contexts[l.context] = true
	}
	for _, l := range gone {
		if strings.HasPrefix(l.unset, "no neighbor ") && l.unset == "no "+l.key {
			neighbors[l.key+" "] = true
		}
	}
	for _, l := range gone {
		word, name, _ := strings.Cut(l.context, " ")
		switch {
		case word == "route-map" && !contexts[l.context]:
			name, _, _ = strings.Cut(name, " ")
			if !done[name] {
				done[name] = true
				out = append(out, line{set: "no route-map " + name})
			}
		case strings.HasPrefix(l.context, watchContext) && !contexts[l.context]:
			if !done[l.context] {
				done[l.context] = true
				out = append(out, line{context: "bfd", set: "no " + strings.TrimPrefix(l.context, "bfd"+separator)})
			}
		case l.unset == "" || within(neighbors, l):
		default:
			out = append(out, line{context: l.context, set: l.unset})
		}
	}
	slices.SortStableFunc(out, func(a, b line) int { return depth(b.context) - depth(a.context) }) // policies go after those who have them
	return out
}

// within reports whether a line is of a neighbour that goes, and goes with it.
func within(neighbors map[string]bool, l line) bool {
	for n := range neighbors {
		if strings.HasPrefix(l.key, n) {
			return true
		}
	}
	return false
}

// partition parts the lines that are bgpd's alone from all others.
func partition(lines []line) (routers, others []line) {
	for _, l := range lines {
		if strings.HasPrefix(l.context, routerWord) {
			routers = append(routers, l)
		} else {
			others = append(others, l)
		}
	}
	return routers, others
}

func reversed(lines []line) []line {
	out := slices.Clone(lines)
	slices.Reverse(out)
	return out
}
