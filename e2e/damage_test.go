package e2e

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"

	"ropeway/internal/fabric"
	"ropeway/internal/plan"
)

// damage breaks a plan in one or two places, as a compiler's error would, and returns what it did. Agents and prover get the same.
// The plan shares its lists, so it is copied first.
func damage(r *rand.Rand, p *plan.Fabric) []string {
	*p = copied(p)
	var done []string
	defer func() { relink(p) }()
	for range 1 + r.IntN(2) {
		kinds := []func(*rand.Rand, *plan.Fabric) string{
			loseRoute, loseRoute, losePeer, loseAllowed, moveAllowed, loseRouterRoute, otherGateway, loseRule, otherService, wideRoute, narrowRoute, leak,
		}
		if did := kinds[r.IntN(len(kinds))](r, p); did != "" {
			done = append(done, did)
		}
	}
	return done
}

func copied(p *plan.Fabric) plan.Fabric {
	data, err := json.Marshal(p)
	if err != nil {
		panic(err)
	}
	var out plan.Fabric
	if err := json.Unmarshal(data, &out); err != nil {
		panic(err)
	}
	return out
}

// relink gives who holds the table of its place that table, with what is wrong in it.
func relink(p *plan.Fabric) {
	for _, g := range p.Gateways {
		for _, place := range p.Places {
			if place.Name == g.Place && g.BGP != nil && g.BGP.Table != nil {
				g.BGP.Table.Routes = place.Routes
			}
		}
	}
}

func pick[T any](r *rand.Rand, list []T) (out T, ok bool) {
	if len(list) == 0 {
		return out, false
	}
	return list[r.IntN(len(list))], true
}

func gateway(r *rand.Rand, p *plan.Fabric) *plan.Gateway { return p.Gateways[r.IntN(len(p.Gateways))] }

// device picks a device of a gateway, and none that shares its packets with a parallel one: the hash of a flow decides what becomes of those.
func device(r *rand.Rand, g *plan.Gateway) *plan.Device {
	d := &g.Devices[r.IntN(len(g.Devices))]
	for i := range g.Devices {
		if o := &g.Devices[i]; o != d && len(o.Peers) > 0 && len(d.Peers) > 0 && o.Peers[0].Gateway == d.Peers[0].Gateway {
			return &plan.Device{}
		}
	}
	return d
}

func loseRoute(r *rand.Rand, p *plan.Fabric) string {
	g := gateway(r, p)
	route, ok := pick(r, g.Routes)
	if !ok || len(route.Prefixes) == 0 {
		return ""
	}
	i := r.IntN(len(route.Prefixes))
	lost := route.Prefixes[i]
	route.Prefixes = slices.Delete(route.Prefixes, i, i+1)
	if len(route.Prefixes) == 0 {
		g.Routes = slices.DeleteFunc(g.Routes, func(o *plan.Route) bool { return o == route })
	}
	return fmt.Sprintf("%s loses its route to %s", g.Name, lost)
}

func losePeer(r *rand.Rand, p *plan.Fabric) string {
	g := gateway(r, p)
	d := device(r, g)
	peer, ok := pick(r, d.Peers)
	if !ok {
		return ""
	}
	d.Peers = slices.DeleteFunc(d.Peers, func(o *plan.Peer) bool { return o == peer })
	return fmt.Sprintf("%s loses its peer %s", g.Name, peer.Gateway)
}

func loseAllowed(r *rand.Rand, p *plan.Fabric) string {
	g := gateway(r, p)
	peer, ok := pick(r, device(r, g).Peers)
	if !ok || len(peer.AllowedIPs) == 0 {
		return ""
	}
	i := r.IntN(len(peer.AllowedIPs))
	lost := peer.AllowedIPs[i]
	peer.AllowedIPs = slices.Delete(peer.AllowedIPs, i, i+1)
	return fmt.Sprintf("%s no longer allows %s from %s", g.Name, lost, peer.Gateway)
}

