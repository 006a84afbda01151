package verify

import (
	"net/netip"
	"slices"

	"ropeway/internal/diag"
)

// live is what updates need beside the world: the way back from an address to the lists that hold it, and which gateways carry
// what for others. It is made at the first update.
type live struct {
	inverted [][]held    // by sort
	beyond   [][]passing // by row
	carriers []int32     // by gateway: rows that have it in beyond
	sound    bool        // nothing that no update changes is an error
	judge    *judge
	hashes   []uint64          // by row
	rows     []int32           // without atoms, to be used again
	classes  []int32           // the same
	byList   map[int32]*chains // by column: its peers or route groups by list
	byPeer   map[int32]*chains // by gateway: its route groups by peer
}

// numbers returns what finds the peers or route groups of a table by list.
func (l *live) numbers(column int32, lists []listID) *chains {
	c := l.byList[column]
	if c == nil {
		c = newChains(len(lists), func(i int) uint32 { return uint32(lists[i]) })
		l.byList[column] = c
	}
	for len(c.next) < len(lists) {
		c.add(0) // a group that an update added begins empty
	}
	return c
}

// groups returns what finds the route groups of a gateway by peer.
func (l *live) groups(number int32, g *gateway) *chains {
	c := l.byPeer[number]
	if c == nil {
		c = newChains(len(g.groups), func(i int) uint32 { return uint32(g.groups[i].peer) })
		l.byPeer[number] = c
	}
	return c
}

// held says that a list holds addresses of a sort, with a prefix of so many bits.
type held struct {
	list listID
	bits uint8
}

// passing says that packets of a row are sent to a gateway that is not of the place that owns it, and by how many gateways.
type passing struct {
	gateway int32
	senders int32
}

func newLive(m *Model) *live {
	w := m.world
	l := &live{judge: newJudge(m, w), sound: true, carriers: make([]int32, len(m.gateways)), byList: map[int32]*chains{}, byPeer: map[int32]*chains{}}
	l.invert(m)
	l.beyond = make([][]passing, len(w.rows))
	l.hashes = make([]uint64, len(w.rows))
	parallel(len(w.rows), func(_, row int) {
		for column, cell := range w.rows[row] {
			l.hashes[row] ^= mix(int32(column), cell)
		}
		if w.rowOwner[row] != nobody {
			for g := range m.gateways {
				l.beyond[row], _ = w.pass(m, l.beyond[row], int32(row), m.next(w.rows[row], w.keysAt, int32(g)), 1)
			}
		}
	})
	for _, list := range l.beyond {
		for _, p := range list {
			l.carriers[p.gateway]++
		}
	}
	fixed := slices.Clone(m.problems)
	for i := range m.devices {
		fixed = append(fixed, m.sessionProblems(&m.devices[i])...)
	}
	fixed = append(fixed, m.ownership()...)
	for _, t := range w.testSizes() {
		if t.unowned.IsValid() {
			l.sound = false
		}
	}
	l.sound = l.sound && !slices.ContainsFunc(fixed, func(p diag.Problem) bool { return p.Severity == diag.Error })
	return l
}

// invert notes for every sort the routing lists that hold it. A list that holds one address of a sort holds all of them, with prefixes
// of the same length.
func (l *live) invert(m *Model) {
	w := m.world
	sorts := int32(0)
	for a := range w.space.all() {
		sorts = max(sorts, a.sort+1)
	}
	l.inverted = make([][]held, sorts)
	seen := make([]listID, sorts)
	for id, list := range m.pool.lists {
		if !m.routes(listID(id)) {
			continue
		}
		for _, n := range list {
			p := m.pool.prefixes[n]
			for a := range w.space.from(p.Addr()) {
				if !p.Contains(a.start) {
					break
				}
				if seen[a.sort] != listID(id) {
					seen[a.sort] = listID(id)
					l.inverted[a.sort] = append(l.inverted[a.sort], held{list: listID(id)})
				}
				last := &l.inverted[a.sort][len(l.inverted[a.sort])-1]
				last.bits = max(last.bits, uint8(p.Bits()))
			}
		}
	}
}

// next returns the gateway to which a gateway sends packets of a row, or nobody.
func (m *Model) next(row []uint16, keysAt int, g int32) int32 {
	cell := row[g]
	if cell == nowhere || cell == local {
		return nobody
	}
	group := &m.gateways[g].groups[cell-1]
	if group.device == nobody {
		return nobody
	}
	peer := row[keysAt+int(group.device)]
	if peer == nowhere {
		return nobody
	}
	s := &m.devices[group.device].sessions[peer-1]
	if s.fault != noFault {
		return nobody
	}
	return m.devices[s.far].gateway
}

