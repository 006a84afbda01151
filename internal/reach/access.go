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

// access is what both files let talk, its places numbered together. A million pairs of places stand in few sets of entries, and a place
// has a part in few sets of selectors: what each says is worked out once.
type access struct {
	places     []string // sorted
	selections []selection
	entries    []entry // of the first file, then of the second
	sets       map[string]*set
	shares     map[string]*share
	key        []byte // of the set or share that is looked for
}

// A selection is a selector of one of the files, by number of place: nil for a place that has no part in it.
type selection struct {
	intent.Selector
	after bool // it stands in the second file
	of    [][]netip.Prefix
}

// An entry is one access entry, its selectors by number.
type entry struct {
	from, to int
	services []fabric.Service
	after    bool
}

// A set is entries that stand together: those that speak of a pair of places.
type set struct {
	entries  []*entry
	services []sort
	complete bool // the services are all there are
	same     bool // both files name the same services
}

// A share is what some selectors together have of a place.
type share struct {
	pieces []piece
	same   bool // both files say it
}

// newAccess reads both files; each may be nil.
func newAccess(before, after *intent.Fabric) *access {
	a := &access{sets: map[string]*set{}, shares: map[string]*share{}}
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
		a.entries = append(a.entries, entry{a.selection(in, x.From, after), a.selection(in, x.To, after), x.Services, after})
	}
}

// selection returns the number of a selector, and splits it by place where it is new.
func (a *access) selection(in *intent.Fabric, s intent.Selector, after bool) int {
	for i, known := range a.selections {
		if known.Text == s.Text && known.after == after && slices.Equal(known.Prefixes, s.Prefixes) {
			return i
		}
	}
	of := make([][]netip.Prefix, len(a.places))
	for _, p := range in.Places {
		i, _ := slices.BinarySearch(a.places, p.Name)
		of[i] = prefixes.Intersect(prefixes.Normal(p.Prefixes), s.Prefixes)
	}
	a.selections = append(a.selections, selection{s, after, of})
	return len(a.selections) - 1
}

// breadth is how many sources are asked about at a time. A prover keeps what is done with packets to an address in one row, a cell for
// each gateway: the cells of so many sources lie together.
const breadth = 32

// questions yields what to ask about the pairs of places that some entry speaks of: all pairs of some sources at a time, the sources of
// one destination after the other.
func (a *access) questions() iter.Seq[[]question] {
	return func(yield func([]question) bool) {
		for first := 0; first < len(a.places); first += breadth {
			var leaving [][]int // by source: entries that let something of it out
			for from := first; from < min(first+breadth, len(a.places)); from++ {
				leaving = append(leaving, a.leaving(from))
			}
			var out []question
			for to := range a.places {
				for i, entries := range leaving {
					if s := a.between(entries, first+i, to); s != nil {
						out = append(out, a.question(s, first+i, to))
					}
				}
			}
			if !yield(out) {
				return
			}
		}
	}
}

// leaving returns the entries that let something of a place out.
func (a *access) leaving(from int) []int {
	var out []int
	for i, e := range a.entries {
		if a.selections[e.from].of[from] != nil {
			out = append(out, i)
		}
	}
	return out
}

// between returns the set of the entries that speak of a pair of places, nil where none does.
func (a *access) between(leaving []int, from, to int) *set {
	if from == to {
		return nil
	}
	a.key = a.key[:0]
	for _, i := range leaving {
		if a.selections[a.entries[i].to].of[to] != nil {
			a.key = binary.AppendUvarint(a.key, uint64(i))
		}
	}
	if len(a.key) == 0 {
		return nil
	}
	s := a.sets[string(a.key)]
	if s == nil {
		s = &set{}
		for _, i := range leaving {
			if a.selections[a.entries[i].to].of[to] != nil {
				s.entries = append(s.entries, &a.entries[i])
			}
		}
		s.name()
		a.sets[string(a.key)] = s
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
	src := a.share(s, from, func(e *entry) int { return e.from })
	dst := a.share(s, to, func(e *entry) int { return e.to })
	return question{a.places[from], a.places[to], src.pieces, dst.pieces, s.services, s.complete, !s.same || !src.same || !dst.same}
}

// share returns what the entries of a set say of a place on one side, cut where they tell addresses apart.
func (a *access) share(s *set, place int, side func(*entry) int) *share {
	a.key = binary.AppendUvarint(a.key[:0], uint64(place))
	for _, e := range s.entries {
		a.key = binary.AppendUvarint(a.key, uint64(side(e)))
	}
	known := a.shares[string(a.key)]
	if known == nil {
		var was, is []netip.Prefix
		for _, e := range s.entries {
			if x := a.selections[side(e)]; x.after {
				is = append(is, x.of[place]...)
			} else {
				was = append(was, x.of[place]...)
			}
		}
		known = &share{cut(slices.Concat(was, is)), slices.Equal(was, is)}
		a.shares[string(a.key)] = known
	}
	return known
}
