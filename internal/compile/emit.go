package compile

import (
	"net/netip"
	"slices"

	"ropeway/internal/plan"
	"ropeway/internal/prefixes"
)

// deviceName is the one device that a gateway has with static routing.
const deviceName = "rw0"

// An emitter writes plans. What several gateways need is made once: how they see a peer, and what their place lets through.
type emitter struct {
	graph *graph
	needs *needs
	ipv6  bool
	ends  [][]*end         // by the number of the gateway that is the end
	walls []*plan.Firewall // by place number
}

func newEmitter(g *graph, n *needs, ipv6 bool) *emitter {
	return &emitter{g, n, ipv6, make([][]*end, len(g.gateways)), make([]*plan.Firewall, len(g.places))}
}

// gateway writes the plan of one gateway.
func (e *emitter) gateway(g *gateway) *plan.Gateway {
	out := &plan.Gateway{
		Name: g.Name, Place: g.place.Name,
		Devices: []plan.Device{{
			Name: deviceName, ListenPort: g.Port, Addresses: g.tunnel, MTU: g.deviceMTU, PublicKey: g.key,
			Peers: make([]*plan.Peer, len(g.links)),
		}},
		Routes:   make([]*plan.Route, 0, len(g.links)),
		Firewall: *e.firewall(g.place),
		Sysctls:  e.sysctls(),
	}
	for i := range g.links {
		far := e.end(&g.links[i])
		out.Devices[0].Peers[i] = far.peer
		out.Routes = append(out.Routes, far.routes...)
	}
	return out
}

// An end is the other end of a link, and the routes that lead there: one per MTU.
type end struct {
	peer   *plan.Peer
	routes []*plan.Route
	need   []netip.Prefix // what both are made of, beside the link
}

// mostEnds is how many different views of a gateway are looked through for one that is wanted again. There are few: a gateway behind
// NAT is seen in one way, others by those who dial and by those who wait.
const mostEnds = 8

// end writes the other end of a link. Most gateways see a peer alike, and share it.
func (e *emitter) end(l *link) *end {
	if len(l.legs) > 1 || len(l.beyond) > 0 { // what goes there depends on where the link is
		return newEnd(l, e.groups(l))
	}
	var need []netip.Prefix
	if len(l.legs) == 1 {
		need = e.needs.between(&l.legs[0])
	}
	known := e.ends[l.peer.number]
	for _, x := range known[max(0, len(known)-mostEnds):] {
		if x.seenBy(l) && identical(x.need, need) {
			return x
		}
	}
	x := newEnd(l, []group{{l.mtu, prefixes.Union(l.peer.tunnel, need)}})
	x.need = need
	e.ends[l.peer.number] = append(known, x)
	return x
}

// seenBy reports whether a link sees this end of it: with the same prefixes, there is no difference.
func (x *end) seenBy(l *link) bool {
	p := x.peer
	return p.MTU == l.mtu && p.Underlay == l.underlay && p.Overhead == l.overhead && p.Keepalive == l.keepalive && p.Standby == l.standby()
}

// newEnd writes what a link leads to, given the prefixes that go there.
func newEnd(l *link, groups []group) *end {
	x := &end{peer: &plan.Peer{
		Gateway: l.peer.Name, PublicKey: l.peer.key, Endpoint: l.peer.Endpoint, Keepalive: l.keepalive,
		MTU: l.mtu, Underlay: l.underlay, Overhead: l.overhead, Standby: l.standby(),
	}}
	var all [][]netip.Prefix
	for _, g := range groups {
		x.routes = append(x.routes, &plan.Route{Device: deviceName, Peer: l.peer.Name, MTU: g.mtu, Prefixes: g.prefixes})
		all = append(all, g.prefixes)
	}
	x.peer.AllowedIPs = union(all)
	return x
}

// A group is the prefixes behind a link that share a path MTU.
type group struct {
	mtu      int
	prefixes []netip.Prefix
}

