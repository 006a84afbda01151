package verify

import "net/netip"

// A testSize is how much a test ranges over.
type testSize struct {
	pairs   int        // ordered pairs of atoms in different places
	unowned netip.Addr // the first address that a test names and no place of the plan owns
	first   example    // the pair with the lowest source, and of those the lowest destination
}

// A testSide is the atoms on one side of a test.
type testSide struct {
	atoms    int
	perPlace map[int32]int
	first    [2]*atom // the first atom, and the first of another place
}

func (s *testSide) add(a *atom) {
	if s.perPlace == nil {
		s.perPlace = map[int32]int{}
	}
	s.atoms++
	s.perPlace[a.owner]++
	switch {
	case s.first[0] == nil:
		s.first[0] = a
	case s.first[1] == nil && a.owner != s.first[0].owner:
		s.first[1] = a
	}
}

// besides returns the first atom that another place owns, or nil.
func (s *testSide) besides(owner int32) *atom {
	for _, a := range s.first {
		if a != nil && a.owner != owner {
			return a
		}
	}
	return nil
}

// testSizes works out what every test ranges over.
func (w *world) testSizes() []testSize {
	n := len(w.in.Tests)
	out, from, to := make([]testSize, n), make([]testSide, n), make([]testSide, n)
	for a := range w.space.all() {
		w.eachTest(a, w.spec.testFrom, from, out)
		w.eachTest(a, w.spec.testTo, to, out)
	}
	for i := range out {
		for place, atoms := range from[i].perPlace {
			out[i].pairs += atoms * (to[i].atoms - to[i].perPlace[place])
		}
		for _, a := range from[i].first {
			if a == nil || out[i].first.from.IsValid() {
				continue
			}
			if b := to[i].besides(a.owner); b != nil {
				out[i].first = example{from: a.start, to: b.start}
			}
		}
	}
	return out
}

func (w *world) eachTest(a *atom, in []set, sides []testSide, sizes []testSize) {
	tests := in[a.kind]
	for i := tests.firstOfBoth(tests, 0); i >= 0; i = tests.firstOfBoth(tests, i+1) {
		if a.owner != nobody {
			sides[i].add(a)
		} else if !sizes[i].unowned.IsValid() {
			sizes[i].unowned = a.start
		}
	}
}
