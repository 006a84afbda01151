package verify

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ropeway/internal/diag"
	"ropeway/internal/intent"
	"ropeway/internal/plan"
)

// speakingCase is a random fabric that speaks BGP and lets everything pass, with access and tests.
func speakingCase(seed uint64) (*intent.Fabric, *plan.Fabric, Facts) {
	r := rand.New(rand.NewPCG(seed, 9))
	p, facts := randomSpeakers(r)
	if seed%2 == 0 {
		befriend(p)
	}
	in := &intent.Fabric{Name: "random"}
	var all []netip.Prefix
	for _, x := range p.Places {
		in.Places = append(in.Places, &intent.Place{Name: x.Name, Prefixes: x.Prefixes})
		all = append(all, x.Prefixes...)
	}
	for _, g := range p.Gateways {
		open(g)
		g.Firewall.Fabric = all
	}
	for _, x := range p.Places { // a place whose router does not learn has a route table
		static := !slices.ContainsFunc(p.Gateways, func(g *plan.Gateway) bool {
			return g.Place == x.Name && slices.ContainsFunc(g.BGP.Neighbors, (*plan.Neighbor).External)
		})
		var names []string
		for _, g := range p.Gateways {
			if g.Place == x.Name {
				names = append(names, g.Name)
			}
		}
		for _, y := range p.Places {
			if !static || len(names) == 0 || y == x {
				continue
			}
			route := &plan.RouterRoute{To: y.Name, Gateway: names[0], Prefixes: y.Prefixes}
			if takenOver := len(names) % 2; takenOver == 0 {
				route.Then = names[1:]
			}
			x.Routes = append(x.Routes, route)
		}
	}
	selector := func() intent.Selector { return intent.Selector{Prefixes: pick(r, p.Places).Prefixes} }
	for range 2 + r.IntN(4) {
		in.Access = append(in.Access, intent.Access{From: selector(), To: selector()})
		in.Tests = append(in.Tests, intent.Test{From: selector(), To: selector(), Expect: pick(r, []intent.Expectation{intent.Reachable, intent.Reachable, intent.Denied}), Symmetric: r.IntN(4) == 0})
	}
	return in, p, facts
}

// befriend lets everybody believe everything and pass it on, and every place learn: most of what is promised then passes, and may break.
func befriend(p *plan.Fabric) {
	for _, g := range p.Gateways {
		for _, n := range g.BGP.Neighbors {
			if n.Tell = plan.TellAll; n.External() {
				n.Tell = plan.TellLearnt
			} else {
				n.Accept, n.MaxHops = everywhere, 8
			}
		}
		for i, a := range []string{"10.255.0.1", "fd00:255::1"} {
			address := netip.MustParseAddr(a)
			if !slices.ContainsFunc(g.BGP.Neighbors, func(n *plan.Neighbor) bool { return n.Address == address }) {
				g.BGP.Neighbors = append(g.BGP.Neighbors, &plan.Neighbor{Name: "core", Address: address, ASN: uint32(64512 + i), Tell: plan.TellLearnt, MaxHops: 1, MaxPrefixes: 1})
			}
		}
	}
}

// unproven reports whether a proof says of itself that it may not hold.
func unproven(r *Report) bool {
	return slices.ContainsFunc(r.Problems, func(p diag.Problem) bool { return slices.Contains([]diag.Code{"RW3035", "RW3037"}, p.Code) })
}

// plainly says what rerouted does, and works out everything anew for every loss: it plays every kind from the beginning, writes the tables of every gateway and judges every pair.
func plainly(p *plan.Fabric, facts Facts, in *intent.Fabric) []Failure {
	c := newConvergence(p, facts)
	whole := c.tables(c.playAll(), noLoss())
	m := newModel(whole.plan(), facts, newPool())
	report := m.Check(in)
	losses := newLosses(m, report)
	for i, t := range report.Tests {
		if t.OK {
			losses.holds.add(i)
		}
	}
	lost := (&rerouting{c: c, losses: losses}).each()
	before := m.breaks(losses.holds, nil)
	var out []Failure
	for i, l := range lost {
		choices := make([]choice, len(c.kinds))
		for n, k := range c.kinds {
			choices[n] = c.play(k, l)
		}
		then, g := facts, c.m.gateways
		if l.gateway != nobody {
			then.Down = append(slices.Clone(then.Down), g[l.gateway].Name)
		} else {
			then.Cut = append(slices.Clone(then.Cut), Link{g[l.link[0]].Name, g[l.link[1]].Name})
		}
		t := c.tables(choices, l)
		doubts := t.doubts()
		for d := range whole.doubts() {
			delete(doubts, d) // it did not hold before
		}
		m := newModel(t.plan(), then, newPool())
		m.draw(in)
		after := m.breaks(losses.holds, doubts)
		f := Failure{Lost: losses.names[i]}
		for n := after.tests.firstOfBoth(after.tests, 0); n >= 0; n = after.tests.firstOfBoth(after.tests, n+1) {
			f.Tests = append(f.Tests, n+1)
		}
		for pair := range after.pairs {
			if !before.pairs[pair] {
				f.Broken = append(f.Broken, m.places[pair[0]].Name+" → "+m.places[pair[1]].Name)
			}
		}
		slices.Sort(f.Broken)
		out = append(out, f)
	}
	slices.SortFunc(out[len(m.gateways):], byLost)
	return out
}

