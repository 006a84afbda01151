package verify

import (
	"net/netip"

	"ropeway/internal/fabric"
	"ropeway/internal/plan"
)

// A filter is a firewall with its lists numbered. Gateways whose rules are one slice share it.
type filter struct {
	own, fabric listID
	rules       []rule
	answers     [crossings]bool // ways that answers go to what another gateway saw
}

// A rule is one of plan.Firewall's.
type rule struct {
	direction plan.Direction
	from, to  listID
	services  []fabric.Service
}

// A filterKey tells filters apart by where their rules lie in memory, and by their lists.
type filterKey struct {
	rules       *plan.Rule
	count       int
	own, fabric listID
	answers     [crossings]bool
}

// indexFilter numbers the firewall of a gateway.
func (m *Model) indexFilter(f *plan.Firewall, known map[filterKey]int32) int32 {
	key := filterKey{count: len(f.Rules), own: m.filtering(f.Own), fabric: m.filtering(f.Fabric)}
	for c := range key.answers {
		key.answers[c] = f.AnswersAcross(crossing(c).direction())
	}
	if len(f.Rules) > 0 {
		key.rules = &f.Rules[0]
	}
	if n, ok := known[key]; ok {
		return n
	}
	out := filter{own: key.own, fabric: key.fabric, answers: key.answers}
	for _, r := range f.Rules {
		out.rules = append(out.rules, rule{r.Direction, m.filtering(r.From), m.filtering(r.To), r.Services})
	}
	n := int32(len(m.filters))
	m.filters = append(m.filters, out)
	known[key] = n
	return n
}

// filtering numbers a list that decides what passes, not where it goes.
func (m *Model) filtering(l []netip.Prefix) listID {
	id := m.pool.list(l)
	for int(id) >= len(m.isFilter) {
		m.isFilter = append(m.isFilter, false)
	}
	m.isFilter[id] = true
	return id
}

// A member says which kinds of address are in a list: bits from base on.
type member struct {
	base int32
	bits []uint64
}

func (m *member) has(kind int32) bool {
	i := uint32(kind - m.base)
	return int(i>>6) < len(m.bits) && m.bits[i>>6]&(1<<(i&63)) != 0
}

// A gate is a filter ready for kinds of addresses.
type gate struct {
	own, fabric      *member
	out, in, transit []gateRule
	answers          [crossings]bool
}

// A gateRule is a rule ready for kinds of addresses.
type gateRule struct {
	from, to *member
	services set
}

// A way through a gateway decides which rules count.
type crossing uint8

const (
	outward crossing = iota // from the place into a device
	inward                  // out of a device into the place
	through                 // out of a device into a device

	crossings = 3 // how many there are
)

// direction is what a plan calls it.
func (c crossing) direction() plan.Direction {
	return [crossings]plan.Direction{plan.Out, plan.In, plan.Transit}[c]
}

// reverse is how answers cross.
func (c crossing) reverse() crossing {
	return [crossings]crossing{inward, outward, through}[c]
}

// accept adds to s what a gate accepts as new flows between two kinds of address.
func (g *gate) accept(s set, c crossing, from, to int32) {
	if c != inward || !g.guards(from, to) {
		g.permit(s, c, from, to)
	}
}

// permit adds to s what the rules of a gate name between two kinds of address.
func (g *gate) permit(s set, c crossing, from, to int32) {
	rules := g.transit
	switch c {
	case outward:
		rules = g.out
	case inward:
		rules = g.in
	}
	for i := range rules {
		if r := &rules[i]; r.from.has(from) && r.to.has(to) {
			for w, x := range r.services {
				s[w] |= x
			}
		}
	}
}

// guards reports whether the guard against leaks takes a packet that goes into the place for one that leaves in clear. It comes before
// everything else, answers included.
func (g *gate) guards(from, to int32) bool {
	return g.own.has(from) && g.fabric.has(to) && !g.own.has(to)
}

// makeGates makes every filter ready for a partition of the addresses into kinds.
func (d *drawing) makeGates() {
	w, m := d.world, d.m
	members := make([]*member, len(m.pool.lists))
	member := func(id listID) *member {
		if members[id] == nil {
			members[id] = d.member(m.pool.lists[id])
		}
		return members[id]
	}
	w.gates = make([]gate, len(m.filters))
	for i, f := range m.filters {
		g := &w.gates[i]
		g.own, g.fabric, g.answers = member(f.own), member(f.fabric), f.answers
		for _, r := range f.rules {
			ready := gateRule{member(r.from), member(r.to), w.services.shared(r.services)}
			switch r.direction {
			case plan.Out:
				g.out = append(g.out, ready)
			case plan.In:
				g.in = append(g.in, ready)
			case plan.Transit:
				g.transit = append(g.transit, ready)
			}
		}
	}
}

// member returns which kinds of address are in a list. A kind is in it whole or not at all.
func (d *drawing) member(list []int32) *member {
	lo, hi := int32(-1), int32(-1)
	d.atoms.each(list, func(s span) {
		for a := s.lo; a < s.hi; a++ {
			k := d.kinds.of[a]
			if lo < 0 || k < lo {
				lo = k
			}
			hi = max(hi, k)
		}
	})
	if hi < 0 {
		return &member{}
	}
	lo &^= 63 // so that lists can be united word by word
	out := &member{base: lo, bits: make([]uint64, (hi-lo)/64+1)}
	d.atoms.each(list, func(s span) {
		for a := s.lo; a < s.hi; a++ {
			i := d.kinds.of[a] - lo
			out.bits[i>>6] |= 1 << (i & 63)
		}
	})
	return out
}
