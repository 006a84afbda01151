package verify

import (
	"cmp"
	"encoding/binary"
	"slices"
)

// Where gateways speak BGP, a loss changes what they learnt and nothing of what the plan itself has. So a row is kept in two parts: the cells that the plan itself has, and the
// kinds of prefixes that lie over them. What a gateway learnt of the first of those kinds goes before its cell.

// A layer is what lies over the cells of a row.
type layer struct {
	kinds []int32 // whose prefixes cover the addresses of the row, the longest prefix first
	depth []uint8 // by gateway, then place: how many of the kinds go before what the plan itself has there
}

// layers are what lies over every row of a world.
type layers struct {
	list   []layer
	ofSort []int32 // number in the list
	ofRow  []int32 // the same
}

// alike reports whether the same lies over a row and over a sort. It does where nothing lies over anything.
func (l *layers) alike(row int32, sort int) bool { return l == nil || l.ofRow[row] == l.ofSort[sort] }

// add takes note of a row that is made of a sort.
func (l *layers) add(sort int) {
	if l != nil {
		l.ofRow = append(l.ofRow, l.ofSort[sort])
	}
}

// over returns what lies over a row.
func (l *layers) over(row int32) *layer { return &l.list[l.ofRow[row]] }

// A cover is a kind, and the length of the prefix with which it covers something.
type cover struct {
	kind int32
	bits uint8
}

// gather makes one sort of all addresses of a family that nobody owns: what becomes of packets to them does not matter. With BGP every tunnel has two of them, and a row for each
// would be most of what there is.
func (d *drawing) gather() {
	for a, owner := range d.owner {
		if owner == nobody {
			d.sort.of[a] = int32(d.sorts) + int32(familyOf(d.atoms.starts[a]))
		}
	}
	d.sort.sizes = make([]int32, d.sorts+int(families))
	d.sorts = d.sort.compact()
}

// makeLayers puts kinds, of which these are the lists, over every sort.
func (d *drawing) makeLayers(kinds []listID) *layers {
	cells, covers := d.cells(), make([][]cover, d.sorts)
	for k, id := range kinds {
		for _, c := range cells[id] {
			covers[c.sort] = append(covers[c.sort], cover{int32(k), c.bits})
		}
	}
	for _, list := range covers {
		slices.SortFunc(list, func(a, b cover) int { return cmp.Compare(b.bits, a.bits) })
	}
	depths := d.depths(cells, covers)
	l, known := &layers{ofSort: make([]int32, d.sorts)}, map[string]int32{}
	for sort, list := range covers {
		x := layer{depth: depths[sort]}
		var id []byte
		for _, c := range list {
			x.kinds = append(x.kinds, c.kind)
			id = binary.LittleEndian.AppendUint32(id, uint32(c.kind))
		}
		id = append(id, x.depth...)
		n, found := known[string(id)]
		if !found {
			n = int32(len(l.list))
			known[string(id)] = n
			l.list = append(l.list, x)
		}
		l.ofSort[sort] = n
	}
	return l
}

// depths works out the depth of every sort that something covers. Of two prefixes as long the place's own goes first; then, at a gateway, the plan's own route, and at a
// router what it learns. A plan in which a router has both is wrong by that alone.
func (d *drawing) depths(cells [][]cell, covers [][]cover) [][]uint8 {
	gateways, width := len(d.m.gateways), len(d.m.gateways)+len(d.m.places)
	out := make([][]uint8, d.sorts)
	for sort, list := range covers {
		if len(list) > 0 {
			out[sort] = make([]uint8, width)
		}
	}
	var painters [workers]*painter
	parallel(width, func(worker, n int) {
		if painters[worker] == nil {
			painters[worker] = newPainter(d.sorts)
		}
		p, column := painters[worker], n
		if n >= gateways {
			column += len(d.m.devices)
		}
		d.column(d.m, cells, p, column)
		for sort, list := range covers {
			least := p.length[sort] + 1
			if n >= gateways && p.value[sort] != local {
				least = p.length[sort]
			}
			for _, c := range list {
				if int16(c.bits) >= least {
					out[sort][n]++
				}
			}
		}
	})
	return out
}
