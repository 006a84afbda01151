package verify

import (
	"bytes"
	"net/netip"
	"slices"
)

// Updates cut rows where an address comes to differ from its fellows, and most changes are taken back some day. So rows that have become
// alike are joined again: a world does not grow with the number of updates, and the next one has less to judge.

// mix makes a number out of a cell and its column. A row's hash is all of them taken together, so that it follows a change of one cell.
func mix(column int32, cell uint16) uint64 {
	x := (uint64(column)<<16 | uint64(cell)) * 0x9e3779b97f4a7c15
	x ^= x >> 29
	x *= 0xbf58476d1ce4e5b9
	return x ^ x>>32
}

// copyRow adds a row that is like another and has no atoms yet.
func (w *world) copyRow(row int32) int32 {
	l := w.live
	n := int32(len(w.rows))
	if k := len(l.rows); k > 0 {
		n, l.rows = l.rows[k-1], l.rows[:k-1]
		copy(w.rows[n], w.rows[row])
	} else {
		w.rows = append(w.rows, slices.Clone(w.rows[row]))
		w.rowOwner = append(w.rowOwner, nobody)
		w.rowFamily = append(w.rowFamily, ipv4)
		w.rowAtoms = append(w.rowAtoms, 0)
		w.byRow = append(w.byRow, nil)
		w.parted = append(w.parted, nil)
		l.beyond = append(l.beyond, nil)
		l.hashes = append(l.hashes, 0)
	}
	w.rowOwner[n], w.rowFamily[n], l.hashes[n] = w.rowOwner[row], w.rowFamily[row], l.hashes[row]
	w.parted[n] = append(w.parted[n][:0], w.parted[row]...)
	w.partings += len(w.parted[row])
	l.beyond[n] = append(l.beyond[n][:0], l.beyond[row]...)
	for _, p := range l.beyond[n] {
		l.carriers[p.gateway]++
	}
	if owner := w.rowOwner[n]; owner != nobody {
		w.byPlace[owner] = append(w.byPlace[owner], n)
	}
	return n
}

// dropRow takes a row that has no atoms out of everything.
func (w *world) dropRow(row int32) {
	l := w.live
	w.partings -= len(w.parted[row])
	w.parted[row] = w.parted[row][:0]
	for _, p := range l.beyond[row] {
		l.carriers[p.gateway]--
	}
	l.beyond[row] = l.beyond[row][:0]
	if owner := w.rowOwner[row]; owner != nobody {
		list := w.byPlace[owner]
		i := slices.Index(list, row)
		w.byPlace[owner] = slices.Delete(list, i, i+1)
	}
	w.rowOwner[row] = nobody
	l.rows = append(l.rows, row)
}

// rejoin gives the atoms of a row to another row of the place and family that is like it, if there is one. Both must have been judged.
func (w *world) rejoin(row int32) {
	owner := w.rowOwner[row]
	if owner == nobody || w.rowAtoms[row] == 0 {
		return
	}
	for _, other := range w.byPlace[owner] {
		if other != row && w.rowFamily[other] == w.rowFamily[row] && w.live.hashes[other] == w.live.hashes[row] && bytes.Equal(bytesOf(w.rows[other]), bytesOf(w.rows[row])) {
			w.merge(row, other)
			return
		}
	}
}

// merge gives the atoms of a row to a row like it.
func (w *world) merge(row, into int32) {
	for _, c := range slices.Clone(w.byRow[row]) {
		at := slices.IndexFunc(w.byRow[into], func(d int32) bool { return w.classes[d].kind == w.classes[c].kind })
		to := c
		if at >= 0 {
			to = w.byRow[into][at]
		} else {
			w.classes[c].row = into
			w.byRow[row] = slices.DeleteFunc(w.byRow[row], func(x int32) bool { return x == c })
			w.byRow[into] = append(w.byRow[into], c)
		}
		moved := w.classes[c].atoms
		for _, start := range moved {
			a := w.space.find(start)
			a.row, a.class = into, to
			if to != c {
				w.classes[to].adopt(start)
			}
		}
		if to != c {
			w.classes[c].atoms = moved[:0]
			w.bury(c, row)
		}
	}
	w.rowAtoms[into] += w.rowAtoms[row]
	w.rowAtoms[row] = 0
	w.dropRow(row)
}

// adopt puts an atom into a class.
func (c *class) adopt(start netip.Addr) {
	i, _ := slices.BinarySearchFunc(c.atoms, start, netip.Addr.Compare)
	c.atoms = slices.Insert(c.atoms, i, start)
}

// spareClass adds a class, in the place of one that has no atoms any more where there is one.
func (w *world) spareClass(c class) int32 {
	l := w.live
	k := len(l.classes)
	if k == 0 {
		w.newClass(c)
		return int32(len(w.classes)) - 1
	}
	n := l.classes[k-1]
	l.classes = l.classes[:k-1]
	c.atoms = w.classes[n].atoms[:0]
	w.classes[n] = c
	w.byRow[c.row] = append(w.byRow[c.row], n)
	return n
}

// bury takes a class without atoms out of everything.
func (w *world) bury(c, row int32) {
	w.byRow[row] = slices.DeleteFunc(w.byRow[row], func(x int32) bool { return x == c })
	for _, p := range w.bad[c] {
		w.markOne(p.other, c, false, false)
		if p.severe {
			w.severe--
		}
	}
	w.bad[c] = w.bad[c][:0]
	w.live.classes = append(w.live.classes, c)
}
