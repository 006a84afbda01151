package compile

import (
	"net/netip"
	"slices"

	"ropeway/internal/plan"
	"ropeway/internal/prefixes"
)

// deviceName is the one device that a gateway has with static routing.
const deviceName = "rw0"

// An emitter writes plans. Lists that several gateways need are made once: allowed holds what a peer is allowed beside its own
// tunnel addresses, parts a rule's share of a place.
type emitter struct {
	graph   *graph
	needs   *needs
	ipv6    bool
	allowed map[allowedKey][]netip.Prefix
	walls   []*plan.Firewall // by place number
}

// allowedKey names a list by what it is made of: a peer, and the list of its place's prefixes (its first element's address).
type allowedKey struct {
	peer *gateway
	list *netip.Prefix
}

func newEmitter(g *graph, n *needs, ipv6 bool) *emitter {
	return &emitter{g, n, ipv6, map[allowedKey][]netip.Prefix{}, make([]*plan.Firewall, len(g.places))}
}

// gateway writes the plan of one gateway.
func (e *emitter) gateway(g *gateway) *plan.Gateway {
	peers := make([]plan.Peer, len(g.links))
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
	for i, l := range g.links {
		routes := e.peer(&peers[i], l)
		out.Devices[0].Peers[i] = &peers[i]
		out.Routes = append(out.Routes, routes...)
	}
	return out
}

// peer writes the other end of a link and the routes that lead there: a group per MTU.
func (e *emitter) peer(p *plan.Peer, l *link) []*plan.Route {
	*p = plan.Peer{
		Gateway: l.peer.Name, PublicKey: l.peer.key, Endpoint: l.peer.Endpoint, Keepalive: l.keepalive,
		MTU: l.mtu, Underlay: l.underlay, Overhead: l.overhead, Standby: l.standby(),
	}
	groups := e.groups(l)
	routes := make([]*plan.Route, len(groups))
	for i, g := range groups {
		routes[i] = &plan.Route{Device: deviceName, Peer: l.peer.Name, MTU: g.mtu, Prefixes: g.prefixes}
	}
	if len(groups) == 1 {
		p.AllowedIPs = groups[0].prefixes
		return routes
	}
	var all [][]netip.Prefix
	for _, g := range groups {
		all = append(all, g.prefixes)
	}
	p.AllowedIPs = prefixes.Union(all...)
	return routes
}

// A group is the prefixes behind a link that share a path MTU.
type group struct {
	mtu      int
	prefixes []netip.Prefix
}

// groups sorts what goes by a link by the MTU of its path. The tunnel addresses of the peer, and of the gateways beyond it whose
// ICMP errors come back this way, go with the link's own.
func (e *emitter) groups(l *link) []group {
	if len(l.legs) == 1 && len(l.beyond) == 0 { // two joined places: nothing to sort
		if need := e.needs.between(l.legs[0]); len(need) > 0 {
			return []group{{l.mtu, e.withTunnel(l.peer, need)}}
		}
	}
	byMTU := map[int][][]netip.Prefix{l.mtu: nil}
	for _, leg := range l.legs {
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

// withTunnel returns a peer's tunnel addresses and a list of prefixes, made once for everybody who has this peer.
func (e *emitter) withTunnel(peer *gateway, list []netip.Prefix) []netip.Prefix {
	k := allowedKey{peer, &list[0]}
	if e.allowed[k] == nil {
		e.allowed[k] = prefixes.Union(peer.tunnel, list)
	}
	return e.allowed[k]
}

// firewall writes what all gateways of a place let through.
func (e *emitter) firewall(p *place) *plan.Firewall {
	if e.walls[p.number] == nil {
		e.walls[p.number] = &plan.Firewall{
			Own:    prefixes.Normal(p.Prefixes),
			Fabric: e.needs.touched[e.needs.class[p.number]],
			Rules:  e.rules(p),
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
		if to := r.to[p.number]; to != nil && len(r.fromAll) > len(r.from[p.number]) {
			add(plan.In, r.fromAll, to)
		}
		if from := r.from[p.number]; from != nil && len(r.toAll) > len(r.to[p.number]) {
			add(plan.Out, from, r.toAll)
		}
		if p.Hub {
			add(plan.Transit, r.fromAll, r.toAll)
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
	out := &plan.Place{Name: p.Name, Kind: p.Kind, Prefixes: p.Prefixes, Routes: make([]*plan.RouterRoute, 0, len(p.first))}
	for _, to := range e.graph.byName {
		if r := e.routerRoute(p, to); r != nil {
			out.Routes = append(out.Routes, r)
		}
	}
	return out
}

// routerRoute says which gateway takes what a place needs of another; nil where it needs nothing.
func (e *emitter) routerRoute(p, to *place) *plan.RouterRoute {
	first, need := p.first[to.number], e.needs.of[e.needs.class[p.number]][to.number]
	if first == nil || len(need) == 0 {
		return nil
	}
	return &plan.RouterRoute{To: to.Name, Gateway: first.Name, Prefixes: need}
}
