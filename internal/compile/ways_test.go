package compile

import (
	"fmt"
	"maps"
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

// askAll adds a test of the way from every place to every other.
func askAll(in *intent.Fabric) {
	for _, a := range in.Places {
		for _, b := range in.Places {
			if a != b {
				in.Tests = append(in.Tests, intent.Test{From: intent.Selector{Prefixes: a.Prefixes}, To: intent.Selector{Prefixes: b.Prefixes}, Expect: intent.Reachable})
			}
		}
	}
}

// TestOnlyHubsCarry: whatever is lost, packets between two places cross gateways of hubs beside their own, of two at most. A spoke, or a site with links to two hubs, carries
// for nobody: it tells nobody of others, and its firewall lets nothing through from tunnel to tunnel.
func TestOnlyHubsCarry(t *testing.T) {
	ways := [3]int{} // by the hubs between
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 6))
		in := speaking(r)
		askAll(in)
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

// TestHubsInOrder: the hub through which two spokes meet is the one that they like best together, and the hub through which a spoke meets those that share none with it
// is the one that it likes best: with static routing, and with BGP whether routers learn or not.
func TestHubsInOrder(t *testing.T) {
	met, left := 0, 0
	for seed := range uint64(600) {
		in := speaking(rand.New(rand.NewPCG(seed, 5)))
		switch seed % 3 {
		case 0:
			in.Routing = intent.Routing{Mode: fabric.Static}
		case 1: // what routers do not learn stands in route tables
			for _, p := range in.Places {
				p.Routers = nil
			}
		}
		var ends [][2]*intent.Place
		for _, s := range in.Places {
			for _, to := range in.Places {
				if s != to && s.Hubs != nil && !to.Hub && !linked(in, s, to) {
					ends = append(ends, [2]*intent.Place{s, to})
					in.Tests = append(in.Tests, intent.Test{From: intent.Selector{Prefixes: s.Prefixes}, To: intent.Selector{Prefixes: to.Prefixes}, Expect: intent.Reachable})
				}
			}
		}
		p, _ := Compile(in, nil)
		for i, result := range verify.New(p, verify.Facts{}).Check(in).Tests {
			s, to := ends[i][0], ends[i][1]
			if result.Forward.DroppedBy != nil { // a guard, or a rule that random places do not have
				continue
			}
			via := in.Place(p.Gateway(result.Forward.Gateways[1]).Place)
			best, shared := bestHubs(in, s, to)
			if !slices.Contains(best, via) {
				t.Fatalf("seed %d, %s: %s, which has the hubs %s (ranked %t), goes to %s by %v, want by one of %s", seed, in.Routing.Mode, s.Name, called(s.Hubs), s.Ranked, to.Name, result.Forward.Gateways, called(best))
			}
			if shared && s.Ranked {
				met++
			} else if s.Ranked {
				left++
			}
		}
	}
	t.Logf("%d pairs met at a hub, %d spokes left by one", met, left)
	if met < 200 || left < 50 {
		t.Error("too few to say anything")
	}
}

func linked(in *intent.Fabric, a, b *intent.Place) bool {
	return slices.ContainsFunc(in.Links, func(l intent.Link) bool { return l.A == a && l.B == b || l.A == b && l.B == a })
}

// hubsOf returns all places that are hubs of a spoke: those that it names, and then those that a link joins it with.
func hubsOf(in *intent.Fabric, s *intent.Place) []*intent.Place {
	out := slices.Clone(s.Hubs)
	for l := range in.Joined() {
		for _, pair := range [][2]*intent.Place{{l.A, l.B}, {l.B, l.A}} {
			if pair[0] == s && pair[1].Hub && !slices.Contains(out, pair[1]) {
				out = append(out, pair[1])
			}
		}
	}
	return out
}

// bestHubs returns the hubs that two spokes share and like best together, or those by which the first leaves.
func bestHubs(in *intent.Fabric, s, to *intent.Place) (best []*intent.Place, shared bool) {
	mine, theirs := hubsOf(in, s), hubsOf(in, to)
	liked := map[*intent.Place]int{}
	for i, h := range mine {
		at := slices.Index(theirs, h)
		switch {
		case at < 0:
			liked[h] = 1 << 10
			continue
		case !s.Ranked && !to.Ranked:
			liked[h] = 0
		case !s.Ranked:
			liked[h] = at
		case !to.Ranked:
			liked[h] = i
		default:
			liked[h] = i + at
		}
		shared = true
	}
	if !shared && s.Ranked {
		return mine[:1], false
	}
	least := slices.Min(slices.Collect(maps.Values(liked)))
	for h, n := range liked {
		if n == least {
			best = append(best, h)
		}
	}
	return best, shared
}

func called(places []*intent.Place) (names []string) {
	for _, p := range places {
		names = append(names, p.Name)
	}
	return names
}

// A gateway that packets cross after a loss, and did not cross before, lets answers pass to what it did not see, in the direction in which it is crossed. A gateway that is
// crossed whatever is lost lets none pass, and no gateway with static routes does.
func TestAnswersPassWherePacketsMayMove(t *testing.T) {
	moved, fixed := 0, 0
	for seed := range uint64(100) {
		r := rand.New(rand.NewPCG(seed, 8))
		in := speaking(r)
		askAll(in)
		p, _ := Compile(in, nil)
		before := verify.New(p, verify.Facts{}).Check(in).Tests
		for i, after := range verify.New(p, losses(r, in)).Check(in).Tests {
			if before[i].Forward.DroppedBy != nil || after.Forward.DroppedBy != nil {
				continue
			}
			way := after.Forward.Gateways
			for at, name := range way {
				direction := plan.Transit
				switch at {
				case 0:
					direction = plan.Out
				case len(way) - 1:
					direction = plan.In
				}
				if g := p.Gateway(name); !slices.Contains(before[i].Forward.Gateways, name) {
					moved++
					if !slices.Contains(g.Firewall.Answers, direction) {
						t.Fatalf("seed %d: packets from %v moved to %s, which answers %v and not %s", seed, before[i].Forward.Gateways, name, g.Firewall.Answers, direction)
					}
				} else if direction != plan.Transit && len(in.Place(g.Place).Gateways) == 1 {
					fixed++
					if slices.Contains(g.Firewall.Answers, direction) {
						t.Fatalf("seed %d: everything of %s crosses %s, which answers %v all the same", seed, g.Place, name, g.Firewall.Answers)
					}
				}
			}
		}
		in.Routing = intent.Routing{Mode: fabric.Static}
		p, _ = Compile(in, nil)
		for _, g := range p.Gateways {
			if len(g.Firewall.Answers) > 0 {
				t.Fatalf("seed %d: %s has static routes and answers %v", seed, g.Name, g.Firewall.Answers)
			}
		}
	}
	if moved < 100 || fixed < 100 {
		t.Errorf("%d moved and %d could not: the test tests nothing", moved, fixed)
	}
}
