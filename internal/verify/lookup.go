package verify

import "net/netip"

// An overlay is what updates changed in one table: entries taken out of the lists it was made of, and entries put beside them.
type overlay struct {
	minus, plus []entry
}

// An entry is a prefix in a table, and the number of the route group or peer that has it.
type entry struct {
	prefix netip.Prefix
	number int32
}

// A hit is what a table says of an address: the longest prefix that holds it, and whose it is.
type hit struct {
	prefix netip.Prefix
	number int32
	found  bool
}

// take keeps the longer of two prefixes, and of two as long the later one.
func (h *hit) take(p netip.Prefix, number int32) {
	if !h.found || p.Bits() > h.prefix.Bits() || p.Bits() == h.prefix.Bits() && number >= h.number {
		*h = hit{p, number, true}
	}
}

// lookup finds an address in a table by reading all of it. This is the slow way; rows are the fast one.
func (m *Model) lookup(lists []listID, o *overlay, a netip.Addr) hit {
	var best hit
	for i, list := range lists {
		for _, n := range m.pool.lists[list] {
			if p := m.pool.prefixes[n]; p.Contains(a) && !o.without(entry{p, int32(i)}) {
				best.take(p, int32(i))
			}
		}
	}
	if o != nil {
		for _, e := range o.plus {
			if e.prefix.Contains(a) {
				best.take(e.prefix, e.number)
			}
		}
	}
	return best
}

func (o *overlay) without(e entry) bool {
	if o == nil {
		return false
	}
	for _, gone := range o.minus {
		if gone == e {
			return true
		}
	}
	return false
}

// routeTo returns the route of a gateway to an address; own tells that the place's own prefix is as long or longer.
func (m *Model) routeTo(g int32, a netip.Addr) (h hit, own bool) {
	at := &m.gateways[g]
	h = m.lookup(at.routes, m.changes[g], a)
	return m.orOwn(h, at.own, a)
}

// entryTo returns the route of a place's router to an address.
func (m *Model) entryTo(p int32, a netip.Addr) (h hit, own bool) {
	at := &m.places[p]
	return m.orOwn(m.lookup(at.routes, nil, a), at.own, a)
}

func (m *Model) orOwn(h hit, list listID, a netip.Addr) (hit, bool) {
	p, found := m.pool.longest(list, a)
	if found && (!h.found || p.Bits() >= h.prefix.Bits()) {
		return hit{prefix: p, number: nobody, found: true}, true
	}
	return h, false
}

// peerFor returns the peer of a device that an address belongs to, by cryptokey routing.
func (m *Model) peerFor(x int32, a netip.Addr) hit {
	return m.lookup(m.devices[x].allowed, m.changes[int32(len(m.gateways))+x], a)
}

// ownerOf returns the place that owns an address, or nobody.
func (m *Model) ownerOf(a netip.Addr) int32 {
	owner, length := nobody, -1
	for i := range m.places {
		if p, found := m.pool.longest(m.places[i].own, a); found && p.Bits() > length {
			owner, length = int32(i), p.Bits()
		}
	}
	return owner
}
