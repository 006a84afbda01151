package compile

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"

	"ropeway/internal/intent"
	"ropeway/internal/plan"
	"ropeway/internal/prefixes"
)

// A speakers writes the plans of gateways that speak BGP. What may pass between two places is the same over all tunnels between them, so it is worked out once.
type speakers struct {
	*emitter
	in     *intent.Fabric
	passes map[[2]*place]*passage
	tables map[*place][]*plan.RouterRoute
	owned  []netip.Prefix // by all places, and the pools: what no cover may take in beyond its own
}

// A passage is what is behind one place, seen from another that it is joined with.
type passage struct {
	allowed []netip.Prefix // what may come from there, tunnel addresses included
	accept  []netip.Prefix // what may be announced there
	routes  int            // prefixes that there can be
}

func newSpeakers(e *emitter, in *intent.Fabric) *speakers {
	lists := [][]netip.Prefix{in.Pools.Devices}
	for _, pool := range []netip.Prefix{in.Pools.Links4, in.Pools.Links6} {
		if pool.IsValid() {
			lists = append(lists, []netip.Prefix{pool})
		}
	}
	for _, p := range in.Places {
		lists = append(lists, p.Prefixes)
	}
	return &speakers{e, in, map[[2]*place]*passage{}, map[*place][]*plan.RouterRoute{}, prefixes.Union(lists...)}
}

// gateway writes the plan of one gateway.
func (e *speakers) gateway(g *gateway) *plan.Gateway {
	out := &plan.Gateway{Name: g.Name, Place: g.place.Name, Firewall: *e.firewall(g.place), Sysctls: e.sysctls(g)}
	for _, s := range g.strands {
		out.Devices = append(out.Devices, e.device(s))
		if s.turn == 1 {
			out.Routes = append(out.Routes, &plan.Route{Device: s.device(), Peer: s.peer.Name, MTU: s.mtu, Prefixes: s.peer.tunnel})
		}
	}
	slices.SortFunc(out.Devices, func(a, b plan.Device) int { return strings.Compare(a.Name, b.Name) })
	slices.SortFunc(out.Routes, func(a, b *plan.Route) int {
		return cmp.Or(strings.Compare(a.Device, b.Device), strings.Compare(a.Peer, b.Peer))
	})
	out.BGP = e.bgp(g)
	return out
}

// device writes a strand's end.
func (e *speakers) device(s *strand) plan.Device {
	peer := &plan.Peer{
		Gateway: s.peer.Name, PublicKey: s.peer.key, Endpoint: s.peer.Endpoint, MTU: s.mtu, Underlay: s.underlay, Overhead: s.overhead,
		AllowedIPs: e.allowed(s),
	}
	if !peer.Endpoint.IsZero() {
		peer.Endpoint.Port = s.peerPort
		if s.at.Dials() {
			peer.Keepalive = keepalive
		}
	}
	return plan.Device{
		Name: s.device(), ListenPort: s.port, Addresses: sorted(slices.Concat(s.at.tunnel, s.prefixes)), MTU: s.mtu, PublicKey: s.at.key, Peers: []*plan.Peer{peer},
	}
}

// allowed returns what may come by a strand: the other end's address, and whatever is behind it.
func (e *speakers) allowed(s *strand) []netip.Prefix {
	var ends []netip.Prefix
	for _, a := range s.remote {
		ends = append(ends, netip.PrefixFrom(a, a.BitLen()))
	}
	return prefixes.Merge(prefixes.Normal(ends), e.passage(s.at.place, s.peer.place).allowed)
}

// bgp writes what the routing daemon of a gateway has to be.
func (e *speakers) bgp(g *gateway) *plan.BGP {
	out := &plan.BGP{Daemon: e.in.Routing.Daemon, ASN: g.place.asn(), RouterID: g.tunnel[0].Addr(), Own: originated(g.place), Communities: g.place.Communities, MaxPaths: 1, Table: e.table(g)}
	if c := g.place.class(); c != 0 {
		out.Tags = []uint32{c}
	}
	for _, t := range g.tunnel {
		out.Sources = append(out.Sources, t.Addr())
	}
	for _, s := range g.strands {
		out.MaxPaths = max(out.MaxPaths, s.turn)
		out.Neighbors = append(out.Neighbors, e.neighbors(s)...)
	}
	for i := range g.place.Routers {
		out.Neighbors = append(out.Neighbors, e.router(&g.place.Routers[i]))
	}
	slices.SortFunc(out.Neighbors, func(a, b *plan.Neighbor) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), a.Address.Compare(b.Address))
	})
	return out
}

