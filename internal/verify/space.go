package verify

import (
	"iter"
	"net/netip"
	"slices"
)

// An atom is a piece of the address space that no prefix cuts, and what is known of it.
type atom struct {
	start netip.Addr
	sort  int32 // part by routing lists
	kind  int32 // part by filter lists
	row   int32
	class int32 // nobody where no place owns it
	owner int32 // nobody
}

// A space is all atoms in order, in chunks, so that cutting one moves few.
type space struct {
	chunks [][]atom
	firsts []netip.Addr // where each chunk begins
}

// chunkSize is how many atoms a new chunk has; a chunk twice as large is cut in two.
const chunkSize = 128

func newSpace(all []atom) *space {
	s := &space{}
	for c := range slices.Chunk(all, chunkSize) {
		s.chunks = append(s.chunks, append(make([]atom, 0, 2*chunkSize), c...))
		s.firsts = append(s.firsts, c[0].start)
	}
	return s
}

// at returns where the atom of an address is.
func (s *space) at(a netip.Addr) (chunk, i int) {
	chunk, exact := slices.BinarySearchFunc(s.firsts, a, netip.Addr.Compare)
	if exact {
		return chunk, 0
	}
	chunk-- // the space begins with 0.0.0.0, so there is one
	i, exact = slices.BinarySearchFunc(s.chunks[chunk], a, func(x atom, a netip.Addr) int { return x.start.Compare(a) })
	if !exact {
		i--
	}
	return chunk, i
}

// find returns the atom of an address. It is good until the next cut.
func (s *space) find(a netip.Addr) *atom {
	chunk, i := s.at(a)
	return &s.chunks[chunk][i]
}

// cut makes an atom begin at an address, and returns it where that is new.
func (s *space) cut(a netip.Addr) (made *atom) {
	chunk, i := s.at(a)
	c := s.chunks[chunk]
	if c[i].start == a {
		return nil
	}
	if len(c) == 2*chunkSize {
		half := append(make([]atom, 0, 2*chunkSize), c[chunkSize:]...)
		s.chunks[chunk] = c[:chunkSize]
		s.chunks = slices.Insert(s.chunks, chunk+1, half)
		s.firsts = slices.Insert(s.firsts, chunk+1, half[0].start)
		return s.cut(a)
	}
	x := c[i]
	x.start = a
	c = slices.Insert(c, i+1, x)
	s.chunks[chunk] = c
	return &c[i+1]
}

// from returns the atoms from that of an address on.
func (s *space) from(a netip.Addr) iter.Seq[*atom] {
	return func(yield func(*atom) bool) {
		chunk, i := s.at(a)
		for ; chunk < len(s.chunks); chunk, i = chunk+1, 0 {
			for ; i < len(s.chunks[chunk]); i++ {
				if !yield(&s.chunks[chunk][i]) {
					return
				}
			}
		}
	}
}

// all returns every atom.
func (s *space) all() iter.Seq[*atom] { return s.from(netip.IPv4Unspecified()) }
