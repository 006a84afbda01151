package compile

import (
	"net/netip"
	"slices"
	"strings"

	"ropeway/internal/fabric"
	"ropeway/internal/intent"
	"ropeway/internal/key"
	"ropeway/internal/state"
)

// A graph is the fabric without its prefixes: places and gateways by number, the links between them, and which way packets for
// each place go at each gateway. It depends on neither prefixes nor access, so it outlives a change of those.
type graph struct {
	places   []*place   // in file order
	byName   []*place   // the same, sorted by name
	gateways []*gateway // sorted by name
	hubs     []*place   // by ordinal; made when first asked for
	underlay []int32    // [place × place], bytes; 0 where two places are not joined
	speaks   bool       // gateways speak BGP, and go round what is lost by themselves
	written  bool       // the file has links of its own
}

type place struct {
	*intent.Place
	number   int
	ordinal  int
	gateways []*gateway // by host number
	hubs     []*place   // of a spoke
	first    []*gateway // [place]: the gateway that takes packets for it; nil for the place itself
}

type gateway struct {
	*intent.Gateway
	number    int // in the order of names
	place     *place
	position  int            // among its place's gateways
	tunnel    []netip.Prefix // its tunnel addresses
	key       key.Public
	deviceMTU int
	links     []link    // sorted by the peer's number
	next      []*link   // [place]: where packets for it leave; nil where none cross here
	strands   []*strand // with BGP, in place of links: sorted by the peer's name, then by turn
}

// A link is one end's view of a tunnel.
type link struct {
	peer               *gateway
	underlay, overhead int
	mtu                int
	keepalive          int
	legs               []leg      // what goes this way, by the number of its destination
	beyond             []*gateway // whom it crosses after the peer, by number: ICMP errors come from there
}

// A leg is the traffic for one place that leaves by one link. Beside the place it says who sends it, because that decides
// which of the place's prefixes are needed here.
type leg struct {
	to      *place
	sources []*place // whose packets for the place pass, by number
	mtu     int      // the smallest of all links from here on
}

func newGraph(in *intent.Fabric, lock *state.Lock) *graph {
	g := &graph{underlay: make([]int32, len(in.Places)*len(in.Places)), speaks: in.Routing.Mode == fabric.BGP, written: len(in.Links) > 0}
	byPlace := map[*intent.Place]*place{}
	for i, p := range in.Places {
		np := &place{Place: p, number: i, ordinal: lock.Places[p.Name], first: make([]*gateway, len(in.Places))}
		for pos, gw := range ordered(p, lock) {
			known := lock.Gateways[gw.Name]
			ng := &gateway{Gateway: gw, place: np, position: pos, key: known.PublicKey, next: make([]*link, len(in.Places))}
			ng.tunnel = tunnelAddresses(in, known.Index)
			np.gateways = append(np.gateways, ng)
			g.gateways = append(g.gateways, ng)
		}
		byPlace[p] = np
		g.places = append(g.places, np)
	}
	slices.SortFunc(g.gateways, func(a, b *gateway) int { return strings.Compare(a.Name, b.Name) })
	for i, gw := range g.gateways {
		gw.number = i
	}
	g.byName = slices.SortedFunc(slices.Values(g.places), func(a, b *place) int { return strings.Compare(a.Name, b.Name) })
	for _, p := range g.places {
		for _, h := range p.Hubs {
			p.hubs = append(p.hubs, byPlace[h])
		}
	}
	for l := range in.Joined() {
		g.join(byPlace[l.A], byPlace[l.B], l.UnderlayMTU)
	}
	if in.Routing.Mode == fabric.BGP {
		g.weave(in, lock)
		return g
	}
	g.connect()
	var way []*gateway
	for _, s := range g.places {
		for _, t := range g.places {
			if s != t {
				way = g.path(way[:0], s, t)
				g.route(s, t, way)
			}
		}
	}
	for _, gw := range g.gateways {
		gw.settle()
	}
	return g
}

func tunnelAddresses(in *intent.Fabric, index int) []netip.Prefix {
	addr4 := host(in.Pools.Links4, index)
	out := []netip.Prefix{netip.PrefixFrom(addr4, addr4.BitLen())}
	if in.Pools.Links6.IsValid() {
		addr6 := host(in.Pools.Links6, index)
		out = append(out, netip.PrefixFrom(addr6, addr6.BitLen()))
	}
	return out
}