// originated returns what gateways of a place announce by themselves: what no router of the place may announce.
func originated(p *place) []netip.Prefix {
	own := prefixes.Normal(p.Prefixes)
	for i := range p.Routers {
		own = prefixes.Subtract(own, p.Routers[i].Accept)
	}
	return own
}

// neighbors writes the sessions over a strand: one for each family.
func (e *speakers) neighbors(s *strand) (out []*plan.Neighbor) {
	behind := e.passage(s.at.place, s.peer.place)
	mine, far := s.at.place, s.peer.place
	for i := range s.local {
		n := &plan.Neighbor{
			Name: s.peer.Name, Device: s.device(), Address: s.remote[i], Local: s.local[i], ASN: far.asn(), Tell: plan.TellOwn, MaxHops: 1,
			Accept: familyOf(s.prefixes[i]).of(behind.accept), MaxPrefixes: mostPrefixes(behind.routes), Prefer: e.graph.prefer(s), BFD: e.bfd(),
		}
		switch {
		case mine.Hub && far.Hub:
			n.Tell, n.MaxHops = plan.TellSpokes, 2
		case mine.Hub:
			n.Tell, n.Spoke = plan.TellAll, true
		case far.Hub:
			n.MaxHops = 3
			n.Tags = []uint32{firstExit + uint32(e.graph.exit(mine, s.peer))}
			if level := mine.level(far); level > 0 {
				n.Tags = append(n.Tags, classAt(level, mine.class()))
			}
		}
		out = append(out, n)
	}
	return out
}

// routerHops bounds the AS path of what a router of the place announces.
const routerHops = 16

// router writes the session with a router of the place.
func (e *speakers) router(r *intent.Router) *plan.Neighbor {
	n := &plan.Neighbor{
		Name: r.Name, Address: r.Address, ASN: r.ASN, Tell: plan.TellLearnt, Accept: r.Accept, MaxHops: routerHops,
		MaxPrefixes: mostPrefixes(len(r.Accept)), BFD: e.bfd(), Password: r.Password,
	}
	if a := r.Announce; len(a.Communities) > 0 || a.Prepend > 0 || a.NoExport {
		n.Announce = &plan.Announce{Communities: a.Communities, Prepend: a.Prepend, NoExport: a.NoExport}
	}
	return n
}

// mostPrefixes leaves room above the prefixes that are known to be: a router may announce parts of them.
func mostPrefixes(known int) int { return 2*known + 1000 }

func (e *speakers) bfd() *plan.BFD {
	b := e.in.Routing.BFD
	return &plan.BFD{Interval: b.Interval, Multiplier: b.Multiplier}
}

// asn returns the AS number of a place.
func (p *place) asn() uint32 {
	if p.ASN != 0 {
		return p.ASN
	}
	return intent.FirstASN + uint32(p.ordinal)
}

// passage works out what is behind a place, seen from another.
func (e *speakers) passage(from, to *place) *passage {
	if known := e.passes[[2]*place{from, to}]; known != nil {
		return known
	}
	var tunnels, allowed, whole [][]netip.Prefix
	sources := e.graph.behind(to, from)
	for _, t := range e.graph.behind(from, to) {
		for _, gw := range t.gateways { // their ICMP errors come this way
			tunnels = append(tunnels, gw.tunnel)
		}
		l := leg{to: t, sources: without(sources, t)}
		if len(l.sources) == 0 {
			continue
		}
		need := e.needs.between(&l)
		allowed = append(allowed, need)
		whole = append(whole, touched(t.Prefixes, need))
	}
	p := &passage{allowed: prefixes.Merge(prefixes.Union(tunnels...), prefixes.Union(allowed...))}
	accept := prefixes.Union(whole...)
	p.routes = len(accept)
	p.accept = append([]netip.Prefix{}, cover(accept, e.owned)...) // an empty list where nothing is: never none
	e.passes[[2]*place{from, to}] = p
	return p
}

// behind returns the places that may be reached through a place that another is joined with, however many ways are lost.
func (g *graph) behind(from, to *place) []*place {
	out := []*place{to}
	if !to.Hub {
		return out
	}
	for _, p := range g.places {
		spoke := !p.Hub && slices.Contains(p.hubs, to)
		if p != from && p != to && (spoke || !from.Hub && p.hubs != nil || !from.Hub && p.Hub) {
			out = append(out, p)
		}
	}
	return out
}

func without(places []*place, p *place) []*place {
	return slices.DeleteFunc(slices.Clone(places), func(x *place) bool { return x == p })
}

