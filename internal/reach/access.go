package reach

import (
	"encoding/binary"
	"iter"
	"net/netip"
	"slices"

	"ropeway/internal/fabric"
	"ropeway/internal/intent"
	"ropeway/internal/prefixes"
)

// access is what both files let talk, its places numbered together. A million pairs of places stand in few sets of entries, so what a
// set says is worked out once, and once for each place that is a source or a destination of it.
type access struct {
	places  []string // sorted
	entries []entry  // of the first file, then of the second
	sets    map[string]*set
}

// An entry is one access entry, each side by number of place: nil where the place has no part in it.
type entry struct {
	from, to [][]netip.Prefix
	services []fabric.Service
	after    bool // it stands in the second file
}

// A set is entries that stand together: those that speak of a pair of places.
type set struct {
	entries      []*entry
	sources      map[int]*share // by number of place
	destinations map[int]*share
	services     []sort
	complete     bool // the services are all there are
	same         bool // both files name the same services
}

// A share is what the entries of a set say of a place on one side.
type share struct {
	pieces []piece
	same   bool // both files say it
}

// newAccess reads both files; each may be nil.
func newAccess(before, after *intent.Fabric) *access {
	a := &access{sets: map[string]*set{}}
	for _, in := range []*intent.Fabric{before, after} {
		if in != nil {
			for _, p := range in.Places {
				a.places = append(a.places, p.Name)
			}
		}
	}
	slices.Sort(a.places)
	a.places = slices.Compact(a.places)
	a.read(before, false)
	a.read(after, true)
	return a
}

func (a *access) read(in *intent.Fabric, after bool) {
	if in == nil {
		return
	}
	for _, x := range in.Access {
		a.entries = append(a.entries, entry{a.split(in, x.From), a.split(in, x.To), x.Services, after})
	}
}

// split returns what each place has of a selector.
func (a *access) split(in *intent.Fabric, s intent.Selector) [][]netip.Prefix {
	out := make([][]netip.Prefix, len(a.places))
	for _, p := range in.Places {
		i, _ := slices.BinarySearch(a.places, p.Name)
		out[i] = prefixes.Intersect(prefixes.Normal(p.Prefixes), s.Prefixes)
	}
	return out
}

// questions yields what to ask about every pair of places that some entry speaks of, by places.
func (a *access) questions() iter.Seq[question] {
	return func(yield func(question) bool) {
		for from := range a.places {
			var leaving []int // entries that let something of the place out
			for i := range a.entries {
				if a.entries[i].from[from] != nil {
					leaving = append(leaving, i)
				}
			}
			for to := range a.places {
				if s := a.between(leaving, from, to); s != nil && !yield(a.question(s, from, to)) {
					return
				}
			}
		}
	}
}

// between returns the set of the entries that speak of a pair of places, nil where none does.
func (a *access) between(leaving []int, from, to int) *set {
	if from == to {
		return nil
	}
	var id []byte
	for _, i := range leaving {
		if a.entries[i].to[to] != nil {
			id = binary.AppendUvarint(id, uint64(i))
		}
	}
	if len(id) == 0 {
		return nil
	}
	s := a.sets[string(id)]
	if s == nil {
		s = &set{sources: map[int]*share{}, destinations: map[int]*share{}}
		for _, i := range leaving {
			if a.entries[i].to[to] != nil {
				s.entries = append(s.entries, &a.entries[i])
			}
		}
		s.name()
		a.sets[string(id)] = s
	}
	return s
}

// name works out the services of a set.
func (s *set) name() {
	var m, was, is mention
	for _, e := range s.entries {
		m.add(e.services)
		if e.after {
			is.add(e.services)
		} else {
			was.add(e.services)
		}
	}
	s.services, s.complete, s.same = m.sorts(), m.any, was.any == is.any && slices.Equal(was.services, is.services)
}

func (a *access) question(s *set, from, to int) question {
	src := cached(s.sources, from, func() *share { return s.share(func(e *entry) []netip.Prefix { return e.from[from] }) })
	dst := cached(s.destinations, to, func() *share { return s.share(func(e *entry) []netip.Prefix { return e.to[to] }) })
	return question{a.places[from], a.places[to], src.pieces, dst.pieces, s.services, s.complete, !s.same || !src.same || !dst.same}
}

func cached[T any](known map[int]*T, i int, make func() *T) *T {
	x := known[i]
	if x == nil {
		x = make()
		known[i] = x
	}
	return x
}

// share cuts what the entries say of a place on one side.
func (s *set) share(side func(*entry) []netip.Prefix) *share {
	var was, is []netip.Prefix
	for _, e := range s.entries {
		if e.after {
			is = append(is, side(e)...)
		} else {
			was = append(was, side(e)...)
		}
	}
	return &share{cut(slices.Concat(was, is)), slices.Equal(was, is)}
}