// join notes that two places have tunnels. A spoke that the file links with a hub has that hub as one of its own: the hub's
// gateways could not otherwise tell its own way to the spoke from the one through the spoke's other hubs.
func (g *graph) join(a, b *place, underlay int) {
	g.underlay[a.number*len(g.places)+b.number] = int32(underlay)
	g.underlay[b.number*len(g.places)+a.number] = int32(underlay)
	for _, pair := range [][2]*place{{a, b}, {b, a}} {
		spoke, hub := pair[0], pair[1]
		if !spoke.Hub && hub.Hub && spoke.hubs != nil && !slices.Contains(spoke.hubs, hub) {
			spoke.hubs = append(spoke.hubs, hub)
		}
	}
}

func (g *graph) joined(a, b *place) bool { return g.underlay[a.number*len(g.places)+b.number] != 0 }

// connect makes the links: every gateway of a place with every gateway of a place that it is joined with.
func (g *graph) connect() {
	for _, a := range g.gateways {
		n := 0
		for _, p := range g.places {
			if g.joined(a.place, p) {
				n += len(p.gateways)
			}
		}
		a.links = make([]link, 0, n)
		for _, b := range g.gateways {
			underlay := int(g.underlay[a.place.number*len(g.places)+b.place.number])
			if underlay == 0 {
				continue
			}
			l := link{peer: b, underlay: underlay, overhead: intent.Overhead(a.Gateway, b.Gateway)}
			a.links = append(a.links, l)
			a.deviceMTU = max(a.deviceMTU, underlay-l.overhead)
		}
		if len(a.links) == 0 { // nobody to talk to
			a.deviceMTU = a.place.UnderlayMTU - intent.Overhead(a.Gateway, a.Gateway)
		}
	}
	for _, a := range g.gateways {
		for i := range a.links {
			l := &a.links[i]
			l.mtu = linkMTU(l.underlay-l.overhead, a.deviceMTU, l.peer.deviceMTU)
		}
	}
}

// linkMTU is the largest inner packet that fits. WireGuard pads to 16 bytes but never past the device's MTU (whitepaper,
// section 5.4.6), so where a device's MTU leaves room to pad, only a multiple of 16 is sure to fit.
func linkMTU(fits, deviceA, deviceB int) int {
	if deviceA == fits && deviceB == fits {
		return fits
	}
	return fits - fits%16
}

// route adds the way from s to t to the gateways on it.
func (g *graph) route(s, t *place, way []*gateway) {
	if len(way) == 0 {
		return
	}
	s.first[t.number] = way[0]
	mtu := 0
	for i := len(way) - 2; i >= 0; i-- {
		l := way[i].link(way[i+1])
		if mtu == 0 || l.mtu < mtu {
			mtu = l.mtu
		}
		l.carry(s, t, mtu)
		way[i].next[t.number] = l
		for _, far := range way[i+2:] {
			if at, known := slices.BinarySearchFunc(l.beyond, far.number, byGatewayNumber); !known {
				l.beyond = slices.Insert(l.beyond, at, far)
			}
		}
	}
}

// link returns the link to a peer that there is one to.
func (g *gateway) link(peer *gateway) *link {
	i, _ := slices.BinarySearchFunc(g.links, peer.number, func(l link, n int) int { return l.peer.number - n })
	return &g.links[i]
}

// carry notes that packets from s for t leave by the link.
func (l *link) carry(s, t *place, mtu int) {
	at, known := slices.BinarySearchFunc(l.legs, t.number, func(c leg, n int) int { return c.to.number - n })
	if !known {
		l.legs = slices.Insert(l.legs, at, leg{to: t, mtu: mtu})
	}
	l.legs[at].sources = append(l.legs[at].sources, s)
}

func byGatewayNumber(g *gateway, n int) int { return g.number - n }

// keepalive is what keeps a NAT's mapping open and a standby session warm, in seconds (wg(8), PersistentKeepalive).
const keepalive = 25

// settle decides who keeps which session warm.
func (g *gateway) settle() {
	for i := range g.links {
		l := &g.links[i]
		switch {
		case l.peer.Endpoint.IsZero():
		case g.Dials():
			l.keepalive = keepalive
		case l.standby() && !l.peer.Dials() && g.Name < l.peer.Name:
			l.keepalive = keepalive
		}
	}
}

// standby reports whether the link carries nobody's packets and only stands ready.
func (l *link) standby() bool { return len(l.legs) == 0 }
