package reach

import (
	"encoding/binary"
	"iter"
	"net/netip"
	"slices"

	"ropeway/internal/fabric"
	"ropeway/internal/intent"
	"ropeway/internal/prefixes"
	"ropeway/internal/verify"
)

// access is what both files let talk, its places numbered together. A million pairs of places stand in few sets of entries, because few sets of them
// let something of a place out, and few let something in: what each says is worked out once.
type access struct {
	was, is    *verify.Asker // know what each plan tells apart
	places     []string      // sorted
	selections []selection
	entries    []entry         // of the first file, then of the second
	sets       [][]*set        // by what lets a source out, and what lets a destination in; nil where no entry does both
	out, in    []int           // by place: which of those it has
	known      map[string]*set // by entries
	lists      map[string]int  // numbers of lists of selectors
	shares     map[part]*share
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

	from, to int // number of the list of its entries' selectors, on each side
}

// A part is a list of selectors and a place.
type part struct{ list, place int }

// A share is what some selectors together have of a place.
type share struct {
	groups []group
	same   bool // both files say it
}

// newAccess reads both files; that of before may be nil.
func newAccess(before, after Side) *access {
	a := &access{was: before.asker(), is: after.asker(), known: map[string]*set{}, lists: map[string]int{}, shares: map[part]*share{}}
	for _, in := range []*intent.Fabric{before.Intent, after.Intent} {
		if in != nil {
			for _, p := range in.Places {
				a.places = append(a.places, p.Name)
			}
		}
	}
	slices.Sort(a.places)
	a.places = slices.Compact(a.places)
	a.read(before.Intent, false)
	a.read(after.Intent, true)
	var leaving, arriving [][]int
	a.out, leaving = a.sorted(func(e *entry) int { return e.from })
	a.in, arriving = a.sorted(func(e *entry) int { return e.to })
	for _, x := range leaving {
		var row []*set
		for _, y := range arriving {
			row = append(row, a.set(x, y))
		}
		a.sets = append(a.sets, row)
	}
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
// one destination after the other. What it yields is good until it goes on.
func (a *access) questions() iter.Seq[[]question] {
	return func(yield func([]question) bool) {
		var out []question
		for first := 0; first < len(a.places); first += breadth {
			out = out[:0]
			for to := range a.places {
				for from := first; from < min(first+breadth, len(a.places)); from++ {
					if s := a.sets[a.out[from]][a.in[to]]; s != nil && from != to {
						out = append(out, a.question(s, from, to))
					}
				}
			}
			if !yield(out) {
				return
			}
		}
	}
}

// sorted sorts places by the entries that have a part of them on one side, and returns the sort of each place and the entries of each sort.
func (a *access) sorted(side func(*entry) int) (of []int, sorts [][]int) {
	known := map[string]int{}
	for place := range a.places {
		var entries []int
		var key []byte
		for i := range a.entries {
			if a.selections[side(&a.entries[i])].of[place] != nil {
				entries = append(entries, i)
				key = binary.AppendUvarint(key, uint64(i))
			}
		}
		n, found := known[string(key)]
		if !found {
			n = len(sorts)
			known[string(key)] = n
			sorts = append(sorts, entries)
		}
		of = append(of, n)
	}
	return of, sorts
}

// set returns what the entries say that are in both lists, nil where none is.
func (a *access) set(leaving, arriving []int) *set {
	var key, from, to []byte
	s := &set{}
	for _, i := range leaving {
		if _, both := slices.BinarySearch(arriving, i); both {
			e := &a.entries[i]
			s.entries = append(s.entries, e)
			key, from, to = binary.AppendUvarint(key, uint64(i)), binary.AppendUvarint(from, uint64(e.from)), binary.AppendUvarint(to, uint64(e.to))
		}
	}
	if len(s.entries) == 0 {
		return nil
	}
	if known := a.known[string(key)]; known != nil {
		return known
	}
	s.name()
	for i := range s.services {
		x := &s.services[i]
		x.was, x.is = a.was.Kind(x.example), a.is.Kind(x.example)
	}
	s.from, s.to = a.list(from), a.list(to)
	a.known[string(key)] = s
	return s
}

// list returns the number of a list of selectors.
func (a *access) list(key []byte) int {
	n, known := a.lists[string(key)]
	if !known {
		n = len(a.lists)
		a.lists[string(key)] = n
	}
	return n
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
	src := a.share(s, part{s.from, from}, func(e *entry) int { return e.from })
	dst := a.share(s, part{s.to, to}, func(e *entry) int { return e.to })
	return question{from % breadth, a.places[from], a.places[to], src.groups, dst.groups, s.services, s.complete, !s.same || !src.same || !dst.same}
}

// share returns what the entries of a set say of a place on one side, cut where they tell addresses apart.
func (a *access) share(s *set, of part, side func(*entry) int) *share {
	known := a.shares[of]
	if known == nil {
		var was, is []netip.Prefix
		for _, e := range s.entries {
			if x := a.selections[side(e)]; x.after {
				is = append(is, x.of[of.place]...)
			} else {
				was = append(was, x.of[of.place]...)
			}
		}
		known = &share{a.groups(cut(slices.Concat(was, is))), slices.Equal(was, is)}
		a.shares[of] = known
	}
	return known
}

// groups joins pieces that neither plan tells apart, in the order of their first.
func (a *access) groups(pieces []piece) []group {
	var out []group
	for _, p := range pieces {
		g := group{p.prefixes, p.at.Is4(), a.was.Class(p.at), a.is.Class(p.at)}
		i := slices.IndexFunc(out, func(o group) bool { return o.four == g.four && o.was == g.was && o.is == g.is })
		if i < 0 {
			out = append(out, g)
			continue
		}
		out[i].prefixes = append(out[i].prefixes, g.prefixes...)
	}
	for i := range out {
		out[i].prefixes = joined(out[i].prefixes, nil)
	}
	return out
}
