package compile

import (
	"net/netip"
	"slices"
	"strings"

	"ropeway/internal/intent"
	"ropeway/internal/plan"
)

// sameGraph reports whether two fabrics have the same graph, where their locks say the same.
func sameGraph(a, b *intent.Fabric) bool {
	return a.Name == b.Name && a.Topology == b.Topology && a.Routing == b.Routing && samePools(a.Pools, b.Pools) && a.CarriesIPv6() == b.CarriesIPv6() &&
		slices.EqualFunc(a.Places, b.Places, samePlace) &&
		slices.EqualFunc(a.Links, b.Links, func(x, y intent.Link) bool {
			return x.A.Name == y.A.Name && x.B.Name == y.B.Name && x.UnderlayMTU == y.UnderlayMTU
		})
}

func samePools(a, b intent.Pools) bool { return a.Links4 == b.Links4 && a.Links6 == b.Links6 }

// samePlace compares what the graph is made of: everything but prefixes.
func samePlace(a, b *intent.Place) bool {
	return a.Name == b.Name && a.Kind == b.Kind && a.UnderlayMTU == b.UnderlayMTU && a.Hub == b.Hub && a.Ranked == b.Ranked &&
		slices.EqualFunc(a.Hubs, b.Hubs, func(x, y *intent.Place) bool { return x.Name == y.Name }) &&
		slices.EqualFunc(a.Gateways, b.Gateways, func(x, y *intent.Gateway) bool {
			return x.Name == y.Name && x.Endpoint == y.Endpoint && x.Port == y.Port && x.NAT == y.NAT
		})
}

// rebind points a graph's places at those of a fabric with the same graph.
func (g *graph) rebind(in *intent.Fabric) {
	for i, p := range g.places {
		p.Place = in.Places[i]
	}
}

// again emits what changed since the last compilation, where the graph is the same.
func (c *Compiler) again(in *intent.Fabric) *plan.Fabric {
	last := c.needs
	now := newNeeds(in, c.graph)
	if !slices.Equal(last.class, now.class) || !slices.Equal(last.speaks, now.speaks) || !slices.EqualFunc(last.members, now.members, slices.Equal) {
		return c.afresh(in) // somebody came under other rules
	}
	changed := now.reuse(last)
	c.needs = now
	e := newEmitter(c.graph, now, in.CarriesIPv6())

	out := &plan.Fabric{Name: in.Name, Places: slices.Clone(c.out.Places), Gateways: slices.Clone(c.out.Gateways)}
	for i, was := range c.out.Places {
		out.Places[i] = e.placeAgain(c.graph.byName[i], was, changed)
	}
	for i, was := range c.out.Gateways {
		out.Gateways[i] = e.gatewayAgain(c.graph.gateways[i], was, changed)
	}
	return out
}

// reuse replaces every list that says the same as before by the very list of before, and returns the numbers of the places of
// which somebody needs something else than before. Classes are the same in both.
func (n *needs) reuse(last *needs) (changed []int) {
	done := map[*side]bool{}
	for i := range min(len(n.rules), len(last.rules)) {
		was, now := last.rules[i], n.rules[i]
		for _, pair := range [][2]*side{{was.from, now.from}, {was.to, now.to}} {
			if !done[pair[1]] {
				done[pair[1]] = true
				pair[1].reuse(pair[0])
			}
		}
	}
	for class := range n.of {
		n.touched[class] = same(last.touched[class], n.touched[class])
	}
	for p := range n.class {
		differs := false
		for class := range n.of {
			was := last.of[class][p]
			n.of[class][p] = same(was, n.of[class][p])
			differs = differs || !identical(was, n.of[class][p])
		}
		if differs {
			changed = append(changed, p)
		}
	}
	return changed
}

func (s *side) reuse(was *side) {
	s.all = same(was.all, s.all)
	for p := range s.parts {
		s.parts[p] = same(was.parts[p], s.parts[p])
	}
}

