package verify

import (
	"ropeway/internal/fabric"
	"ropeway/internal/intent"
)

// A spec is what access and tests say, by kinds of address: which entries have a kind on their left side, and which on their right.
// A pair of kinds is in the entries that both sides share.
type spec struct {
	accessFrom, accessTo []set // by kind: numbers of access entries
	testFrom, testTo     []set // by kind: numbers of tests
	access               []set // services of each entry
	tests                []set // services of each test; nil where it names none

	lists map[*intent.Selector]listID
}

// number puts the lists of selectors into the pool.
func (s *spec) number(m *Model, in *intent.Fabric) map[listID]bool {
	s.lists = map[*intent.Selector]listID{}
	used := map[listID]bool{}
	for _, sel := range selectors(in) {
		id := m.pool.list(sel.Prefixes)
		s.lists[sel] = id
		used[id] = true
	}
	return used
}

// selectors returns every selector of a fabric.
func selectors(in *intent.Fabric) []*intent.Selector {
	var out []*intent.Selector
	for i := range in.Access {
		out = append(out, &in.Access[i].From, &in.Access[i].To)
	}
	for i := range in.Tests {
		out = append(out, &in.Tests[i].From, &in.Tests[i].To)
	}
	return out
}

// namedServices returns every list of services that the plan or the specification names.
func (m *Model) namedServices(in *intent.Fabric) [][]fabric.Service {
	var out [][]fabric.Service
	for _, f := range m.filters {
		for _, r := range f.rules {
			if len(r.services) > 0 {
				out = append(out, r.services)
			}
		}
	}
	for i := range in.Access {
		out = append(out, in.Access[i].Services)
	}
	for i := range in.Tests {
		if s := in.Tests[i].Service; s != nil {
			out = append(out, []fabric.Service{*s})
		}
	}
	return out
}

// readSpec sorts entries by kinds and places.
func (d *drawing) readSpec(kinds int) {
	s, in := &d.spec, d.in
	s.accessFrom, s.accessTo = sets(kinds, len(in.Access)), sets(kinds, len(in.Access))
	s.testFrom, s.testTo = sets(kinds, len(in.Tests)), sets(kinds, len(in.Tests))
	for i := range in.Access {
		a := &in.Access[i]
		s.access = append(s.access, d.services.shared(a.Services))
		d.enter(&a.From, s.accessFrom, i)
		d.enter(&a.To, s.accessTo, i)
	}
	for i := range in.Tests {
		t := &in.Tests[i]
		var named set
		if t.Service != nil {
			named = d.services.shared([]fabric.Service{*t.Service})
		}
		s.tests = append(s.tests, named)
		d.enter(&t.From, s.testFrom, i)
		d.enter(&t.To, s.testTo, i)
	}
}

// sets makes n sets in one piece of memory.
func sets(n, size int) []set {
	words := (size + 63) / 64
	flat := make(set, n*words)
	out := make([]set, n)
	for i := range out {
		out[i] = flat[i*words : (i+1)*words : (i+1)*words]
	}
	return out
}

func join(s, t set) {
	for i, x := range t {
		s[i] |= x
	}
}

// enter notes that every kind in a selector is in entry i.
func (d *drawing) enter(sel *intent.Selector, into []set, i int) {
	d.atoms.each(d.m.pool.lists[d.spec.lists[sel]], func(p span) {
		for a := p.lo; a < p.hi; a++ {
			into[d.kinds.of[a]].add(i)
		}
	})
}

// due adds to s the services that access promises from one kind to another.
func (s *spec) due(into set, from, to int32) {
	left, right := s.accessFrom[from], s.accessTo[to]
	for i := left.firstOfBoth(right, 0); i >= 0; i = left.firstOfBoth(right, i+1) {
		join(into, s.access[i])
	}
}
