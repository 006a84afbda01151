package verify

import "net/netip"

// A testSize is how much a test ranges over.
type testSize struct {
	pairs   int        // ordered pairs of atoms of one family in different places
	unowned netip.Addr // the first address that a test names and no place of the plan owns
	first   example    // the pair with the lowest source, and of those the lowest destination
	inside  bool       // both sides lie in one place
}

// A testSide is the atoms of one family on one side of a test.
type testSide struct {
	atoms    int
	perPlace map[int32]int
	first    [2]*atom // the first atom, and the first of another place
}

// testSides are the atoms on one side of a test.
type testSides [families]testSide

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
	out, from, to := make([]testSize, n), make([]testSides, n), make([]testSides, n)
	for a := range w.space.all() {
		w.eachTest(a, w.spec.testFrom, from, out)
		w.eachTest(a, w.spec.testTo, to, out)
	}
	for i := range out {
		for f := range families {
			out[i].add(&from[i][f], &to[i][f])
		}
		out[i].inside = within(&from[i], &to[i])
	}
	return out
}

func (w *world) eachTest(a *atom, in []set, sides []testSides, sizes []testSize) {
	tests := in[a.kind]
	for i := tests.firstOfBoth(tests, 0); i >= 0; i = tests.firstOfBoth(tests, i+1) {
		if a.owner != nobody {
			sides[i][familyOf(a.start)].add(a)
		} else if !sizes[i].unowned.IsValid() {
			sizes[i].unowned = a.start
		}
	}
}

// add counts the pairs of one family. IPv4 comes first, and its addresses are the lower ones.
func (s *testSize) add(from, to *testSide) {
	for place, atoms := range from.perPlace {
		s.pairs += atoms * (to.atoms - to.perPlace[place])
	}
	for _, a := range from.first {
		if a == nil || s.first.from.IsValid() {
			continue
		}
		if b := to.besides(a.owner); b != nil {
			s.first = example{from: a.start, to: b.start}
		}
	}
}

// idle says why a test has no pairs.
func (s *testSize) idle() string {
	if s.inside {
		return "both sides lie in one place, where packets do not cross the fabric"
	}
	return "no address of one side has one of the same family in another place on the other"
}

// within reports whether all that is on some sides lies in one place.
func within(sides ...*testSides) bool {
	places := map[int32]bool{}
	for _, s := range sides {
		for f := range s {
			for place := range s[f].perPlace {
				places[place] = true
			}
		}
	}
	return len(places) == 1
}
