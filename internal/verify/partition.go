package verify

// A partition sorts atoms into parts: two atoms of a family share one as long as no list that refined it tells them apart. Refining by a
// list costs as much as the list has atoms.
type partition struct {
	of    []int32 // part of each atom
	sizes []int32 // of each part
	free  []int32 // numbers of empty parts
	moved []move  // by part: where its atoms went in this round
	other map[moveKey]int32
	round int32
}

// A move says that the atoms of a part that a list covers with prefixes of one length go to a part of their own.
type move struct {
	round int32
	to    int32
	bits  uint8
}

// A moveKey tells moves of one part apart, where a list covers it with prefixes of several lengths.
type moveKey struct {
	part int32
	bits uint8
}

// newPartition makes a part of each family.
func newPartition(a *atoms) *partition {
	p := &partition{of: make([]int32, len(a.starts)), sizes: make([]int32, families), moved: make([]move, families), other: map[moveKey]int32{}}
	for i, start := range a.starts {
		p.of[i] = int32(familyOf(start))
		p.sizes[p.of[i]]++
	}
	return p
}

// refine splits every part by whether a list covers its atoms and, with lengths, by how long a prefix it does.
func (p *partition) refine(a *atoms, list []int32, lengths bool) {
	p.round++
	clear(p.other)
	a.each(list, func(s span) {
		if !lengths {
			s.bits = 0
		}
		for i := s.lo; i < s.hi; i++ {
			from := p.of[i]
			to := p.target(from, s.bits)
			p.of[i] = to
			p.sizes[to]++
			if p.sizes[from]--; p.sizes[from] == 0 {
				p.free = append(p.free, from)
			}
		}
	})
}

// target returns the part to which atoms go in this round. A part that becomes empty may be used again only by later rounds, but
// no atom is met twice in a round, so nothing is moved twice.
func (p *partition) target(from int32, bits uint8) int32 {
	m := &p.moved[from]
	if m.round == p.round && m.bits == bits {
		return m.to
	}
	if m.round == p.round {
		if to, known := p.other[moveKey{from, bits}]; known {
			return to
		}
	}
	to := p.empty()
	m = &p.moved[from] // empty may have moved the array
	if m.round == p.round {
		p.other[moveKey{from, bits}] = to
	} else {
		*m = move{p.round, to, bits}
	}
	return to
}

// empty returns a part without atoms.
func (p *partition) empty() int32 {
	if n := len(p.free); n > 0 {
		part := p.free[n-1]
		if p.moved[part].round != p.round {
			p.free = p.free[:n-1]
			return part
		}
	}
	p.sizes = append(p.sizes, 0)
	p.moved = append(p.moved, move{})
	return int32(len(p.sizes) - 1)
}

// compact renumbers the parts in the order that rank gives of their first atoms, without gaps, and returns how many there are.
func (p *partition) compact() int {
	number := make([]int32, len(p.sizes))
	n := int32(0)
	for i, part := range p.of {
		if number[part] == 0 {
			n++
			number[part] = n
		}
		p.of[i] = number[part] - 1
	}
	return int(n)
}
