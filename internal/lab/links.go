package lab

import (
	"context"
	"net/netip"
	"slices"
	"time"

	"ropeway/internal/fabric"
	"ropeway/internal/lab/world"
	"ropeway/internal/plan"
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

// ends returns the addresses that an echo through a link goes from and to: of the two gateways, or where they speak BGP over it, of the link.
func (l *Lab) ends(k Link) (a, b netip.Addr) {
	if g := l.record.Plan.Gateway(k.A); g != nil && g.BGP != nil {
		for _, n := range g.BGP.Neighbors {
			if n.Name == k.B && !n.External() {
				return n.Local, n.Address
			}
		}
	}
	return l.tunnelAddress(k.A), l.tunnelAddress(k.B)
}

// turn is how long one end of a link is tried before the other is. A handshake over the lab's wires takes milliseconds.
const turn = 1200 * time.Millisecond

// waitForLinks sends echoes through every link until each answered once or time is over, and returns the silent ones.
//
// It begins from one end only: two handshakes that cross spoil each other, and both ends are then 5 s in trying again (whitepaper,
// section 6.1). The other end is tried where the first does not get through, since its own handshake may still be owing to a
// peer that was not there yet.
func (l *Lab) waitForLinks(ctx context.Context, st *site, links []Link, patience time.Duration) ([]Link, error) {
	at := map[netip.Addr]string{}
	for _, k := range links {
		a, b := l.ends(k)
		at[a], at[b] = k.A, k.B
	}
	p, err := newProber(st, l.record.World.Of(world.Gateway), func(a netip.Addr) string { return at[a] })
	if err != nil {
		return nil, err
	}
	defer p.Close()
	p.patience = min(turn, patience)
	silent := slices.Clone(links)
	for begun, back := time.Now(), false; len(silent) > 0 && time.Since(begun) < patience; back = !back {
		if silent, err = l.tryLinks(ctx, p, silent, back); err != nil {
			return nil, err
		}
	}
	return silent, nil
}

// tryLinks sends an echo through every link, from its better end or from the other one, and returns the links that stay silent.
func (l *Lab) tryLinks(ctx context.Context, p *prober, links []Link, back bool) ([]Link, error) {
	probes := make([]*probe, len(links))
	for i, k := range links {
		from, to := l.ends(k)
		if l.betterFromB(k) != back {
			from, to = to, from
		}
		probes[i] = &probe{Flow: Flow{From: from, To: to, Service: fabric.Service{Protocol: fabric.ICMP}}, expect: Reachable}
	}
	if err := p.run(ctx, probes); err != nil {
		return nil, err
	}
	var silent []Link
	for i, k := range links {
		if probes[i].outcome() != Reachable {
			silent = append(silent, k)
		}
	}
	return silent, nil
}

// betterFromB reports whether a link is better begun from its second end: because only that one can dial, or because the first
// one has begun by itself to keep the link warm, perhaps too early.
func (l *Lab) betterFromB(k Link) bool {
	a, b := l.peer(k.A, k.B), l.peer(k.B, k.A)
	if a.Endpoint.IsZero() != b.Endpoint.IsZero() {
		return a.Endpoint.IsZero()
	}
	return a.Keepalive > 0
}

// peer returns what a gateway knows of another, which it has as a peer.
func (l *Lab) peer(gateway, other string) *plan.Peer {
	for _, d := range l.record.Plan.Gateway(gateway).Devices {
		for _, p := range d.Peers {
			if p.Gateway == other {
				return p
			}
		}
	}
	return &plan.Peer{}
}
