package compile

import (
	"encoding/json"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"ropeway/internal/intent"
	"ropeway/internal/plan"
	"ropeway/internal/prefixes"
	"ropeway/internal/state"
)

// TestAgainEqualsAfresh changes random fabrics step by step: a compiler that remembers gives what one without memory gives, keeps
// the very plan of gateways that did not change.
func TestAgainEqualsAfresh(t *testing.T) {
	kept, remade := 0, 0
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 2))
		in := randomFabric(r)
		var c Compiler
		last, lock := c.Compile(in, nil)
		for step := range 6 {
			in = change(r, in)
			now, nextLock := c.Compile(in, lock)
			want, wantLock := Compile(in, lock)
			if got, want := encode(t, now), encode(t, want); got != want {
				t.Fatalf("seed %d, step %d: the plan differs from one made afresh:\n%s\n%s", seed, step, got, want)
			}
			if !sameNumbers(nextLock, wantLock) {
				t.Fatalf("seed %d, step %d: the lock differs", seed, step)
			}
			for i, g := range now.Gateways {
				if i >= len(last.Gateways) || last.Gateways[i].Name != g.Name {
					continue
				}
				switch same := plan.Revision(last.Gateways[i]) == plan.Revision(g); {
				case same && last.Gateways[i] == g:
					kept++
				case !same:
					remade++
				}
			}
			last, lock = now, nextLock
		}
	}
	if kept == 0 || remade == 0 {
		t.Errorf("kept %d plans and remade %d: the test shows nothing", kept, remade)
	}
}

func encode(t *testing.T, p *plan.Fabric) string {
	t.Helper()
	out, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// change returns a fabric that differs from another in one thing: a selector, mostly, and now and then a gateway.
func change(r *rand.Rand, was *intent.Fabric) *intent.Fabric {
	in := *was
	in.Access = slices.Clone(was.Access)
	a := &in.Access[r.IntN(len(in.Access))]
	side := []*intent.Selector{&a.From, &a.To}[r.IntN(2)]
	p := in.Places[r.IntN(len(in.Places))]
	piece := []netip.Prefix{netip.PrefixFrom(p.Prefixes[0].Addr(), p.Prefixes[0].Bits()+r.IntN(4))}
	if less := prefixes.Subtract(side.Prefixes, piece); len(less) > 0 && len(less) != len(side.Prefixes) {
		side.Prefixes = less
	} else {
		side.Prefixes = prefixes.Union(side.Prefixes, piece)
	}
	if r.IntN(6) == 0 {
		in.Access = append(in.Access, intent.Access{From: a.To, To: a.From})
	}
	return &in
}

// TestRemovingAGatewayConcernsItsPlacesPeersOnly takes one gateway out of a spoke: nothing is renumbered, and who exchanges no
// packet with that spoke keeps the same plan.
func TestRemovingAGatewayConcernsItsPlacesPeersOnly(t *testing.T) {
	spokes := 0
	for seed := range uint64(500) {
		in := randomFabric(rand.New(rand.NewPCG(seed, 3)))
		before, lock := Compile(in, nil)
		victim := in.Places[len(in.Places)-1]
		if victim.Hub || victim.Hubs == nil || len(victim.Gateways) < 2 {
			continue
		}
		spokes++
		gone := victim.Gateways[0]
		victim.Gateways = victim.Gateways[1:]
		after, next := Compile(in, lock)
		for _, g := range after.Gateways {
			if next.Gateways[g.Name].Index != lock.Gateways[g.Name].Index {
				t.Errorf("seed %d: %s was renumbered", seed, g.Name)
			}
			was := before.Gateway(g.Name)
			if plan.Revision(g) != plan.Revision(was) && g.Place != victim.Name && !knows(was, lock, append(victim.Gateways, gone)) {
				t.Errorf("seed %d: %s changed, and had nothing to do with %s", seed, g.Name, victim.Name)
			}
		}
	}
	if spokes < 20 {
		t.Errorf("only %d fabrics had such a spoke", spokes)
	}
}

// knows reports whether a gateway has anything to do with one of others: a link, or its tunnel address behind a hub.
func knows(g *plan.Gateway, lock *state.Lock, others []*intent.Gateway) bool {
	return slices.ContainsFunc(others, func(other *intent.Gateway) bool {
		tunnel := host(netip.MustParsePrefix("100.64.0.0/24"), lock.Gateways[other.Name].Index)
		return slices.ContainsFunc(g.Devices[0].Peers, func(p *plan.Peer) bool {
			return p.Gateway == other.Name || slices.Contains(p.AllowedIPs, netip.PrefixFrom(tunnel, 32))
		})
	})
}
