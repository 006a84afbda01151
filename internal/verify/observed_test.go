package verify

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ropeway/internal/plan"
)

// seenOf returns what gateways would be seen to have where everything is as promised.
func seenOf(p *plan.Fabric, facts Facts) map[string][]Learnt {
	c := newConvergence(p, facts)
	out := map[string][]Learnt{}
	for i := range c.m.gateways {
		out[c.m.gateways[i].Name] = []Learnt{}
	}
	for k, have := range c.playAll() {
		for g, best := range have {
			for _, r := range best {
				for _, x := range c.kinds[k].prefixes {
					if name := c.m.gateways[g].Name; r.session >= 0 {
						out[name] = append(out[name], Learnt{x, c.speakers[g].sessions[r.session].Device, r.path, r.metric})
					}
				}
			}
		}
	}
	return out
}

// TestSeenAsPromised: where gateways have what they should, there is no difference, and the proof of what was seen is that of the plan.
func TestSeenAsPromised(t *testing.T) {
	compared := 0
	for seed := range uint64(150) {
		in, p, facts := speakingCase(seed)
		seen := seenOf(p, facts)
		for _, g := range p.Gateways {
			g.BGP.MaxPaths = 64
		}
		for _, part := range []bool{false, true} {
			if part { // nothing was seen of one
				delete(seen, pick(rand.New(rand.NewPCG(seed, 1)), p.Gateways).Name)
			}
			if d := Differences(p, facts, seen); len(d) > 0 {
				t.Fatalf("seed %d: %+v", seed, d)
			}
			promised := Promised(p, facts)
			for name, routes := range seen {
				prefixes := map[netip.Prefix]bool{}
				for _, r := range routes {
					prefixes[r.Prefix] = true
				}
				if promised[name] != len(prefixes) {
					t.Errorf("seed %d: %s is promised %d prefixes, and has %d", seed, name, promised[name], len(prefixes))
				}
			}
			derived, problems := WithRoutes(p, facts, seen)
			m := New(derived, facts)
			got, want := m.Check(in), New(p, facts).Check(in)
			if diff := cmp.Diff(want.Tests, got.Tests, sameReport); diff != "" {
				t.Fatalf("seed %d (-promised +seen):\n%s", seed, diff)
			}
			if want.OK != (got.OK && !problems.Failed()) {
				t.Errorf("seed %d: promised %v, seen %v with %v", seed, want.OK, got.OK, problems)
			}
			compared++
		}
	}
	t.Log(compared, "compared")
}

// TestSeenOtherwise: each way in which what is seen may differ is told, and the proof follows what was seen.
func TestSeenOtherwise(t *testing.T) {
	f := &speakingFabric{Fabric: &plan.Fabric{Name: "f"}}
	own := func(s string) []netip.Prefix { return []netip.Prefix{netip.MustParsePrefix(s)} }
	f.place("a", own("10.1.0.0/16"), "a1")
	f.place("b", own("10.2.0.0/16"), "b1")
	f.place("c", own("10.3.0.0/16"), "c1")
	f.join("a1", "b1", false) // rw1
	f.join("a1", "c1", false) // rw2
	f.join("b1", "c1", false) // rw3
	for _, g := range f.Gateways {
		f.router(g.Name, "core")
		open(g)
	}
	p := f.sorted()
	good := []Learnt{{own("10.2.0.0/16")[0], "rw1", []uint32{65002}, 0}, {own("10.3.0.0/16")[0], "rw2", []uint32{65003}, 0}}
	path := func(seen []Learnt, to string) string {
		derived, _ := WithRoutes(p, Facts{}, map[string][]Learnt{"a1": seen})
		tr := New(derived, Facts{}).Trace(Packet{Source: netip.MustParseAddr("10.1.0.1"), Destination: netip.MustParseAddr(to)}, false)
		out := ""
		for _, g := range tr.Forward.Gateways {
			out += g + " "
		}
		if tr.Forward.DroppedBy != nil {
			out += string(tr.Forward.DroppedBy.Reason)
		}
		return out
	}
	for _, x := range []struct {
		name string
		seen []Learnt
		want []Difference
		way  string // of a packet to 10.2.0.1
	}{
		{"as promised", good, nil, "a1 b1 "},
		{"missing", good[1:], []Difference{{"a1", good[0].Prefix, Missing, []string{"rw1"}, nil}}, "no-route"},
		{"elsewhere", []Learnt{{good[0].Prefix, "rw2", []uint32{65003, 65002}, 0}, good[1]},
			[]Difference{{"a1", good[0].Prefix, Elsewhere, []string{"rw1"}, []string{"rw2"}}}, "a1 c1 b1 "},
		{"unexpected", append(slices.Clone(good), Learnt{own("10.2.0.0/24")[0], "rw2", []uint32{65003}, 0}),
			[]Difference{{"a1", own("10.2.0.0/24")[0], Unexpected, nil, []string{"rw2"}}}, "a1 c1 b1 "},
		{"a device that is not there", append(slices.Clone(good), Learnt{own("10.2.0.0/24")[0], "eth9", []uint32{65003}, 0}),
			[]Difference{{"a1", own("10.2.0.0/24")[0], Unexpected, nil, []string{"eth9"}}}, "a1 no-peer"},
	} {
		if diff := cmp.Diff(x.want, Differences(p, Facts{}, map[string][]Learnt{"a1": x.seen}), sameReport, cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); diff != "" {
			t.Errorf("%s: %s", x.name, diff)
		}
		if got := path(x.seen, "10.2.0.1"); got != x.way {
			t.Errorf("%s: the packet goes %q, want %q", x.name, got, x.way)
		}
	}
}