// same returns was where both say the same, and now otherwise.
func same(was, now []netip.Prefix) []netip.Prefix {
	if identical(was, now) || slices.Equal(was, now) {
		return was
	}
	return now
}

// identical reports whether two lists are one.
func identical(a, b []netip.Prefix) bool {
	return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0])
}

// placeAgain returns the plan of a place, the last one where nothing in it changed.
func (e *emitter) placeAgain(p *place, was *plan.Place, changed []int) *plan.Place {
	now := &plan.Place{Name: was.Name, Kind: was.Kind, Prefixes: same(was.Prefixes, p.Prefixes), Routes: was.Routes}
	touched := !identical(now.Prefixes, was.Prefixes)
	for _, number := range changed {
		to := e.graph.places[number]
		at, had := slices.BinarySearchFunc(now.Routes, to.Name, func(r *plan.RouterRoute, name string) int { return strings.Compare(r.To, name) })
		end, r := at, e.routerRoute(p, to)
		if had {
			end++
		}
		switch {
		case had && identical(now.Routes[at].Prefixes, r.Prefixes):
		case len(r.Prefixes) > 0:
			now.Routes, touched = slices.Concat(now.Routes[:at], []*plan.RouterRoute{&r}, now.Routes[end:]), true
		case had:
			now.Routes, touched = slices.Concat(now.Routes[:at], now.Routes[end:]), true
		}
	}
	if !touched {
		return was
	}
	return now
}

// gatewayAgain returns the plan of a gateway, the last one where nothing in it changed; peers and routes that did not change are
// the last one's in any case.
func (e *emitter) gatewayAgain(g *gateway, was *plan.Gateway, changed []int) *plan.Gateway {
	now := *was
	now.Firewall = *e.firewall(g.place)
	firewallSame := sameFirewall(&was.Firewall, &now.Firewall)

	var dirty []*link
	for _, place := range changed {
		if l := g.next[place]; l != nil && !slices.Contains(dirty, l) {
			dirty = append(dirty, l)
		}
	}
	peers, routes := was.Devices[0].Peers, was.Routes
	touched := false
	for _, l := range dirty {
		far := e.end(l)
		first, end := routesOf(routes, far.peer.Gateway)
		if slices.EqualFunc(routes[first:end], far.routes, sameRoute) {
			continue
		}
		if !touched {
			peers, touched = slices.Clone(peers), true
		}
		at, _ := slices.BinarySearchFunc(peers, far.peer.Gateway, func(p *plan.Peer, name string) int { return strings.Compare(p.Gateway, name) })
		peers[at] = far.peer
		routes = slices.Concat(routes[:first], far.routes, routes[end:])
	}
	if !touched && firewallSame {
		return was
	}
	now.Devices = slices.Clone(was.Devices)
	now.Devices[0].Peers, now.Routes = peers, routes
	return &now
}

// routesOf returns where the routes of a peer begin and end.
func routesOf(routes []*plan.Route, peer string) (first, end int) {
	first, _ = slices.BinarySearchFunc(routes, peer, func(r *plan.Route, name string) int { return strings.Compare(r.Peer, name) })
	for end = first; end < len(routes) && routes[end].Peer == peer; end++ {
	}
	return first, end
}

func sameRoute(a, b *plan.Route) bool {
	return a.MTU == b.MTU && a.Peer == b.Peer && slices.Equal(a.Prefixes, b.Prefixes)
}

func sameFirewall(a, b *plan.Firewall) bool {
	return slices.Equal(a.Own, b.Own) && identical(a.Fabric, b.Fabric) && slices.Equal(a.Answers, b.Answers) &&
		slices.EqualFunc(a.Rules, b.Rules, func(x, y plan.Rule) bool {
			return x.ID == y.ID && x.Direction == y.Direction && identical(x.From, y.From) && identical(x.To, y.To) &&
				slices.Equal(x.Services, y.Services)
		})
}