// send notes that one more, or with -1 one less, gateway sends packets of a row to another.
func (l *live) send(m *Model, row, to, by int32) {
	var came int32
	if l.beyond[row], came = m.world.pass(m, l.beyond[row], row, to, by); came != 0 {
		l.carriers[to] += came
	}
}

// pass returns the list of a row with one more, or one less, that sends to a gateway, and 1 or -1 where that gateway came or went.
func (w *world) pass(m *Model, list []passing, row, to, by int32) (after []passing, came int32) {
	if to == nobody || w.rowOwner[row] == nobody || m.gateways[to].place == w.rowOwner[row] {
		return list, 0
	}
	i := slices.IndexFunc(list, func(p passing) bool { return p.gateway == to })
	if i < 0 {
		return append(list, passing{to, by}), 1
	}
	if list[i].senders += by; list[i].senders == 0 {
		return slices.Delete(list, i, i+1), -1
	}
	return list, 0
}

// carries reports whether packets of a row are sent to a gateway of another place.
func (l *live) carries(row, g int32) bool {
	return slices.ContainsFunc(l.beyond[row], func(p passing) bool { return p.gateway == g })
}

// cellOf works out what a table says of an atom.
func (m *Model) cellOf(e edit, lists []listID, a *atom) uint16 {
	var best hit
	o := m.changes[e.column]
	own, u := listID(0), forKeys
	if int(e.column) < len(m.gateways) {
		own, u = m.gateways[e.column].own, forRoutes
	}
	ownBits := -1
	numbers := m.world.live.numbers(e.column, lists)
	for _, h := range m.world.live.inverted[a.sort] {
		if h.list == own && own != 0 {
			ownBits = int(h.bits)
		}
		if m.uses[h.list]&u == 0 || best.found && int(h.bits) < best.prefix.Bits() {
			continue
		}
		p, _ := a.start.Prefix(int(h.bits))
		for i := numbers.last(uint32(h.list)); i >= 0; i = numbers.before(i) {
			if lists[i] != h.list {
				continue
			}
			if !o.without(entry{p, i}) {
				best.take(p, i)
				break
			}
			if q, found := m.longestBut(h.list, o, i, a.start); found {
				best.take(q, i)
			}
		}
	}
	if o != nil {
		for _, x := range o.plus {
			if x.prefix.Contains(a.start) {
				best.take(x.prefix, x.number)
			}
		}
	}
	switch {
	case ownBits >= 0 && (!best.found || ownBits >= best.prefix.Bits()):
		return local
	case !best.found:
		return nowhere
	}
	return uint16(best.number + 1)
}

// longestBut returns the longest prefix of a list that holds an address and was not taken out of this table.
func (m *Model) longestBut(id listID, o *overlay, number int32, a netip.Addr) (best netip.Prefix, found bool) {
	for _, n := range m.pool.lists[id] {
		p := m.pool.prefixes[n]
		if p.Contains(a) && (!found || p.Bits() > best.Bits()) && !o.without(entry{p, number}) {
			best, found = p, true
		}
	}
	return best, found
}

// recount notes whether a table has a prefix twice.
func (m *Model) recount(e edit, lists []listID) {
	u := forKeys
	if int(e.column) < len(m.gateways) {
		u = forRoutes
	}
	o := m.changes[e.column]
	n := 0
	numbers := m.world.live.numbers(e.column, lists)
	for _, h := range m.world.live.inverted[m.world.space.find(e.prefix.Addr()).sort] {
		if m.uses[h.list]&u == 0 || int(h.bits) < e.prefix.Bits() || !m.pool.has(h.list, e.prefix) {
			continue
		}
		for i := numbers.last(uint32(h.list)); i >= 0; i = numbers.before(i) {
			if lists[i] == h.list && !o.without(entry{e.prefix, i}) {
				n++
			}
		}
	}
	if o != nil {
		for _, x := range o.plus {
			if x.prefix == e.prefix {
				n++
			}
		}
	}
	if n > 1 {
		m.repeated[repeat{e.column, e.prefix}] = true
	} else if len(m.repeated) > 0 {
		delete(m.repeated, repeat{e.column, e.prefix})
	}
}
