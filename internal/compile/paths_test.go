package compile

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"ropeway/internal/fabric"
	"ropeway/internal/intent"
	"ropeway/internal/plan"
	"ropeway/internal/prefixes"
)

// randomFabric makes a small fabric of any topology; every gateway has an endpoint.
func randomFabric(r *rand.Rand) *intent.Fabric {
	in := &intent.Fabric{Name: "random", Pools: intent.Pools{Links4: netip.MustParsePrefix("100.64.0.0/24")}}
	in.Topology = []fabric.TopologyMode{fabric.Mesh, fabric.HubAndSpoke, fabric.Hybrid}[r.IntN(3)]
	n := 2 + r.IntN(6)
	for i := range n {
		p := &intent.Place{Name: fmt.Sprintf("p%d", i), Kind: fabric.Region, UnderlayMTU: 1400 + 10*r.IntN(12)}
		for j := range 1 + r.IntN(2) {
			p.Prefixes = append(p.Prefixes, netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i), byte(j * 64), 0}), 18))
		}
		for j := range 1 + r.IntN(3) {
			gw := &intent.Gateway{Name: fmt.Sprintf("g%d-%d", i, j), Place: p, Port: fabric.DefaultPort}
			gw.Endpoint = fabric.Endpoint{Host: fmt.Sprintf("203.0.113.%d", i*10+j), Port: fabric.DefaultPort}
			p.Gateways = append(p.Gateways, gw)
		}
		in.Places = append(in.Places, p)
	}
	if in.Topology != fabric.Mesh {
		hubs := in.Places[:1+r.IntN(min(3, n-1))]
		for _, h := range hubs {
			h.Hub = true
		}
		for _, p := range in.Places[len(hubs):] {
			for _, h := range hubs {
				if r.IntN(2) == 0 {
					p.Hubs = append(p.Hubs, h)
				}
			}
			if p.Hubs == nil {
				p.Hubs = slices.Clone(hubs[r.IntN(len(hubs)):][:1])
			}
			if p.Ranked = r.IntN(2) == 0; p.Ranked {
				r.Shuffle(len(p.Hubs), func(i, j int) { p.Hubs[i], p.Hubs[j] = p.Hubs[j], p.Hubs[i] })
			}
		}
	}
	for range r.IntN(3) {
		a, b := r.IntN(n), r.IntN(n)
		if a < b && !slices.ContainsFunc(in.Links, func(l intent.Link) bool { return l.A == in.Places[a] && l.B == in.Places[b] }) {
			in.Links = append(in.Links, intent.Link{A: in.Places[a], B: in.Places[b], UnderlayMTU: 1300 + 10*r.IntN(20)})
		}
	}
	selector := func() intent.Selector {
		var list []netip.Prefix
		for _, p := range in.Places {
			if r.IntN(3) > 0 {
				q := p.Prefixes[r.IntN(len(p.Prefixes))]
				list = append(list, netip.PrefixFrom(q.Addr(), q.Bits()+r.IntN(4)))
			}
		}
		if list == nil {
			list = in.Places[0].Prefixes
		}
		return intent.Selector{Prefixes: prefixes.Normal(list)}
	}
	for range 1 + r.IntN(3) {
		in.Access = append(in.Access, intent.Access{From: selector(), To: selector()})
	}
	return in
}

// TestPathsAgree checks on random fabrics what cryptokey routing demands: no gateway gives a prefix to two peers, every needed
// prefix has a way to its place, and the way back is the same one.
func TestPathsAgree(t *testing.T) {
	for seed := range uint64(2000) {
		in := randomFabric(rand.New(rand.NewPCG(seed, 1)))
		p, _ := Compile(in, nil)
		for _, g := range p.Gateways {
			onePeerPerPrefix(t, seed, g)
		}
		w := walker{p}
		for _, s := range p.Places {
			for _, r := range s.Routes {
				for _, dst := range r.Prefixes {
					there := w.walk(s.Name, dst)
					if len(there) < 2 || w.place(there[len(there)-1]) != r.To {
						t.Fatalf("seed %d: %s → %s (%s) ends after %v", seed, s.Name, r.To, dst, there)
					}
					back := w.back(r.To, s, there)
					slices.Reverse(back)
					if back != nil && !slices.Equal(there, back) {
						t.Fatalf("seed %d: %s → %s goes %v and comes back %v", seed, s.Name, r.To, there, back)
					}
				}
			}
		}
	}
}

func onePeerPerPrefix(t *testing.T, seed uint64, g *plan.Gateway) {
	t.Helper()
	owner := map[netip.Prefix]string{}
	for _, p := range g.Devices[0].Peers {
		for _, a := range p.AllowedIPs {
			if owner[a] != "" {
				t.Fatalf("seed %d: %s gives %s to %s and %s", seed, g.Name, a, owner[a], p.Gateway)
			}
			owner[a] = p.Gateway
		}
	}
}

// A walker follows packets through a plan by longest prefix.
type walker struct{ *plan.Fabric }

func (w walker) place(gateway string) string { return w.Gateway(gateway).Place }

func (w walker) walk(from string, dst netip.Prefix) (way []string) {
	var at string
	for _, p := range w.Places {
		if p.Name == from {
			for _, r := range p.Routes {
				if slices.ContainsFunc(r.Prefixes, func(q netip.Prefix) bool { return prefixes.Covers(q, dst) }) {
					at = r.Gateway
				}
			}
		}
	}
	for at != "" && len(way) < 6 {
		way = append(way, at)
		next := ""
		for _, p := range w.Gateway(at).Devices[0].Peers {
			if slices.ContainsFunc(p.AllowedIPs, func(q netip.Prefix) bool { return prefixes.Covers(q, dst) }) {
				next = p.Gateway
			}
		}
		at = next
	}
	return way
}

// back walks from the place that a way led to, towards something of s that the place needs; nil where it needs nothing.
func (w walker) back(from string, s *plan.Place, there []string) []string {
	for _, p := range w.Places {
		if p.Name != from {
			continue
		}
		for _, r := range p.Routes {
			if r.To == s.Name {
				return w.walk(from, r.Prefixes[0])
			}
		}
	}
	return nil
}