// groups sorts what goes by a link by the MTU of its path. The tunnel addresses of the peer, and of the gateways beyond it whose
// ICMP errors come back this way, go with the link's own.
func (e *emitter) groups(l *link) []group {
	byMTU := map[int][][]netip.Prefix{l.mtu: nil}
	for i := range l.legs {
		leg := &l.legs[i]
		if need := e.needs.between(leg); len(need) > 0 {
			byMTU[leg.mtu] = append(byMTU[leg.mtu], need)
		}
	}
	var out []group
	for mtu, lists := range byMTU {
		switch {
		case mtu != l.mtu:
			out = append(out, group{mtu, prefixes.Union(lists...)})
		default:
			lists = append(lists, l.peer.tunnel)
			for _, far := range l.beyond {
				lists = append(lists, far.tunnel)
			}
			out = append(out, group{mtu, prefixes.Union(lists...)})
		}
	}
	slices.SortFunc(out, func(a, b group) int { return b.mtu - a.mtu })
	return out
}

// firewall writes what all gateways of a place let through.
func (e *emitter) firewall(p *place) *plan.Firewall {
	if e.walls[p.number] == nil {
		e.walls[p.number] = &plan.Firewall{
			Own:    prefixes.Normal(p.Prefixes),
			Fabric: e.needs.touched[e.needs.class[p.number]],
			Rules:  e.rules(p),

			Answers: e.graph.answers(p),
		}
	}
	return e.walls[p.number]
}

// rules writes, for each access entry, what of it can cross a place's gateways in each direction.
func (e *emitter) rules(p *place) []plan.Rule {
	rules := []plan.Rule{}
	for i, r := range e.needs.rules {
		add := func(d plan.Direction, from, to []netip.Prefix) {
			rules = append(rules, plan.Rule{ID: i + 1, Direction: d, From: from, To: to, Services: r.services})
		}
		from, to := r.from.parts[p.number], r.to.parts[p.number]
		if to != nil && len(r.from.all) > len(from) {
			add(plan.In, r.from.all, to)
		}
		if from != nil && len(r.to.all) > len(to) {
			add(plan.Out, from, r.to.all)
		}
		if p.Hub {
			add(plan.Transit, r.from.all, r.to.all)
		}
	}
	return rules
}

// sysctls are what forwarding needs. Reverse-path filtering is loose (2) on the device, which wins over a strict setting for all
// (Documentation/networking/ip-sysctl.rst: the maximum counts): cryptokey routing checks sources better. Without nexthop_compat_mode
// the kernel does not announce every route behind a nexthop object that moves: 100,000 routes move in 0.1 ms, not in tens.
func (e *emitter) sysctls() []plan.Sysctl {
	out := []plan.Sysctl{
		{Key: "net/ipv4/conf/" + deviceName + "/rp_filter", Value: "2"},
		{Key: "net/ipv4/ip_forward", Value: "1"},
		{Key: "net/ipv4/nexthop_compat_mode", Value: "0"},
	}
	if e.ipv6 {
		out = append(out, plan.Sysctl{Key: "net/ipv6/conf/all/forwarding", Value: "1"})
	}
	return out
}

// place writes a place's route table.
func (e *emitter) place(p *place) *plan.Place {
	table := make([]plan.RouterRoute, 0, len(p.first))
	for _, to := range e.graph.byName {
		if r := e.routerRoute(p, to); len(r.Prefixes) > 0 {
			table = append(table, r)
		}
	}
	out := &plan.Place{Name: p.Name, Kind: p.Kind, Prefixes: p.Prefixes, Routes: make([]*plan.RouterRoute, len(table))}
	for i := range table {
		out.Routes[i] = &table[i]
	}
	return out
}

// routerRoute says which gateway takes what a place needs of another; it has no prefixes where the place needs nothing, or nothing gets there.
func (e *emitter) routerRoute(p, to *place) plan.RouterRoute {
	r := plan.RouterRoute{To: to.Name}
	if first := p.first[to.number]; first != nil {
		r.Gateway, r.Prefixes = first.Name, e.needs.of[e.needs.class[p.number]][to.number]
	}
	return r
}
