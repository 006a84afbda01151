package lab

import (
	"context"
	"fmt"
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
// missed after nine where nothing watches it.
const convergePatience = 20 * time.Second

// awaitConvergence waits until the kernels of gateways, and of routers that learn of them, have the routes that BGP leads to under the faults. It gives up after a while
// without an error: what is not so then is for packets to show.
func (l *Lab) awaitConvergence(ctx context.Context, st *site, p *plan.Fabric, facts verify.Facts, patience time.Duration) error {
	speaks := func(g *plan.Gateway) bool { return g.BGP != nil }
	shares := func(g *plan.Gateway) bool { return g.BGP != nil && g.BGP.MaxPaths > 1 } // what of several devices a look-up finds says nothing of the others
	if !slices.ContainsFunc(p.Gateways, speaks) || slices.ContainsFunc(p.Gateways, shares) {
		return nil
	}
	promised, _ := verify.WithRoutes(p, facts, nil)
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		ok, err := l.converged(st, p, promised, facts)
		if err != nil || ok {
			return err
		}
		if err := sleep(ctx, pollInterval); err != nil {
			return err
		}
	}
	return nil
}

// converged reports whether all have the routes that are promised.
func (l *Lab) converged(st *site, p, promised *plan.Fabric, facts verify.Facts) (bool, error) {
	seen := map[string][]verify.Learnt{}
	for _, g := range p.Gateways {
		if g.BGP == nil || slices.Contains(facts.Down, g.Name) {
			continue
		}
		routes, err := st.spaces[g.Name].learnt()
		if err != nil {
			return false, err
		}
		seen[g.Name] = []verify.Learnt{}
		for prefix, devices := range routes {
			for _, d := range devices {
				if g.Device(d) != nil { // not what a router of the place told
					seen[g.Name] = append(seen[g.Name], verify.Learnt{Prefix: prefix, Device: d})
				}
			}
		}
	}
	if len(verify.Differences(p, facts, seen)) > 0 {
		return false, nil
	}
	for _, place := range promised.Places {
		if ok, err := l.routerConverged(st, place); err != nil || !ok {
			return false, err
		}
	}
	return true, nil
}

// routerConverged reports whether the router of a place, where it learns its routes, sends packets to the gateways that the prover says.
func (l *Lab) routerConverged(st *site, place *plan.Place) (bool, error) {
	name := place.Name + "/router"
	if !slices.ContainsFunc(l.record.World.Speakers, func(s world.Speaker) bool { return s.Space == name }) {
		return true, nil
	}
	routes, err := st.spaces[name].learnt()
	if err != nil {
		return false, err
	}
	want := 0
	for _, r := range place.Routes {
		for _, prefix := range r.Prefixes {
			want++
			towards := func(iface string) bool {
				_, far := l.record.World.End(name, iface)
				return far != nil && far.Space == r.Gateway
			}
			if list := routes[prefix]; len(list) != 1 || !towards(list[0]) {
				return false, nil
			}
		}
	}
	return len(routes) == want, nil
}

// Protocols of routes that routing daemons learnt (linux/rtnetlink.h): zebra's mark of BGP, and BIRD's own.
const (
	protocolBGP  = 186
	protocolBIRD = 12
)

// learnt returns the routes in a space that a routing daemon made, and the interface that each leaves by.
func (s *space) learnt() (map[netip.Prefix][]string, error) {
	names, err := s.interfaceNames()
	if err != nil {
		return nil, err
	}
	out := map[netip.Prefix][]string{}
	for _, protocol := range []int{protocolBGP, protocolBIRD} {
		for _, family := range []int{unix.AF_INET, unix.AF_INET6} {
			routes, err := s.link.RouteListFiltered(family, &netlink.Route{Protocol: netlink.RouteProtocol(protocol)}, netlink.RT_FILTER_PROTOCOL)
			if err != nil {
				return nil, fmt.Errorf("list learnt routes: %w", err)
			}
			for _, r := range routes {
				if r.Dst == nil {
					continue
				}
				prefix, err := netip.ParsePrefix(r.Dst.String())
				if err != nil {
					return nil, fmt.Errorf("read a learnt route: %w", err)
				}
				hops, err := s.link.RouteGet(r.Dst.IP) // a route that names a nexthop object does not say where that leads
				if err != nil {
					return nil, fmt.Errorf("look up the route to %s: %w", prefix, err)
				}
				for _, hop := range hops {
					out[prefix] = append(out[prefix], names[hop.LinkIndex])
				}
			}
		}
	}
	return out, nil
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
