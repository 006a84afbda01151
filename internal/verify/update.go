package verify

import (
	"net/netip"
	"slices"

	"ropeway/internal/prefixes"
)

// An Effect is what a proof says after an update.
type Effect struct {
	OK     bool // every test holds and no problem is an error, as in a Report
	Judged int  // pairs of classes that were judged again
	Errors int  // pairs of classes with which something is wrong that is an error
}

// Update carries out one change and judges again what it can have changed, so that Check, with the specification of the last Check, says
// what a Check of the changed plan would. Only the counts of atoms and pairs may be larger: what an update cuts is not joined again.
// An error says what is wrong with the change, which then changes nothing.
//
// Three things can change for the addresses of the prefix. Packets to them that come to this gateway may go another way: that
// concerns the places whose packets come here, which the rest of the row tells. Packets from them that arrive here may be
// refused, or no longer: that concerns whatever is reached through this gateway. And the table may now contradict itself.
// Where gateways speak BGP a change may touch everything, and everything is judged again (renew.go).
func (m *Model) Update(c Change) (Effect, error) {
	w := m.world
	if w == nil || !w.judged {
		return Effect{}, errUnchecked
	}
	if m.source != nil {
		return m.renew(c)
	}
	if w.live == nil {
		w.live = newLive(m)
	}
	e, err := m.resolve(c)
	if err != nil {
		return Effect{}, err
	}
	lists := m.gateways[e.gateway].routes
	if int(e.column) >= len(m.gateways) {
		lists = m.devices[int(e.column)-len(m.gateways)].allowed
	}
	m.put(e)
	w.align(e)
	m.recount(e, lists)
	judged := 0
	rows := w.repaint(m, e, lists)
	for _, row := range rows {
		judged += w.rejudge(m, e, row)
	}
	for _, row := range rows {
		w.rejoin(row)
	}
	w.stats.Rules = m.rules
	ok := w.severe == 0 && len(m.repeated) == 0 && w.partings == 0 && w.live.sound
	return Effect{OK: ok, Judged: judged, Errors: w.severe}, nil
}

// A repainting is an atom and what its cell becomes.
type repainting struct {
	*atom
	cell uint16
}

// A recut is a row, and what one of its cells becomes for some of its atoms.
type recut struct {
	row  int32
	cell uint16
}

// repaint works out the table again for the atoms of the prefix, cuts rows that no longer say the same of all their atoms, and returns
// the rows that changed.
func (w *world) repaint(m *Model, e edit, lists []listID) []int32 {
	var changed []repainting
	counts := map[recut]int32{}
	for a := range w.space.from(e.prefix.Addr()) {
		if !e.prefix.Contains(a.start) {
			break
		}
		if cell := m.cellOf(e, lists, a); cell != w.rows[a.row][e.column] {
			changed = append(changed, repainting{a, cell})
			counts[recut{a.row, cell}]++
		}
	}
	targets := make(map[recut]int32, len(counts))
	classes := map[[2]int32]int32{}
	var rows, empty []int32
	for _, x := range changed {
		key := recut{x.row, x.cell}
		to, known := targets[key]
		if !known {
			to = x.row
			if counts[key] < w.rowAtoms[x.row] {
				to = w.copyRow(x.row)
			}
			targets[key] = to
			rows = append(rows, to)
		}
		if from := x.row; to != from {
			w.moveAtom(x.atom, to, classes)
			if w.rowAtoms[from] == 0 {
				empty = append(empty, from)
			}
		}
	}
	for key, to := range targets {
		w.setCell(m, e, to, key.cell)
	}
	for _, row := range empty {
		w.dropRow(row)
	}
	return rows
}

// moveAtom gives an atom to another row, and to a class of that row. classes remembers which class of the new row stands for which of
// the old one.
func (w *world) moveAtom(a *atom, row int32, classes map[[2]int32]int32) {
	w.rowAtoms[a.row]--
	w.rowAtoms[row]++
	old := a.row
	a.row = row
	if a.class == nobody {
		return
	}
	c, known := classes[[2]int32{a.class, row}]
	if !known {
		c = w.spareClass(class{owner: a.owner, row: row, kind: a.kind, spot: w.classes[a.class].spot})
		classes[[2]int32{a.class, row}] = c
		for _, p := range slices.Clone(w.bad[a.class]) {
			w.bad[c] = append(w.bad[c], p)
			w.markOne(p.other, c, true, p.severe)
			if p.severe {
				w.severe++
			}
		}
	}
	from := &w.classes[a.class]
	i, _ := slices.BinarySearchFunc(from.atoms, a.start, netip.Addr.Compare)
	from.atoms = slices.Delete(from.atoms, i, i+1)
	w.classes[c].atoms = append(w.classes[c].atoms, a.start)
	if len(from.atoms) == 0 {
		w.bury(a.class, old)
	}
	a.class = c
}

