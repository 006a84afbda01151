package lab

import (
	"context"
	"fmt"
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
// missed after nine where nothing watches it.
const convergePatience = 20 * time.Second

// awaitConvergence waits until the kernels of gateways, and of routers that learn of them, have the routes that BGP leads to under the faults. It gives up after a while
// without an error: what is not so then is for packets to show.
func (l *Lab) awaitConvergence(ctx context.Context, st *site, p *plan.Fabric, facts verify.Facts, patience time.Duration) error {
	promised := l.promised(p, facts)
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		if ok, err := l.converged(st, p, promised); err != nil || ok {
			return err
		}
		if err := sleep(ctx, pollInterval); err != nil {
			return err
		}
	}
	return nil
}

// converged reports whether all have the routes that are promised.
func (l *Lab) converged(st *site, p *plan.Fabric, promised map[string]map[netip.Prefix]string) (bool, error) {
	for name, routes := range promised {
		if have, err := l.learnt(st, p, name); err != nil || !maps.Equal(have, routes) {
			return false, err
		}
	}
	return true, nil
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
	for _, s := range l.record.World.Speakers {
		place := l.record.World.Space(s.Space).Place
		out[s.Space] = map[netip.Prefix]string{}
		for _, d := range derived.Places {
			if d.Name != place {
				continue
			}
			for _, r := range d.Routes {
				for _, prefix := range r.Prefixes {
					out[s.Space][prefix] = r.Gateway
				}
			}
		}
	}
	return out
}

// learnt returns the gateway to which a machine sends packets for each prefix that its routing daemon learnt of gateways.
func (l *Lab) learnt(st *site, p *plan.Fabric, name string) (map[netip.Prefix]string, error) {
	s := st.spaces[name]
	names, err := s.interfaceNames()
	if err != nil {
		return nil, err
	}
	out := map[netip.Prefix]string{}
	for _, protocol := range []netlink.RouteProtocol{unix.RTPROT_BGP, unix.RTPROT_BIRD} {
		for _, family := range []int{unix.AF_INET, unix.AF_INET6} {
			routes, err := s.link.RouteListFiltered(family, &netlink.Route{Protocol: protocol}, netlink.RT_FILTER_PROTOCOL)
			if err != nil {
				return nil, fmt.Errorf("list the routes that %s learnt: %w", name, err)
			}
			for _, r := range routes {
				if r.Dst == nil {
					continue
				}
				prefix, err := netip.ParsePrefix(r.Dst.String())
				if err != nil {
					return nil, fmt.Errorf("read a route that %s learnt: %w", name, err)
				}
				hops, err := s.link.RouteGet(r.Dst.IP) // a route that names a nexthop object does not say where that leads
				if err != nil || len(hops) == 0 {
					continue // it has gone meanwhile
				}
				if to := l.behind(p, name, names[hops[0].LinkIndex]); to != "" {
					out[prefix] = to
				}
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
