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

// A rule is an access entry. Rules that name the same on a side share it.
type rule struct {
	services []fabric.Service
	from, to *side
}

// A side is what a rule names at one end, whole and by place.
type side struct {
	all    []netip.Prefix
	parts  [][]netip.Prefix // by place number; nil where the place has no part in it
	places []int            // those that have one
}

func newNeeds(in *intent.Fabric, g *graph) *needs {
	n := &needs{class: make([]int, len(g.places))}
	owner := newOwners(g.places)
	members := make([][]int, len(g.places))
	for i := range in.Access {
		a := &in.Access[i]
		r := rule{a.Services, owner.side(a.From.Prefixes), owner.side(a.To.Prefixes)}
		n.rules = append(n.rules, r)
		for end, s := range []*side{r.from, r.to} {
			for _, p := range s.places {
				members[p] = append(members[p], 2*i+end)
			}
		}
	}
	byMembers := map[string]int{}
	for p := range g.places {
		speaks := familiesOf(g.places[p].Prefixes)
		id := []byte{byte(speaks)}
		for _, m := range members[p] {
			id = binary.AppendUvarint(id, uint64(m))
		}
		class, known := byMembers[string(id)]
		if !known {
			class = len(n.members)
			byMembers[string(id)] = class
			n.members = append(n.members, members[p])
			n.speaks = append(n.speaks, speaks)
			n.compute(class)
		}
		n.class[p] = class
	}
	return n
}

// compute joins what a class's rules say of every place. A class that may open flows to something needs it, and so does one
// that may be talked to from there: answers have to find their way.
func (n *needs) compute(class int) {
	sides := n.otherSides(class)
	lists := make([][][]netip.Prefix, len(n.class))
	for _, s := range sides {
		for _, p := range s.places {
			lists[p] = append(lists[p], s.parts[p])
		}
	}
	all := make([][]netip.Prefix, len(lists))
	for p := range lists {
		all[p] = union(lists[p])
	}
	n.touched = append(n.touched, whole(sides, all))
	for p := range all {
		all[p] = n.speaks[class].of(all[p])
	}
	n.of = append(n.of, all)
}

// otherSides returns all that the rules of a class name on the other side, each once.
func (n *needs) otherSides(class int) (out []*side) {
	seen := map[*side]bool{}
	for _, m := range n.members[class] {
		if s := n.otherSide(m); !seen[s] {
			seen[s] = true
			out = append(out, s)
		}
	}
	return out
}

// whole joins the parts of all places, and returns the very list of a side that is all there is.
func whole(sides []*side, parts [][]netip.Prefix) []netip.Prefix {
	if len(sides) == 0 {
		return nil
	}
	most := slices.MaxFunc(sides, func(a, b *side) int { return len(a.all) - len(b.all) })
	if slices.EqualFunc(most.parts, parts, slices.Equal) {
		return most.all
	}
	return prefixes.Union(parts...)
}

// otherSide returns what a member of a rule talks with: the rule's destinations for a source, its sources for a destination.
func (n *needs) otherSide(member int) *side {
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
	sides    []*side        // that were asked for
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
	o := &owners{places: len(places), prefixes: make([]netip.Prefix, n), number: make([]int, n)}
	for i, x := range all {
		o.prefixes[i], o.number[i] = x.prefix, x.place
	}
	return o
}

// side sorts a selector's prefixes, each of which lies within one place, by place. For the same prefixes it returns the same side.
func (o *owners) side(list []netip.Prefix) *side {
	for _, s := range o.sides {
		if identical(s.all, list) || slices.Equal(s.all, list) {
			return s
		}
	}
	sizes := make([]int, o.places)
	o.each(list, func(_ netip.Prefix, place int) { sizes[place]++ })
	all := make([]netip.Prefix, 0, len(list))
	s := &side{all: list, parts: make([][]netip.Prefix, o.places)}
	for place, n := range sizes {
		if n > 0 {
			s.parts[place] = all[len(all) : len(all) : len(all)+n]
			all = all[:len(all)+n]
			s.places = append(s.places, place)
		}
	}
	o.each(list, func(p netip.Prefix, place int) { s.parts[place] = append(s.parts[place], p) })
	o.sides = append(o.sides, s)
	return s
}

// each calls do with the prefixes that a place owns, and the place. Both lists are sorted, so one walk does.
func (o *owners) each(list []netip.Prefix, do func(p netip.Prefix, place int)) {
	if len(list) == 0 {
		return
	}
	at, _ := slices.BinarySearchFunc(o.prefixes, list[0], netip.Prefix.Compare) // of those before, only one that covers it can matter
	for at > 0 && prefixes.Covers(o.prefixes[at-1], list[0]) {
		at--
	}
	for _, p := range list {
		for at < len(o.prefixes) && !prefixes.Covers(o.prefixes[at], p) {
			at++
		}
		if at < len(o.prefixes) {
			do(p, o.number[at])
		}
	}
}