// moveAllowed gives a prefix to another peer.
func moveAllowed(r *rand.Rand, p *plan.Fabric) string {
	g := gateway(r, p)
	d := device(r, g)
	from, ok := pick(r, d.Peers)
	to, _ := pick(r, d.Peers)
	if !ok || from == to || len(from.AllowedIPs) == 0 {
		return ""
	}
	i := r.IntN(len(from.AllowedIPs))
	moved := from.AllowedIPs[i]
	from.AllowedIPs = slices.Delete(from.AllowedIPs, i, i+1)
	to.AllowedIPs = append(to.AllowedIPs, moved)
	slices.SortFunc(to.AllowedIPs, netip.Prefix.Compare)
	return fmt.Sprintf("%s allows %s from %s instead of %s", g.Name, moved, to.Gateway, from.Gateway)
}

func loseRouterRoute(r *rand.Rand, p *plan.Fabric) string {
	place := p.Places[r.IntN(len(p.Places))]
	route, ok := pick(r, place.Routes)
	if !ok {
		return ""
	}
	place.Routes = slices.DeleteFunc(place.Routes, func(o *plan.RouterRoute) bool { return o == route })
	return fmt.Sprintf("the router of %s loses its routes to %s", place.Name, route.To)
}

// otherGateway sends what a router has for a place to another of its gateways.
func otherGateway(r *rand.Rand, p *plan.Fabric) string {
	place := p.Places[r.IntN(len(p.Places))]
	route, ok := pick(r, place.Routes)
	if !ok {
		return ""
	}
	var others []string
	for _, g := range p.Gateways {
		if g.Place == place.Name && g.Name != route.Gateway {
			others = append(others, g.Name)
		}
	}
	other, ok := pick(r, others)
	if !ok {
		return ""
	}
	route.Gateway = other
	return fmt.Sprintf("the router of %s sends what is for %s to %s", place.Name, route.To, other)
}

func loseRule(r *rand.Rand, p *plan.Fabric) string {
	g := gateway(r, p)
	if len(g.Firewall.Rules) == 0 {
		return ""
	}
	i := r.IntN(len(g.Firewall.Rules))
	lost := g.Firewall.Rules[i]
	g.Firewall.Rules = slices.Delete(g.Firewall.Rules, i, i+1)
	return fmt.Sprintf("%s loses rule %d %s", g.Name, lost.ID, lost.Direction)
}

func otherService(r *rand.Rand, p *plan.Fabric) string {
	g := gateway(r, p)
	if len(g.Firewall.Rules) == 0 {
		return ""
	}
	rule := &g.Firewall.Rules[r.IntN(len(g.Firewall.Rules))]
	rule.Services = []fabric.Service{{Protocol: fabric.TCP, First: 444, Last: 8001}}
	return fmt.Sprintf("%s lets only tcp/444-8001 through rule %d %s", g.Name, rule.ID, rule.Direction)
}

// wideRoute promises more than the path carries.
func wideRoute(r *rand.Rand, p *plan.Fabric) string {
	g := gateway(r, p)
	route, ok := pick(r, g.Routes)
	if !ok {
		return ""
	}
	route.MTU = min(route.MTU+40, g.Device(route.Device).MTU)
	return fmt.Sprintf("%s routes to %s with MTU %d", g.Name, route.Peer, route.MTU)
}

func narrowRoute(r *rand.Rand, p *plan.Fabric) string {
	g := gateway(r, p)
	route, ok := pick(r, g.Routes)
	if !ok {
		return ""
	}
	route.MTU = max(1280, route.MTU-77)
	return fmt.Sprintf("%s routes to %s with MTU %d", g.Name, route.Peer, route.MTU)
}

// leak lets everything through a rule.
func leak(r *rand.Rand, p *plan.Fabric) string {
	g := gateway(r, p)
	if len(g.Firewall.Rules) == 0 {
		return ""
	}
	rule := &g.Firewall.Rules[r.IntN(len(g.Firewall.Rules))]
	rule.From, rule.To, rule.Services = g.Firewall.Fabric, g.Firewall.Fabric, nil
	return fmt.Sprintf("%s lets everything through rule %d %s", g.Name, rule.ID, rule.Direction)
}
