package verify

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"ropeway/internal/diag"
)

// A Table is what a Change is about.
type Table string

const (
	RouteTable   Table = "routes"      // of a gateway
	AllowedTable Table = "allowed-ips" // of a device
)

// A Change is one rule of one gateway that is added, removed or moved.
type Change struct {
	Gateway string
	Table   Table
	Device  string // the device of the route, or whose peers they are
	Prefix  netip.Prefix
	From    string // the peer that has the prefix now; "" where it is added
	To      string // the peer that gets it; "" where it is removed
	MTU     int    // of the route that is added or moved
}

// An edit is a Change with everything found.
type edit struct {
	column   int32 // of a row
	gateway  int32
	prefix   netip.Prefix
	from, to int32 // numbers of route groups or peers; nobody
}

var errUnchecked = errors.New("update: Check has not been run, so there is nothing to keep up to date")

// resolve finds what a change is about, or says what it is wrong with it. Nothing changes, but that a route group that does not exist
// yet is made, empty.
func (m *Model) resolve(c Change) (edit, error) {
	e := edit{column: nobody, prefix: c.Prefix, from: nobody, to: nobody}
	if !c.Prefix.IsValid() || c.Prefix != c.Prefix.Masked() || c.Prefix.Addr().Is4In6() {
		return e, fmt.Errorf("update: prefix %s is not canonical", c.Prefix)
	}
	if c.From == "" && c.To == "" {
		return e, fmt.Errorf("update: a change of %s names neither the peer that has it nor the one that gets it", c.Prefix)
	}
	n, known := m.numbers[c.Gateway]
	if !known {
		return e, fmt.Errorf("update: the plan has no gateway %s", diag.Quote(c.Gateway))
	}
	e.gateway = n
	dev := m.deviceNamed(n, c.Device)
	if dev == nobody {
		return e, fmt.Errorf("update: gateway %s has no device %s", c.Gateway, diag.Quote(c.Device))
	}
	switch c.Table {
	case RouteTable:
		e.column = n
		return e, m.resolveRoutes(&e, c, dev)
	case AllowedTable:
		e.column = int32(len(m.gateways)) + dev
		return e, m.resolvePeers(&e, c, dev)
	}
	return e, fmt.Errorf("update: there is no table %s", diag.Quote(string(c.Table)))
}

func (m *Model) deviceNamed(gateway int32, name string) int32 {
	for _, d := range m.gateways[gateway].devices {
		if m.devices[d].Name == name {
			return d
		}
	}
	return nobody
}

func (m *Model) resolvePeers(e *edit, c Change, dev int32) error {
	for _, side := range []struct {
		name string
		to   *int32
	}{{c.From, &e.from}, {c.To, &e.to}} {
		if side.name == "" {
			continue
		}
		if *side.to = m.peerNamed(dev, side.name); *side.to == nobody {
			return fmt.Errorf("update: device %s of gateway %s has no peer %s", c.Device, c.Gateway, diag.Quote(side.name))
		}
	}
	lists := m.devices[dev].allowed
	return m.fits(e, c, lists)
}

// fits refuses to take a prefix from where it is not, or to put it where it is.
func (m *Model) fits(e *edit, c Change, lists []listID) error {
	if e.from != nobody && !m.holds(e.column, lists, e.from, e.prefix) {
		return fmt.Errorf("update: peer %s of gateway %s does not have %s", c.From, c.Gateway, c.Prefix)
	}
	if e.to != nobody && m.holds(e.column, lists, e.to, e.prefix) {
		return fmt.Errorf("update: peer %s of gateway %s already has %s", c.To, c.Gateway, c.Prefix)
	}
	return nil
}

func (m *Model) peerNamed(dev int32, name string) int32 {
	x := &m.devices[dev]
	if g, known := m.numbers[name]; known {
		return int32(x.toward[g]) - 1
	}
	for k, p := range x.Peers[:len(x.allowed)] {
		if p != nil && p.Gateway == name {
			return int32(k)
		}
	}
	return nobody
}

// holds reports whether an entry of a table is in it.
func (m *Model) holds(column int32, lists []listID, number int32, p netip.Prefix) bool {
	o, e := m.changes[column], entry{p, number}
	if o != nil && slices.Contains(o.plus, e) {
		return true
	}
	return m.pool.has(lists[number], p) && !o.without(e)
}

