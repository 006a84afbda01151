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
	hereFrom, hereTo     []set // by place: the tests that any of its classes is in
	access               []set // services of each entry
	tests                []set // services of each test; nil where it names none

	lists map[*intent.Selector]listID
}

// A testSize is how much a test ranges over.
type testSize struct {
	pairs    int   // ordered pairs of atoms in different places
	unowned  int32 // the first atom that a test names and no place of the plan owns, or nobody
	from, to int32 // the first pair of classes, or nobody
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

// ready sorts entries by kinds and places.
func (s *spec) ready(w *world, m *Model) {
	in := w.in
	kinds := 0
	for _, k := range w.kinds.of {
		kinds = max(kinds, int(k)+1)
	}
	s.accessFrom, s.accessTo = sets(kinds, len(in.Access)), sets(kinds, len(in.Access))
	s.testFrom, s.testTo = sets(kinds, len(in.Tests)), sets(kinds, len(in.Tests))
	s.hereFrom, s.hereTo = sets(len(m.places), len(in.Tests)), sets(len(m.places), len(in.Tests))
	for i := range in.Access {
		a := &in.Access[i]
		s.access = append(s.access, w.services.shared(a.Services))
		s.enter(w, m, &a.From, s.accessFrom, i)
		s.enter(w, m, &a.To, s.accessTo, i)
	}
	for i := range in.Tests {
		t := &in.Tests[i]
		var named set
		if t.Service != nil {
			named = w.services.shared([]fabric.Service{*t.Service})
		}
		s.tests = append(s.tests, named)
		s.enter(w, m, &t.From, s.testFrom, i)
		s.enter(w, m, &t.To, s.testTo, i)
		w.tests = append(w.tests, s.size(w, m, t))
	}
	for _, c := range w.classes {
		join(s.hereFrom[c.owner], s.testFrom[c.kind])
		join(s.hereTo[c.owner], s.testTo[c.kind])
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
func (s *spec) enter(w *world, m *Model, sel *intent.Selector, into []set, i int) {
	w.atoms.each(m.pool.lists[s.lists[sel]], func(p span) {
		for a := p.lo; a < p.hi; a++ {
			into[w.kinds.of[a]].add(i)
		}
	})
}

// size works out what a test ranges over. Its first pair is the one with the lowest source, and of those the lowest destination.
func (s *spec) size(w *world, m *Model, t *intent.Test) testSize {
	out := testSize{unowned: nobody, from: nobody, to: nobody}
	from := s.side(w, m, &t.From, &out)
	to := s.side(w, m, &t.To, &out)
	perPlace := make([]int, len(m.places))
	for _, a := range to {
		perPlace[w.owner[a]]++
	}
	for _, a := range from {
		out.pairs += len(to) - perPlace[w.owner[a]]
	}
	for _, a := range from {
		if len(to) == perPlace[w.owner[a]] {
			continue
		}
		for _, b := range to {
			if w.owner[a] != w.owner[b] {
				out.from, out.to = w.classOf[a], w.classOf[b]
				return out
			}
		}
	}
	return out
}

// side returns the atoms of a selector that places own, in order, and notes the first that none does.
func (s *spec) side(w *world, m *Model, sel *intent.Selector, size *testSize) []int32 {
	var out []int32
	w.atoms.each(m.pool.lists[s.lists[sel]], func(p span) {
		for a := p.lo; a < p.hi; a++ {
			switch {
			case w.owner[a] != nobody:
				out = append(out, a)
			case size.unowned == nobody:
				size.unowned = a
			}
		}
	})
	return out
}

// due adds to s the services that access promises from one kind to another.
func (s *spec) due(into set, from, to int32) {
	left, right := s.accessFrom[from], s.accessTo[to]
	for i := left.firstOfBoth(right, 0); i >= 0; i = left.firstOfBoth(right, i+1) {
		join(into, s.access[i])
	}
}