// touched returns the prefixes of a list that hold something of another; that one is in normal form.
func touched(list, of []netip.Prefix) (out []netip.Prefix) {
	for _, p := range list {
		if meets(of, p) {
			out = append(out, p)
		}
	}
	return prefixes.Normal(out)
}

// meets reports whether a prefix shares an address with a list in normal form.
func meets(list []netip.Prefix, p netip.Prefix) bool {
	at, _ := slices.BinarySearchFunc(list, p, netip.Prefix.Compare)
	return at < len(list) && list[at].Overlaps(p) || at > 0 && list[at-1].Overlaps(p)
}

func sorted(list []netip.Prefix) []netip.Prefix {
	slices.SortFunc(list, netip.Prefix.Compare)
	return list
}

// sysctls are what forwarding needs, and what shares packets between parallel tunnels by flow rather than by address (L4 hash: value 1 in ip-sysctl.rst).
func (e *speakers) sysctls(g *gateway) []plan.Sysctl {
	out := []plan.Sysctl{
		{Key: "net/ipv4/fib_multipath_hash_policy", Value: "1"},
		{Key: "net/ipv4/ip_forward", Value: "1"},
		{Key: "net/ipv4/nexthop_compat_mode", Value: "0"},
	}
	for _, s := range g.strands {
		out = append(out, plan.Sysctl{Key: "net/ipv4/conf/" + s.device() + "/rp_filter", Value: "2"})
	}
	if e.ipv6 {
		out = append(out, plan.Sysctl{Key: "net/ipv6/conf/all/forwarding", Value: "1"}, plan.Sysctl{Key: "net/ipv6/fib_multipath_hash_policy", Value: "1"})
	}
	slices.SortFunc(out, func(a, b plan.Sysctl) int { return strings.Compare(a.Key, b.Key) })
	return out
}

// place writes a place.
func (e *speakers) place(p *place) *plan.Place {
	return &plan.Place{Name: p.Name, Kind: p.Kind, Prefixes: p.Prefixes, Routes: e.routes(p)}
}

// routes writes a place's route table: nothing where the place's router learns it.
func (e *speakers) routes(p *place) []*plan.RouterRoute {
	if len(p.Routers) > 0 {
		return nil
	}
	if known, done := e.tables[p]; done {
		return known
	}
	out := []*plan.RouterRoute{}
	for _, to := range e.graph.byName {
		need := e.needs.of[e.needs.class[p.number]][to.number]
		if p == to || len(need) == 0 {
			continue
		}
		turns := e.graph.inTurn(p, to)
		if len(turns) == 0 {
			continue
		}
		r := &plan.RouterRoute{To: to.Name, Gateway: turns[0].Name, Prefixes: need}
		if p.TakeOver {
			for _, gw := range turns[1:] {
				r.Then = append(r.Then, gw.Name)
			}
		}
		out = append(out, r)
	}
	e.tables[p] = out
	return out
}

// table writes a gateway's part in its place's route table.
func (e *speakers) table(g *gateway) *plan.Table {
	if !g.place.TakeOver {
		return nil
	}
	out := &plan.Table{Siblings: []plan.Sibling{}, Routes: e.routes(g.place)}
	for _, other := range g.place.gateways {
		if other != g {
			out.Siblings = append(out.Siblings, plan.Sibling{Name: other.Name, Address: other.Address, Local: g.Address, BFD: *e.bfd()})
		}
	}
	slices.SortFunc(out.Siblings, func(a, b plan.Sibling) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// exact is up to how many prefixes a list of what may be announced is written as it is. FRR takes 30 ms for each line of a prefix list.
const exact = 32

// The largest prefixes that a cover has, in bits: what nobody owns is announced by nobody, but a default route is not what a place has.
const (
	widest4 = 8
	widest6 = 16
)

// cover returns a shorter list that holds all of a list and nothing of what else is owned: whoever announces the rest of it announces what nobody has.
func cover(list, owned []netip.Prefix) []netip.Prefix {
	if len(list) <= exact {
		return list
	}
	others := prefixes.Subtract(owned, list)
	out := make([]netip.Prefix, 0, len(list))
	for _, p := range list {
		if n := len(out); n > 0 && prefixes.Covers(out[n-1], p) {
			continue
		}
		widest := widest4
		if p.Addr().Is6() {
			widest = widest6
		}
		for p.Bits() > widest {
			wider := netip.PrefixFrom(p.Addr(), p.Bits()-1).Masked()
			if meets(others, wider) {
				break
			}
			p = wider
		}
		out = append(out, p)
	}
	return prefixes.Normal(out)
}