func (m *Model) resolveRoutes(e *edit, c Change, dev int32) error {
	g := &m.gateways[e.gateway]
	var fromPeer, toPeer uint16
	if n, known := m.numbers[c.From]; known {
		fromPeer = m.devices[dev].toward[n]
	}
	to, known := m.numbers[c.To]
	if known {
		toPeer = m.devices[dev].toward[to]
	} else {
		to = nobody
	}
	want := m.group(g, c.Device, to, c.MTU)
	byPeer := m.world.live.groups(e.gateway, g)
	if c.From != "" {
		e.from = m.find(byPeer, g, group{dev, fromPeer, 0}, c.From, func(i int32) bool { return m.holds(e.column, g.routes, i, e.prefix) })
	}
	if c.To != "" {
		e.to = m.find(byPeer, g, group{dev, toPeer, 0}, c.To, func(i int32) bool { return g.groups[i].mtu == want.mtu })
	}
	if c.From != "" && e.from == nobody {
		return fmt.Errorf("update: gateway %s has no route to %s by peer %s", c.Gateway, c.Prefix, diag.Quote(c.From))
	}
	if c.To != "" && e.to == nobody {
		if len(g.groups) >= most {
			return fmt.Errorf("update: gateway %s has %d route groups already", c.Gateway, most)
		}
		e.to = int32(len(g.groups))
		g.groups, g.routes = append(g.groups, want), append(g.routes, 0)
		g.added = append(g.added, words{c.Device, c.To, c.MTU})
		byPeer.add(uint32(want.peer))
	}
	return m.fits(e, c, g.routes)
}

// find returns the lowest number of a gateway's route groups for a device and peer that fits, or nobody.
func (m *Model) find(byPeer *chains, g *gateway, like group, peer string, fits func(i int32) bool) int32 {
	found := nobody
	for i := byPeer.last(uint32(like.peer)); i >= 0; i = byPeer.before(i) {
		if x := &g.groups[i]; x.device == like.device && x.peer == like.peer && fits(i) && (x.peer != 0 || g.words(int(i)).peer == peer) {
			found = i
		}
	}
	return found
}

// words are the names in a route group, and its MTU.
type words struct {
	device, peer string
	mtu          int
}

// words returns those of a route group, of the plan or added since.
func (g *gateway) words(number int) words {
	if n := number - (len(g.routes) - len(g.added)); n >= 0 {
		return g.added[n]
	}
	r := g.Routes[number]
	if r == nil {
		return words{}
	}
	return words{r.Device, r.Peer, r.MTU}
}

// put carries an edit out in the lists: the overlay of the table takes what the lists themselves cannot.
func (m *Model) put(e edit) {
	o := m.changes[e.column]
	if o == nil {
		o = &overlay{}
		m.changes[e.column] = o
	}
	if e.from != nobody {
		gone := entry{e.prefix, e.from}
		if i := slices.Index(o.plus, gone); i >= 0 {
			o.plus = slices.Delete(o.plus, i, i+1)
		} else {
			o.minus = append(o.minus, gone)
		}
		m.rules--
	}
	if e.to != nobody {
		come := entry{e.prefix, e.to}
		if i := slices.Index(o.minus, come); i >= 0 {
			o.minus = slices.Delete(o.minus, i, i+1)
		} else {
			o.plus = append(o.plus, come)
		}
		m.rules++
	}
	if len(o.minus)+len(o.plus) == 0 {
		delete(m.changes, e.column)
	}
}

// settle writes what updates changed into the lists, so that a new world can be made of them.
func (m *Model) settle() {
	for column, o := range m.changes {
		n := int(column)
		if n < len(m.gateways) {
			m.settleTable(m.gateways[n].routes, o, forRoutes)
		} else {
			m.settleTable(m.devices[n-len(m.gateways)].allowed, o, forKeys)
		}
	}
	clear(m.changes)
}

func (m *Model) settleTable(lists []listID, o *overlay, u use) {
	touched := map[int32]bool{}
	for _, e := range slices.Concat(o.minus, o.plus) {
		touched[e.number] = true
	}
	for number := range touched {
		list := slices.DeleteFunc(m.pool.text(lists[number]), func(p netip.Prefix) bool { return o.without(entry{p, number}) })
		for _, e := range o.plus {
			if e.number == number {
				list = append(list, e.prefix)
			}
		}
		lists[number] = m.routing(list, u)
	}
}
