package compile

import (
	"encoding/binary"
	"net/netip"
	"slices"

	"ropeway/internal/fabric"
	"ropeway/internal/intent"
	"ropeway/internal/prefixes"
)

// needs answers what a place needs of another: the other's prefixes that any access rule lets it talk to, or be talked to by.
// Places that stand in the same rules on the same sides, with addresses of the same families, need the same of everybody, so they form a
// class, and answers are made once per class and shared.
type needs struct {
	rules   []rule
	class   []int              // by place number
	members [][]int            // rules of each class, as members encode them
	speaks  []families         // of each class
	of      [][][]netip.Prefix // [class][place]
	touched [][]netip.Prefix   // [class]: everything that the class's rules name
}

// families are those of IP that a place has addresses of: no packet is of two.
type families byte

const (
	ipv4 families = 1 << iota
	ipv6
)

func familiesOf(list []netip.Prefix) (f families) {
	for _, p := range list {
		f |= familyOf(p)
	}
	return f
}

func familyOf(p netip.Prefix) families {
	if p.Addr().Is4() {
		return ipv4
	}
	return ipv6
}

// of returns the prefixes of a list that are of these families: the very list where all are.
func (f families) of(list []netip.Prefix) []netip.Prefix {
	if familiesOf(list)&^f == 0 {
		return list
	}
	return slices.DeleteFunc(slices.Clone(list), func(p netip.Prefix) bool { return familyOf(p)&f == 0 })
}

// A rule is an access entry, each side whole and sorted by place.
type rule struct {
	services       []fabric.Service
	fromAll, toAll []netip.Prefix
	from, to       [][]netip.Prefix // by place number; nil where the place has no part in it
}

func newNeeds(in *intent.Fabric, g *graph) *needs {
	n := &needs{class: make([]int, len(g.places))}
	owner := newOwners(g.places)
	for i := range in.Access {
		a := &in.Access[i]
		from, to := a.From.Prefixes, a.To.Prefixes
		n.rules = append(n.rules, rule{a.Services, from, to, owner.split(from), owner.split(to)})
	}
	byMembers := map[string]int{}
	for p := range g.places {
		var members []int
		speaks := familiesOf(g.places[p].Prefixes)
		id := []byte{byte(speaks)}
		for i, r := range n.rules {
			for side, parts := range [][][]netip.Prefix{r.from, r.to} {
				if parts[p] != nil {
					members = append(members, 2*i+side)
					id = binary.AppendUvarint(id, uint64(2*i+side))
				}
			}
		}
		class, known := byMembers[string(id)]
		if !known {
			class = len(n.members)
			byMembers[string(id)] = class
			n.members = append(n.members, members)
			n.speaks = append(n.speaks, speaks)
			n.of = append(n.of, make([][]netip.Prefix, len(g.places)))
			n.touched = append(n.touched, n.everything(members))
		}
		n.class[p] = class
	}
	for class := range n.of {
		for p := range g.places {
			n.of[class][p] = n.compute(class, p)
		}
	}
	return n
}

// compute joins what the class's rules say of one place. A class that may open flows to something needs it, and so does one
// that may be talked to from there: answers have to find their way.
func (n *needs) compute(class, p int) []netip.Prefix {
	var lists [][]netip.Prefix
	for _, m := range n.members[class] {
		if part := n.otherSide(m)[p]; part != nil {
			lists = append(lists, part)
		}
	}
	return n.speaks[class].of(union(lists))
}

// everything joins all that the rules of a class name on the other side, the class's own places included.
func (n *needs) everything(members []int) []netip.Prefix {
	var lists [][]netip.Prefix
	for _, m := range members {
		if r := n.rules[m/2]; m%2 == 0 {
			lists = append(lists, r.toAll)
		} else {
			lists = append(lists, r.fromAll)
		}
	}
	return union(lists)
}

// otherSide returns what a member of a rule talks with: the rule's destinations for a source, its sources for a destination.
func (n *needs) otherSide(member int) [][]netip.Prefix {
	r := n.rules[member/2]
	if member%2 == 0 {
		return r.to
	}
	return r.from
}

// between returns what the sources of a leg need of its destination.
func (n *needs) between(l *leg) []netip.Prefix {
	if len(l.sources) == 1 {
		return n.of[n.class[l.sources[0].number]][l.to.number]
	}
	var lists [][]netip.Prefix
	seen := map[int]bool{}
	for _, s := range l.sources {
		if class := n.class[s.number]; !seen[class] {
			seen[class] = true
			lists = append(lists, n.of[class][l.to.number])
		}
	}
	return union(lists)
}

// union joins lists in normal form, and returns the very list where one of them is all there is.
func union(lists [][]netip.Prefix) []netip.Prefix {
	var distinct [][]netip.Prefix
	for _, l := range lists {
		if len(l) > 0 && !slices.ContainsFunc(distinct, func(d []netip.Prefix) bool { return slices.Equal(d, l) }) {
			distinct = append(distinct, l)
		}
	}
	switch len(distinct) {
	case 0:
		return nil
	case 1:
		return distinct[0]
	}
	return prefixes.Union(distinct...)
}

// owners finds the place of a prefix among disjoint ones.
type owners struct {
	places   int
	prefixes []netip.Prefix // sorted
	number   []int          // whose
}

func newOwners(places []*place) *owners {
	type owned struct {
		prefix netip.Prefix
		place  int
	}
	n := 0
	for _, p := range places {
		n += len(p.Prefixes)
	}
	all := make([]owned, 0, n)
	for _, p := range places {
		for _, prefix := range p.Prefixes {
			all = append(all, owned{prefix, p.number})
		}
	}
	slices.SortFunc(all, func(a, b owned) int { return a.prefix.Compare(b.prefix) })
	o := &owners{len(places), make([]netip.Prefix, n), make([]int, n)}
	for i, x := range all {
		o.prefixes[i], o.number[i] = x.prefix, x.place
	}
	return o
}

// split sorts a selector's prefixes, each of which lies within one place, by place. Both lists are sorted, so one walk does.
func (o *owners) split(list []netip.Prefix) [][]netip.Prefix {
	sizes := make([]int, o.places)
	o.each(list, func(_ netip.Prefix, place int) { sizes[place]++ })
	all := make([]netip.Prefix, 0, len(list))
	parts := make([][]netip.Prefix, o.places)
	for place, n := range sizes {
		if n > 0 {
			parts[place] = all[len(all) : len(all) : len(all)+n]
			all = all[:len(all)+n]
		}
	}
	o.each(list, func(p netip.Prefix, place int) { parts[place] = append(parts[place], p) })
	return parts
}

// each calls do with the prefixes that a place owns, and the place.
func (o *owners) each(list []netip.Prefix, do func(p netip.Prefix, place int)) {
	at := 0
	for _, p := range list {
		for at < len(o.prefixes) && !prefixes.Covers(o.prefixes[at], p) {
			at++
		}
		if at < len(o.prefixes) {
			do(p, o.number[at])
		}
	}
}