// setCell changes one cell of a row, and what is known of the gateway that it belongs to.
func (w *world) setCell(m *Model, e edit, row int32, cell uint16) {
	was := m.next(w.rows[row], w.keysAt, e.gateway)
	w.live.hashes[row] ^= mix(e.column, w.rows[row][e.column]) ^ mix(e.column, cell)
	w.rows[row][e.column] = cell
	if now := m.next(w.rows[row], w.keysAt, e.gateway); now != was {
		w.live.send(m, row, was, -1)
		w.live.send(m, row, now, 1)
	}
	i, known := slices.BinarySearch(w.parted[row], e.gateway)
	switch parts := w.parts(m, row, e.gateway); {
	case parts && !known:
		w.parted[row] = slices.Insert(w.parted[row], i, e.gateway)
		w.partings++
	case !parts && known:
		w.parted[row] = slices.Delete(w.parted[row], i, i+1)
		w.partings--
	}
}

// align makes atoms begin and end where a prefix does.
func (w *world) align(e edit) {
	w.cutAt(e.prefix.Addr())
	if next := prefixes.Last(e.prefix).Next(); next.IsValid() {
		w.cutAt(next)
	}
}

func (w *world) cutAt(a netip.Addr) {
	x := w.space.cut(a)
	if x == nil {
		return
	}
	w.stats.Atoms++
	w.rowAtoms[x.row]++
	if x.class != nobody {
		w.perPlace[w.rowFamily[x.row]][x.owner]++
		w.stats.Pairs = w.pairs()
		w.classes[x.class].adopt(a)
	}
}

// rejudge judges a row that changed with every row that the change concerns, and returns how many pairs of classes that were.
func (w *world) rejudge(m *Model, e edit, row int32) int {
	owner := w.rowOwner[row]
	if owner == nobody {
		return 0
	}
	j := w.live.judge
	judged := 0
	for _, other := range w.concerned(m, e, row) {
		if !w.meet(row, other) {
			continue
		}
		j.rows(side{owner, w.rows[row]}, side{w.rowOwner[other], w.rows[other]})
		for _, a := range w.byRow[row] {
			for _, b := range w.byRow[other] {
				w.mark(a, b, j.pair(&w.classes[a], &w.classes[b]))
				judged++
			}
		}
	}
	return judged
}

// concerned returns the rows of all who send to a row through a gateway and, where its AllowedIPs changed, of all whom the row sends to
// through it.
func (w *world) concerned(m *Model, e edit, row int32) []int32 {
	if int(e.column) < len(m.gateways) {
		return w.senders(m, row, e.gateway)
	}
	out := slices.Clone(w.senders(m, row, e.gateway))
	if at := m.gateways[e.gateway].place; at != nobody {
		out = append(out, w.byPlace[at]...)
	}
	if w.live.carriers[e.gateway] > 0 {
		for other := range w.rows {
			if w.live.carries(int32(other), e.gateway) {
				out = append(out, int32(other))
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// senders returns the rows of the places whose packets to a row come to a gateway: of its own place if the router gives them to
// it, and of those places whose packets reach it by way of others.
func (w *world) senders(m *Model, row, g int32) []int32 {
	reached := []int32{g}
	if m.gateways[g].place == w.rowOwner[row] || w.live.carries(row, g) {
		reached = w.upstream(m, row, g)
	}
	var out []int32
	for _, h := range reached {
		p := m.gateways[h].place
		if p == nobody {
			continue
		}
		entry := w.rows[row][w.entryAt+int(p)]
		if entry == nowhere || entry == local || m.places[p].via[entry-1] != h {
			continue
		}
		if len(reached) == 1 {
			return w.byPlace[p]
		}
		out = append(out, w.byPlace[p]...)
	}
	return out
}

// upstream returns a gateway and all whose packets to a row come to it.
func (w *world) upstream(m *Model, row, g int32) []int32 {
	next := make([]int32, len(m.gateways))
	for h := range next {
		next[h] = m.next(w.rows[row], w.keysAt, int32(h))
	}
	reached, seen := []int32{g}, map[int32]bool{g: true}
	for i := 0; i < len(reached); i++ {
		for h, to := range next {
			if to == reached[i] && !seen[int32(h)] {
				seen[int32(h)] = true
				reached = append(reached, int32(h))
			}
		}
	}
	return reached
}
