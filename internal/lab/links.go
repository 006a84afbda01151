package lab

import (
	"context"
	"net/netip"
	"slices"
	"time"

	"ropeway/internal/fabric"
	"ropeway/internal/lab/world"
)

// A Link is a pair of gateways that have each other as peers.
type Link struct {
	A string `json:"a"`
	B string `json:"b"`
}

// links returns the pairs of gateways between which the plan puts a tunnel that can come up: each knows the other, and one of them
// can be reached.
func (l *Lab) links() []Link {
	knows := map[Link]bool{} // A knows B
	dials := map[Link]bool{}
	for _, g := range l.record.Plan.Gateways {
		for _, d := range g.Devices {
			for _, p := range d.Peers {
				knows[Link{g.Name, p.Gateway}] = true
				dials[Link{g.Name, p.Gateway}] = !p.Endpoint.IsZero()
			}
		}
	}
	var out []Link
	for k := range knows {
		back := Link{k.B, k.A}
		if k.A < k.B && knows[back] && (dials[k] || dials[back]) {
			out = append(out, k)
		}
	}
	slices.SortFunc(out, func(x, y Link) int {
		return slices.Compare([]string{x.A, x.B}, []string{y.A, y.B})
	})
	return out
}

// tunnelAddress returns the first address of a gateway's first device.
func (l *Lab) tunnelAddress(gateway string) netip.Addr {
	g := l.record.Plan.Gateway(gateway)
	if g == nil || len(g.Devices) == 0 || len(g.Devices[0].Addresses) == 0 {
		return netip.Addr{}
	}
	return g.Devices[0].Addresses[0].Addr()
}

// waitForLinks sends echoes through every link, both ways, until each answered once or time is over, and returns the silent ones.
// Both ways, because either end may have lost its first handshake to a peer that was not there yet, and would be 5 s in
// trying again (whitepaper, section 6.1); the other end then begins at once.
func (l *Lab) waitForLinks(ctx context.Context, st *site, links []Link, patience time.Duration) ([]Link, error) {
	at := map[netip.Addr]string{}
	for _, g := range l.record.Plan.Gateways {
		at[l.tunnelAddress(g.Name)] = g.Name
	}
	p, err := newProber(st, l.record.World.Of(world.Gateway), func(a netip.Addr) string { return at[a] })
	if err != nil {
		return nil, err
	}
	defer p.Close()
	p.patience = patience
	var probes []*probe
	for _, k := range links {
		a, b := l.tunnelAddress(k.A), l.tunnelAddress(k.B)
		for _, f := range []Flow{{From: a, To: b}, {From: b, To: a}} {
			f.Service = fabric.Service{Protocol: fabric.ICMP}
			probes = append(probes, &probe{Flow: f, expect: Reachable})
		}
	}
	if err := p.run(ctx, probes); err != nil {
		return nil, err
	}
	var silent []Link
	for i, k := range links {
		if probes[2*i].outcome() != Reachable && probes[2*i+1].outcome() != Reachable {
			silent = append(silent, k)
		}
	}
	return silent, nil
}