// disturb puts routes of the plan's own above, below and beside what is learnt, at gateways and at routers, and may leave gateways without a preference between ways.
func disturb(r *rand.Rand, p *plan.Fabric) {
	indifferent := r.IntN(3) == 0
	around := func() []netip.Prefix {
		own := pick(r, pick(r, p.Places).Prefixes)
		low, high := split(own)
		wider, _ := own.Addr().Prefix(own.Bits() - 1 - r.IntN(own.Bits()))
		return [][]netip.Prefix{{own}, {low}, {high}, {wider}}[r.IntN(4)]
	}
	for _, g := range p.Gateways {
		for _, n := range g.BGP.Neighbors {
			if indifferent {
				n.Prefer = nil
			}
			if !n.External() && r.IntN(10) == 0 {
				g.Routes = append(g.Routes, &plan.Route{Device: n.Device, Peer: n.Name, MTU: 1440, Prefixes: around()})
			}
		}
	}
	for _, x := range p.Places {
		gateways := slices.DeleteFunc(slices.Clone(p.Gateways), func(g *plan.Gateway) bool { return g.Place != x.Name })
		if len(gateways) == 0 || r.IntN(4) > 0 || slices.ContainsFunc(x.Routes, func(r *plan.RouterRoute) bool { return len(r.Then) > 0 }) {
			continue
		}
		list := around()
		if !slices.ContainsFunc(p.Gateways, func(g *plan.Gateway) bool { return announces(g, list[0]) }) { // what a router has twice is an error by itself
			x.Routes = append(x.Routes, &plan.RouterRoute{To: pick(r, p.Places).Name, Gateway: pick(r, gateways).Name, Prefixes: list})
		}
	}
}

// announces reports whether a gateway, or a router of its place, may announce a prefix.
func announces(g *plan.Gateway, p netip.Prefix) bool {
	return slices.Contains(g.BGP.Own, p) || slices.ContainsFunc(g.BGP.Neighbors, func(n *plan.Neighbor) bool { return n.External() && slices.Contains(n.Accept, p) })
}

// TestReroutedEqualsPlain compares what is worked out as a difference with what is worked out anew, whatever is wrong with the fabric.
func TestReroutedEqualsPlain(t *testing.T) {
	compared, broken, failed := 0, 0, 0
	for seed := range uint64(800) {
		in, p, facts := speakingCase(seed)
		disturb(rand.New(rand.NewPCG(seed, 10)), p)
		want, got := plainly(p, facts, in), Failures(p, facts, in)
		if diff := cmp.Diff(want, got, sameReport); diff != "" {
			t.Fatalf("seed %d (-plain +fast):\n%s", seed, diff)
		}
		for _, f := range got {
			compared, broken, failed = compared+1, broken+len(f.Broken), failed+len(f.Tests)
		}
	}
	t.Logf("%d losses compared, which break %d pairs and %d tests", compared, broken, failed)
	if compared < 5000 || broken < 500 || failed < 500 {
		t.Errorf("%d losses compared, %d pairs broken, %d tests failed: too few to say anything", compared, broken, failed)
	}
}

