package compile

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"ropeway/internal/diag"
	"ropeway/internal/fabric"
	"ropeway/internal/intent"
	"ropeway/internal/plan"
	"ropeway/internal/verify"
)

// speaking makes a random fabric speak BGP and let everything pass. Every place has a router that learns.
func speaking(r *rand.Rand) *intent.Fabric {
	in := randomFabric(r)
	in.Pools.Links4 = netip.MustParsePrefix("100.64.0.0/16")
	in.Routing = intent.Routing{Mode: fabric.BGP, Daemon: fabric.FRR, BFD: intent.BFD{Interval: 300, Multiplier: 3}, Tunnels: 1 + r.IntN(2)}
	var all []netip.Prefix
	for i, p := range in.Places {
		p.Routers = []intent.Router{{Name: fmt.Sprintf("r%d", i), Address: p.Prefixes[0].Addr().Next(), ASN: uint32(64512 + i)}}
		all = append(all, p.Prefixes...)
	}
	everything := intent.Selector{Text: "any", Prefixes: sorted(all)}
	in.Access = []intent.Access{{From: everything, To: everything}}
	return in
}

// losses are gateways that are dead and pairs of gateways that do not reach each other. Gateways of two hubs do: what rank.go says of ways by two hubs takes it for granted.
func losses(r *rand.Rand, in *intent.Fabric) (facts verify.Facts) {
	all := in.Gateways()
	for range r.IntN(3) {
		facts.Down = append(facts.Down, all[r.IntN(len(all))].Name)
	}
	for range r.IntN(8) {
		a, b := all[r.IntN(len(all))], all[r.IntN(len(all))]
		if a.Place != b.Place && !(a.Place.Hub && b.Place.Hub) {
			facts.Cut = append(facts.Cut, verify.Link{A: a.Name, B: b.Name})
		}
	}
	return facts
}

// TestWaysAgree holds random fabrics to what rank.go promises: whatever is lost, packets and their answers cross the same gateways, nobody shares packets between two, and no
// way is left open.
func TestWaysAgree(t *testing.T) {
	lost, pairs := 0, 0
	for seed := range uint64(400) {
		r := rand.New(rand.NewPCG(seed, 4))
		in := speaking(r)
		p, _ := Compile(in, nil)
		for range 4 {
			facts := losses(r, in)
			report := verify.New(p, facts).Check(in)
			for _, x := range report.Problems {
				if slices.Contains([]diag.Code{"RW3014", "RW3034", "RW3035", "RW3036", "RW3037"}, x.Code) {
					t.Fatalf("seed %d, %+v: %s", seed, facts, x)
				}
			}
			lost += len(facts.Down) + len(facts.Cut)
			pairs += report.Stats.Pairs
		}
	}
	t.Logf("%d pairs after the loss of %d things", pairs, lost)
	if lost < 1000 || pairs < 10000 {
		t.Error("too few to say anything")
	}
}

// TestOnlyHubsCarry: whatever is lost, packets between two places cross gateways of hubs beside their own, of two at most. A spoke, or a site with links to two hubs, carries
// for nobody: it tells nobody of others, and its firewall lets nothing through from tunnel to tunnel.
func TestOnlyHubsCarry(t *testing.T) {
	ways := [3]int{} // by the hubs between
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 6))
		in := speaking(r)
		for _, a := range in.Places {
			for _, b := range in.Places {
				if a != b {
					in.Tests = append(in.Tests, intent.Test{From: intent.Selector{Prefixes: a.Prefixes}, To: intent.Selector{Prefixes: b.Prefixes}, Expect: intent.Reachable})
				}
			}
		}
		p, _ := Compile(in, nil)
		for _, g := range p.Gateways {
			hub := in.Place(g.Place).Hub
			for _, n := range g.BGP.Neighbors {
				if told := n.Tell != plan.TellOwn; told && !n.External() && !hub || n.Tell == plan.TellAll && in.Place(p.Gateway(n.Name).Place).Hub {
					t.Fatalf("seed %d: %s, of a hub: %t, tells %s %s", seed, g.Name, hub, n.Name, n.Tell)
				}
			}
			if !hub && slices.ContainsFunc(g.Firewall.Rules, func(r plan.Rule) bool { return r.Direction == plan.Transit }) {
				t.Fatalf("seed %d: %s lets packets through", seed, g.Name)
			}
		}
		for _, result := range verify.New(p, losses(r, in)).Check(in).Tests {
			if result.Forward.DroppedBy != nil || len(result.Forward.Gateways) < 2 {
				continue
			}
			between := result.Forward.Gateways[1 : len(result.Forward.Gateways)-1]
			if len(between) > 2 || slices.ContainsFunc(between, func(name string) bool { return !in.Place(p.Gateway(name).Place).Hub }) {
				t.Fatalf("seed %d: packets go by %v", seed, result.Forward.Gateways)
			}
			ways[len(between)]++
		}
	}
	t.Logf("%d direct ways, %d by a hub, %d by two", ways[0], ways[1], ways[2])
	if slices.Min(ways[:]) < 20 {
		t.Error("too few to say anything")
	}
}
