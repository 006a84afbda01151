package verify

import (
	"bytes"
	"hash/maphash"
	"slices"
	"unsafe"
)

// A cell is one sort of address in a list, and the longest prefix of the list that covers it.
type cell struct {
	sort int32
	bits uint8
}

// cells works out a routing list, for all gateways that use it.
func (d *drawing) cells() [][]cell {
	out := make([][]cell, len(d.m.pool.lists))
	seen := make([]int32, d.sorts)
	for id, list := range d.m.pool.lists {
		if !d.m.routes(listID(id)) {
			continue
		}
		d.atoms.each(list, func(s span) {
			for a := s.lo; a < s.hi; a++ {
				if sort := d.sort.of[a]; seen[sort] != int32(id) {
					seen[sort] = int32(id)
					out[id] = append(out[id], cell{sort, s.bits})
				}
			}
		})
	}
	return out
}

// A painter fills the column of one table: the longest prefix wins, and of two as long the later, because the second of two routes or
// peers with the same prefix takes it over from the first.
type painter struct {
	value  []uint16 // by sort
	length []int16
}

func newPainter(sorts int) *painter {
	return &painter{make([]uint16, sorts), make([]int16, sorts)}
}

func (p *painter) reset() {
	for i := range p.length {
		p.length[i] = -1
	}
	clear(p.value)
}

func (p *painter) paint(cells []cell, value uint16) {
	for _, c := range cells {
		if int16(c.bits) >= p.length[c.sort] {
			p.length[c.sort], p.value[c.sort] = int16(c.bits), value
		}
	}
}

// stripe is how many columns are painted before they are written to the rows: a cache line's worth of cells.
const stripe = 32

// makeRows paints the columns of every gateway, device and place, a stripe at a time, and merges rows that are alike.
func (d *drawing) makeRows() {
	w, m, sorts := d.world, d.m, d.sorts
	width := w.entryAt + len(m.places)
	cells := d.cells()
	all := make([]uint16, width*sorts)
	painters := [workers][]*painter{}
	parallel((width+stripe-1)/stripe, func(worker, i int) {
		if painters[worker] == nil {
			for range stripe {
				painters[worker] = append(painters[worker], newPainter(sorts))
			}
		}
		first := i * stripe
		columns := painters[worker][:min(stripe, width-first)]
		for k, p := range columns {
			w.column(m, cells, p, first+k)
		}
		for sort := range sorts {
			row := all[sort*width+first:]
			for k, p := range columns {
				row[k] = p.value[sort]
			}
		}
	})
	d.mergeRows(all, width)
}

// column paints what one gateway, device or place does with every sort of address.
func (w *world) column(m *Model, cells [][]cell, p *painter, n int) {
	p.reset()
	switch {
	case n < w.keysAt:
		g := &m.gateways[n]
		for i, list := range g.routes {
			p.paint(cells[list], uint16(i+1))
		}
		p.paint(cells[g.own], local)
	case n < w.entryAt:
		for i, list := range m.devices[n-w.keysAt].allowed {
			p.paint(cells[list], uint16(i+1))
		}
	default:
		at := &m.places[n-w.entryAt]
		for i, list := range at.routes {
			p.paint(cells[list], uint16(i+1))
		}
		p.paint(cells[at.own], local)
	}
}

// mergeRows keeps one of all rows of an owner and a family that are alike, whatever BGP puts over them, and notes the row of every atom. All atoms of a sort
// have one owner, and are of one family.
func (d *drawing) mergeRows(all []uint16, width int) {
	w, sorts := d.world, d.sorts
	example := make([]int, sorts) // an atom of each
	for a, sort := range d.sort.of {
		example[sort] = a
	}
	rowOfSort := make([]int32, sorts)
	byHash := map[uint64][]int32{}
	seed := maphash.MakeSeed() // decides only what is compared with what
	for sort := range sorts {
		row := all[sort*width : (sort+1)*width]
		owner, family := d.owner[example[sort]], familyOf(d.atoms.starts[example[sort]])
		h := maphash.Bytes(seed, bytesOf(row))
		found := nobody
		for _, r := range byHash[h] {
			if w.rowOwner[r] == owner && w.rowFamily[r] == family && d.layers.alike(r, sort) && bytes.Equal(bytesOf(w.rows[r]), bytesOf(row)) {
				found = r
				break
			}
		}
		if found == nobody {
			found = int32(len(w.rows))
			w.rows = append(w.rows, slices.Clone(row))
			w.rowOwner, w.rowFamily = append(w.rowOwner, owner), append(w.rowFamily, family)
			byHash[h] = append(byHash[h], found)
			d.layers.add(sort)
		}
		rowOfSort[sort] = found
	}
	d.rowOf = make([]int32, len(d.sort.of))
	for a, sort := range d.sort.of {
		d.rowOf[a] = rowOfSort[sort]
	}
	w.rowAtoms = make([]int32, len(w.rows))
}

// bytesOf returns a row as bytes, which compare and hash several times as fast.
func bytesOf(row []uint16) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(row))), 2*len(row))
}
