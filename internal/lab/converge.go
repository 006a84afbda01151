package lab

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"ropeway/internal/lab/world"
	"ropeway/internal/plan"
	"ropeway/internal/verify"
)

// convergePatience is how long routing daemons may take until all have the routes that the prover says: sessions come up within seconds, and a silent neighbour is
// missed after nine where nothing watches it. A dozen daemons that start on two busy cores take most of it.
const convergePatience = time.Minute

// awaitConvergence waits until the kernels of gateways, and of routers that learn of them, have the routes that BGP leads to under the faults. It gives up after a while
// and returns what is not so then, in words: whether it matters is for packets to show.
func (l *Lab) awaitConvergence(ctx context.Context, st *site, p *plan.Fabric, facts verify.Facts, patience time.Duration) (astray []string, err error) {
	promised := l.promised(p, facts)
	for deadline := time.Now().Add(patience); ; {
		astray, err = l.astray(st, p, promised)
		if err != nil || len(astray) == 0 || time.Now().After(deadline) {
			return astray, err
		}
		if err := sleep(ctx, pollInterval); err != nil {
			return nil, err
		}
	}
}

// mostAstray bounds what is said of routes that are not as promised.
const mostAstray = 20

// astray describes the routes that are not as promised: "use1-a sends 10.20.0.0/16 to nobody, not to euw1-a".
func (l *Lab) astray(st *site, p *plan.Fabric, promised map[string]map[netip.Prefix]string) (out []string, err error) {
	for _, name := range slices.Sorted(maps.Keys(promised)) {
		want := promised[name]
		have, err := l.has(st, p, name, want)
		if err != nil {
			return nil, err
		}
		all := maps.Clone(want)
		maps.Copy(all, have)
		for _, prefix := range slices.SortedFunc(maps.Keys(all), netip.Prefix.Compare) {
			if want[prefix] != have[prefix] && len(out) < mostAstray {
				out = append(out, fmt.Sprintf("%s sends %s to %s, not to %s", name, prefix, cmp.Or(have[prefix], "nobody"), cmp.Or(want[prefix], "nobody")))
			}
		}
	}
	return out, nil
}

// promised returns, by machine, the gateway to which BGP leads the packets for each prefix: of gateways that speak it and are there, and of routers that learn of them.
func (l *Lab) promised(p *plan.Fabric, facts verify.Facts) map[string]map[netip.Prefix]string {
	derived, _ := verify.WithRoutes(p, facts, nil)
	out := map[string]map[netip.Prefix]string{}
	for i, g := range p.Gateways {
		if g.BGP == nil || slices.Contains(facts.Down, g.Name) {
			continue
		}
		out[g.Name] = map[netip.Prefix]string{}
		for _, r := range derived.Gateways[i].Routes[len(g.Routes):] { // those of the plan come first
			for _, prefix := range r.Prefixes {
				out[g.Name][prefix] = r.Peer
			}
		}
	}
	for _, d := range derived.Places {
		router := world.RouterOf(d.Name)
		held := slices.ContainsFunc(d.Routes, func(r *plan.RouterRoute) bool { return len(r.Then) > 0 }) // by its gateways
		if !l.learns(router) && (!held || l.record.World.Space(router) == nil) {
			continue
		}
		out[router] = map[netip.Prefix]string{}
		for _, r := range d.Routes {
			for _, prefix := range r.Prefixes {
				out[router][prefix] = r.Gateway
			}
		}
	}
	return out
}

// learns reports whether a machine is a router that learns its routes of gateways.
func (l *Lab) learns(machine string) bool {
	return slices.ContainsFunc(l.record.World.Speakers, func(s world.Speaker) bool { return s.Space == machine })
}

// has returns the gateway to which a machine sends packets: for each prefix that its routing daemon learnt, or where it is a router that has none, for those that are wanted.
func (l *Lab) has(st *site, p *plan.Fabric, name string, want map[netip.Prefix]string) (map[netip.Prefix]string, error) {
	s := st.spaces[name]
	if p.Gateway(name) == nil && !l.learns(name) {
		return l.leads(s, p, maps.Keys(want))
	}
	learnt, err := s.learnt()
	if err != nil {
		return nil, fmt.Errorf("list the routes that %s learnt: %w", name, err)
	}
	return l.leads(s, p, slices.Values(learnt))
}

// leads returns the gateway to which a machine sends packets for each of some prefixes; those that lead to none are left out.
func (l *Lab) leads(s *space, p *plan.Fabric, list iter.Seq[netip.Prefix]) (map[netip.Prefix]string, error) {
	names, err := s.interfaceNames()
	if err != nil {
		return nil, err
	}
	out := map[netip.Prefix]string{}
	for prefix := range list {
		hops, err := s.link.RouteGet(prefix.Addr().AsSlice()) // a route that names a nexthop object does not say where that leads
		if err != nil || len(hops) == 0 {
			continue // there is none, or it has gone meanwhile
		}
		if to := l.behind(p, s.drawn.Name, names[hops[0].LinkIndex]); to != "" {
			out[prefix] = to
		}
	}
	return out, nil
}

// learnt returns the prefixes to which a routing daemon made a route.
func (s *space) learnt() (out []netip.Prefix, err error) {
	for _, protocol := range []netlink.RouteProtocol{unix.RTPROT_BGP, unix.RTPROT_BIRD} {
		for _, family := range []int{unix.AF_INET, unix.AF_INET6} {
			routes, err := s.link.RouteListFiltered(family, &netlink.Route{Protocol: protocol}, netlink.RT_FILTER_PROTOCOL)
			if err != nil {
				return nil, err
			}
			for _, r := range routes {
				if r.Dst == nil {
					continue
				}
				prefix, err := netip.ParsePrefix(r.Dst.String())
				if err != nil {
					return nil, fmt.Errorf("read one: %w", err)
				}
				out = append(out, prefix)
			}
		}
	}
	return out, nil
}

// behind returns the gateway at the other end of an interface: of a tunnel, or of a wire of a router. "" where there is none: to a gateway a router of its place.
func (l *Lab) behind(p *plan.Fabric, machine, iface string) string {
	if g := p.Gateway(machine); g != nil {
		if d := g.Device(iface); d != nil && len(d.Peers) > 0 {
			return d.Peers[0].Gateway
		}
		return ""
	}
	if _, far := l.record.World.End(machine, iface); far != nil && l.record.World.Space(far.Space).Kind == world.Gateway {
		return far.Space
	}
	return ""
}

func (s *space) interfaceNames() (map[int]string, error) {
	links, err := s.link.LinkList()
	if err != nil {
		return nil, fmt.Errorf("list interfaces: %w", err)
	}
	names := make(map[int]string, len(links))
	for _, k := range links {
		names[k.Attrs().Index] = k.Attrs().Name
	}
	return names, nil
}
