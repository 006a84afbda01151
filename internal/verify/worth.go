package verify

// Most pairs of addresses may not talk, and the first gateway says so. To judge a pair takes a hundred times as long as to see that nothing
// can be wrong with it, so that is what is seen first, for 64 kinds of destination at a time: no access entry and no test is about the
// pair, and the filter of no gateway of the source's place lets anything out. Such a packet arrives nowhere, as it should. Only
// circles are found without looking at filters, so rows with a circle are always judged.

// A spot is a place and a kind of address in it.
type spot struct{ owner, kind int32 }

// worthy says which pairs have to be judged.
type worthy struct {
	words int
	bits  []uint64 // by spot, then kind of destination; nil where there are too many to keep
	all   bool     // judge everything
	loops []bool   // by row: packets for it can go in a circle
}

// mostWords bounds the table of pairs, in words of 8 bytes: 128 MiB.
const mostWords = 1 << 24

// makeWorthy fills the table.
func (d *drawing) makeWorthy(kinds int) {
	w, m := d.world, d.m
	t := &w.worthy
	t.words = (kinds + 63) / 64
	t.loops = make([]bool, len(w.rows))
	if len(w.spots)*t.words > mostWords {
		t.all = true
		return
	}
	t.bits = make([]uint64, len(w.spots)*t.words)
	var access, tests []*member
	for i := range w.in.Access {
		access = append(access, d.member(m.pool.lists[w.spec.lists[&w.in.Access[i].To]]))
	}
	for i := range w.in.Tests {
		tests = append(tests, d.member(m.pool.lists[w.spec.lists[&w.in.Tests[i].To]]))
	}
	parallel(len(w.spots), func(_, i int) {
		row, s := t.bits[i*t.words:(i+1)*t.words], w.spots[i]
		unite(row, w.spec.accessFrom[s.kind], access)
		unite(row, w.spec.testFrom[s.kind], tests)
		for _, g := range m.places[s.owner].gateways {
			for _, r := range w.gates[m.gateways[g].filter].out {
				if r.from.has(s.kind) {
					r.to.unite(row)
				}
			}
		}
	})
	parallel(len(w.rows), func(_, row int) {
		t.loops[row] = w.rowOwner[row] != nobody && w.circles(m, w.rows[row])
	})
}

// unite adds the kinds of some of the lists.
func unite(row []uint64, which set, lists []*member) {
	for i := which.firstOfBoth(which, 0); i >= 0; i = which.firstOfBoth(which, i+1) {
		lists[i].unite(row)
	}
}

// unite adds the kinds of a list. A list's bits begin at a whole word.
func (m *member) unite(row []uint64) {
	for i, x := range m.bits {
		row[int(m.base)/64+i] |= x
	}
}

// judges reports whether a pair of classes has to be judged, in either direction.
func (t *worthy) judges(a, b *class) bool {
	return t.all || t.loops[a.row] || t.loops[b.row] || t.has(a.spot, b.kind) || t.has(b.spot, a.kind)
}

// rowsWorthy reports whether any pair of classes of two rows has to be judged.
func (w *world) rowsWorthy(a, b int32) bool {
	if !w.meet(a, b) {
		return false
	}
	for _, c := range w.byRow[a] {
		for _, d := range w.byRow[b] {
			if w.worthy.judges(&w.classes[c], &w.classes[d]) {
				return true
			}
		}
	}
	return false
}

func (t *worthy) has(spot, kind int32) bool {
	return t.bits[int(spot)*t.words+int(kind>>6)]&(1<<(kind&63)) != 0
}

// circles reports whether packets for a row can go in a circle: between gateways, or between a router and its gateway. It follows every
// gateway to where it leads, once.
func (w *world) circles(m *Model, row []uint16) bool {
	for p := range m.places {
		if entry := row[w.entryAt+p]; entry != nowhere && entry != local {
			if g := m.places[p].via[entry-1]; g != nobody && row[g] == local {
				return true
			}
		}
	}
	seen := make([]int32, len(m.gateways)) // 1 + the gateway from which it was first come to
	for g := range m.gateways {
		for h := int32(g); h != nobody; h = m.next(row, w.keysAt, h) {
			if seen[h] != 0 {
				if seen[h] == int32(g)+1 {
					return true
				}
				break
			}
			seen[h] = int32(g) + 1
		}
	}
	return false
}