// TestReroutedEqualsCheck compares what --failures says of a fabric that speaks BGP with a proof made afresh for each loss.
func TestReroutedEqualsCheck(t *testing.T) {
	compared, broken, failed := 0, 0, 0
	for seed := range uint64(240) {
		in, p, facts := speakingCase(seed)
		healthy := New(p, facts)
		before := healthy.Check(in)
		if unproven(before) {
			continue
		}
		for _, f := range Failures(p, facts, in) {
			then := facts
			if name, link := strings.CutPrefix(f.Lost, "link "); link {
				var l Link
				l.A, l.B, _ = strings.Cut(name, " ")
				then.Cut = append(slices.Clone(facts.Cut), l)
			} else {
				then.Down = append(slices.Clone(facts.Down), strings.TrimPrefix(f.Lost, "gateway "))
			}
			m := New(p, then)
			after := m.Check(in)
			if unproven(after) {
				continue
			}
			want := Failure{Lost: f.Lost}
			for i, x := range after.Tests {
				if before.Tests[i].OK && !x.OK {
					want.Tests = append(want.Tests, i+1)
				}
			}
			was := brokenPairs(healthy)
			for pair := range brokenPairs(m) {
				if !was[pair] {
					want.Broken = append(want.Broken, pair)
				}
			}
			slices.Sort(want.Broken)
			if diff := cmp.Diff(want, f, sameReport); diff != "" {
				t.Fatalf("seed %d, %s (-proof made afresh +failures):\n%s", seed, f.Lost, diff)
			}
			compared++
			broken += len(f.Broken)
			failed += len(f.Tests)
		}
	}
	t.Logf("%d losses compared, which break %d pairs and %d tests", compared, broken, failed)
	if compared < 500 || broken < 100 || failed < 50 {
		t.Errorf("%d losses compared, %d pairs broken, %d tests failed: too few to say anything", compared, broken, failed)
	}
}

// brokenPairs reads the pairs of places that do not get what they were promised out of what the proof remembered of every pair.
func brokenPairs(m *Model) map[string]bool {
	w, out := m.world, map[string]bool{}
	j := newJudge(m, w)
	for a, list := range w.bad {
		for _, b := range list {
			from, to := &w.classes[a], &w.classes[b.other]
			j.rows(side{from.owner, w.rows[from.row]}, side{to.owner, w.rows[to.row]})
			if j.way(&j.forward, &j.backward, from, to).flags&broken != 0 {
				out[m.places[from.owner].Name+" → "+m.places[to.owner].Name] = true
			}
		}
	}
	return out
}

// TestLossThatLeavesTwoWays: while nothing is lost one way is best. When it is lost, the gateway shares packets between two gateways, and nothing is proven of the pair.
func TestLossThatLeavesTwoWays(t *testing.T) {
	f := &speakingFabric{Fabric: &plan.Fabric{Name: "f"}}
	a, b := []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")}, []netip.Prefix{netip.MustParsePrefix("10.2.0.0/16")}
	f.place("a", a, "a1")
	f.place("b", b, "b1", "b2", "b3")
	for i, g := range []string{"b1", "b2", "b3"} {
		near, far := f.join("a1", g, false)
		for _, x := range []*plan.Neighbor{near, far} {
			x.Prefer = []plan.Preference{{Metric: uint32(min(i, 1))}}
		}
		f.router(g, "core")
	}
	f.router("a1", "core")
	for _, g := range f.Gateways {
		open(g)
	}
	from, to := intent.Selector{Text: "a", Prefixes: a}, intent.Selector{Text: "b", Prefixes: b}
	in := &intent.Fabric{
		Places: []*intent.Place{{Name: "a", Prefixes: a}, {Name: "b", Prefixes: b}}, Access: []intent.Access{{From: from, To: to}},
		Tests: []intent.Test{{From: from, To: to, Expect: intent.Reachable}, {From: to, To: from, Expect: intent.Reachable}},
	}
	p := f.sorted()
	in.Access = append(in.Access, intent.Access{From: to, To: from})
	if r := New(p, Facts{}).Check(in); !r.OK {
		t.Fatal(r.Problems)
	}
	if r := New(p, Facts{Down: []string{"b1"}}).Check(in); r.OK || !unproven(r) {
		t.Errorf("of packets that are shared between two gateways the proof says %v", r.Problems)
	}
	want := []Failure{
		{"gateway a1", []string{"a → b", "b → a"}, []int{1, 2}},
		{"gateway b1", []string{"a → b", "b → a"}, []int{1, 2}},
		{Lost: "gateway b2"}, {Lost: "gateway b3"},
		{"link a1 b1", []string{"a → b", "b → a"}, []int{1, 2}},
		{Lost: "link a1 b2"}, {Lost: "link a1 b3"},
	}
	if diff := cmp.Diff(want, Failures(p, Facts{}, in), sameReport); diff != "" {
		t.Error(diff)
	}
}
