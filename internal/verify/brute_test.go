package verify

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ropeway/internal/compile"
	"ropeway/internal/diag"
	"ropeway/internal/fabric"
	"ropeway/internal/intent"
	"ropeway/internal/plan"
)

// seeds is how many random plans each of the comparisons judges.
const seeds = 250

// randomCase is a compiled plan with some damage, and some facts. A third of the plans is whole.
func randomCase(t testing.TB, seed uint64) (*intent.Fabric, *plan.Fabric, Facts, *rand.Rand) {
	r := rand.New(rand.NewPCG(seed, 1))
	in := randomFabric(r)
	compiled, _ := compile.Compile(in, nil)
	p := clone(t, compiled)
	if seed%3 > 0 {
		for range 1 + r.IntN(5) {
			damage(r, p)
		}
	}
	var facts Facts
	if seed%2 > 0 {
		facts = randomFacts(r, p)
	}
	return in, p, facts, r
}

// TestAgreesWithNaiveWalk compares Trace, and the verdicts of classes, with the naive walk: for every pair of atoms and every kind of
// service.
func TestAgreesWithNaiveWalk(t *testing.T) {
	met := map[Reason]int{} // how packets ended: a comparison that never met a reason says nothing of it
	for seed := range uint64(seeds) {
		in, p, facts, _ := randomCase(t, seed)
		n := naive{p, facts}
		m := New(p, facts)
		m.prepare(in)
		addresses, services := n.addresses(in), n.spoken(in)
		for _, src := range addresses {
			for _, dst := range addresses {
				if !n.meet(src, dst) {
					continue
				}
				for _, s := range services {
					met[comparePair(t, seed, n, m, Packet{Source: src, Destination: dst, Service: s})]++
				}
			}
		}
		if t.Failed() {
			data, _ := json.Marshal(p)
			t.Fatalf("seed %d: facts %+v, plan %s", seed, facts, data)
		}
	}
	for _, why := range []Reason{"", NoRoute, NoPeer, NoSession, SourceCheck, Filtered, Loop, GatewayDown} {
		if met[why] < 20 {
			t.Errorf("%d packets ended with %q", met[why], why)
		}
	}
	t.Log(met)
}

// comparePair compares a packet and its answer, and returns how the packet ended.
func comparePair(t *testing.T, seed uint64, n naive, m *Model, p Packet) Reason {
	t.Helper()
	want := n.pair(p.Source, p.Destination, p.Service)
	trace := m.Trace(p, true)
	name := fmt.Sprintf("seed %d: %s → %s %s", seed, p.Source, p.Destination, p.Service)
	compareWay(t, name+" forward", want.forward, &trace.Forward)
	compareWay(t, name+" return", want.back, trace.Return)

	w := m.world
	a, b := w.classAt(p.Source), w.classAt(p.Destination)
	j := newJudge(m, w)
	j.rows(side{a.owner, w.rows[a.row]}, side{b.owner, w.rows[b.row]})
	v := j.way(&j.forward, &j.backward, a, b)
	kind := len(w.services.ranges) - 1
	if p.Service.Protocol != "" {
		kind = w.services.number(p.Service)
	}
	if got := v.open.has(kind); got != want.arrives() {
		t.Errorf("%s: the verdict says open=%v, the naive walk %+v", name, got, want.forward)
	}
	if got := v.both.has(kind); got != want.both() {
		t.Errorf("%s: the verdict says both=%v, the naive walk %+v", name, got, want)
	}
	if want.forward.reason == "" && (j.forward.mtu != want.forward.mtu || j.forward.first != want.forward.first) {
		t.Errorf("%s: MTU %d of %d, naive %d of %d", name, j.forward.mtu, j.forward.first, want.forward.mtu, want.forward.first)
	}
	return want.forward.reason
}

func compareWay(t *testing.T, name string, want naiveWay, got *Walk) {
	t.Helper()
	var why Reason
	at := ""
	if got.DroppedBy != nil {
		why, at = got.DroppedBy.Reason, got.DroppedBy.At
	}
	if why != want.reason || at != want.at || !slices.Equal(got.Gateways, want.path) {
		t.Errorf("%s: naive %q at %s by %v, Trace %q at %s by %v", name, want.reason, want.at, want.path, why, at, got.Gateways)
	}
	if why == "" && got.MTU != want.mtu {
		t.Errorf("%s: naive MTU %d, Trace %d", name, want.mtu, got.MTU)
	}
}

// TestReportAgreesWithNaiveWalk compares what a report says with what the naive walk finds by going through all pairs.
func TestReportAgreesWithNaiveWalk(t *testing.T) {
	met := map[diag.Code]int{}
	idle := 0
	for seed := range uint64(seeds) {
		in, p, facts, _ := randomCase(t, seed+1000)
		n := naive{p, facts}
		report := New(p, facts).Check(in)
		codes := map[diag.Code]bool{}
		for _, x := range report.Problems {
			codes[x.Code] = true
		}
		for c := range codes {
			met[c]++
		}
		want := n.codes(in)
		for _, c := range []diag.Code{"RW3010", "RW3011", "RW3012", "RW3014", "RW3015"} {
			if codes[c] != want[c] {
				t.Errorf("seed %d: %s: report %v, naive %v\n%v", seed, c, codes[c], want[c], report.Problems)
			}
		}
		everywhere := []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")}
		if want := n.pairs(in, everywhere, everywhere); report.Stats.Pairs != want {
			t.Errorf("seed %d: %d pairs, naive %d", seed, report.Stats.Pairs, want)
		}
		for i := range in.Tests {
			ok, symmetric := n.test(in, &in.Tests[i])
			got := report.Tests[i]
			if want := n.pairs(in, in.Tests[i].From.Prefixes, in.Tests[i].To.Prefixes); got.Pairs != want {
				t.Errorf("seed %d: test %d: %d pairs, naive %d", seed, i+1, got.Pairs, want)
			} else if want == 0 {
				idle++
			}
			if got.OK != ok || got.Symmetric != symmetric {
				t.Errorf("seed %d: test %d: report ok=%v symmetric=%v (%s), naive ok=%v symmetric=%v", seed, i+1, got.OK, got.Symmetric, got.Reason, ok, symmetric)
			}
		}
		if t.Failed() {
			data, _ := json.Marshal(p)
			t.Fatalf("seed %d: facts %+v, plan %s", seed+1000, facts, data)
		}
	}
	for _, c := range []diag.Code{"RW3001", "RW3010", "RW3011", "RW3012", "RW3013", "RW3014", "RW3015", "RW3020", "RW3021", "RW3022", "RW3023", "RW3024", "RW3026", "RW3028", "RW3032"} {
		if met[c] == 0 {
			t.Errorf("no report said %s", c)
		}
	}
	if idle == 0 {
		t.Error("every test had something to judge")
	}
	t.Log(met)
}

// pairs counts the pairs of atoms that can be the ends of a packet from some addresses to others.
func (n naive) pairs(in *intent.Fabric, from, to []netip.Prefix) int {
	pairs := 0
	all := n.addresses(in)
	for _, src := range all {
		for _, dst := range all {
			if n.meet(src, dst) && longest(from, src) >= 0 && longest(to, dst) >= 0 {
				pairs++
			}
		}
	}
	return pairs
}

// codes returns what is wrong between places, by going through all pairs of atoms and kinds of services.
func (n naive) codes(in *intent.Fabric) map[diag.Code]bool {
	out := map[diag.Code]bool{}
	addresses, services := n.addresses(in), n.spoken(in)
	for _, src := range addresses {
		for _, dst := range addresses {
			if !n.meet(src, dst) {
				continue
			}
			for _, s := range services {
				n.judge(in, src, dst, s, out)
			}
		}
	}
	return out
}

func (n naive) judge(in *intent.Fabric, src, dst netip.Addr, s fabric.Service, out map[diag.Code]bool) {
	promised := false
	for _, a := range in.Access {
		promised = promised || longest(a.From.Prefixes, src) >= 0 && longest(a.To.Prefixes, dst) >= 0 && named(a.Services, s)
	}
	p := n.pair(src, dst, s)
	if promised && !p.both() {
		out["RW3010"] = true
	}
	if !promised && p.arrives() {
		out["RW3011"] = true
	}
	if p.forward.reason == Loop {
		out["RW3012"] = true
	}
	// The way of the answer, filters aside: a packet that some gateway would drop is no less on its way.
	back := n.open().walk(dst, src, s, nil, false)
	arrives := back.reason == ""
	if p.arrives() && arrives && !(naivePair{p.forward, back}).symmetric() {
		out["RW3014"] = true
	}
	if p.arrives() && (p.forward.mtu < p.forward.first || arrives && back.mtu < back.first) {
		out["RW3015"] = true
	}
	for i := range in.Tests {
		t := &in.Tests[i]
		if longest(t.From.Prefixes, src) >= 0 && longest(t.To.Prefixes, dst) >= 0 {
			if there := n.open().walk(src, dst, s, nil, false); there.reason == "" && arrives && !(naivePair{there, back}).symmetric() {
				out["RW3014"] = true
			}
		}
	}
	if there := n.open().walk(src, dst, s, nil, false); there.reason == Loop {
		out["RW3012"] = true
	}
}

// open returns the same plan without filters.
func (n naive) open() naive {
	p := *n.plan
	p.Gateways = nil
	for _, g := range n.plan.Gateways {
		c := *g
		c.Firewall = plan.Firewall{}
		for _, d := range []plan.Direction{plan.In, plan.Out, plan.Transit} {
			everything := []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")}
			c.Firewall.Rules = append(c.Firewall.Rules, plan.Rule{ID: 1, Direction: d, From: everything, To: everything})
		}
		p.Gateways = append(p.Gateways, &c)
	}
	return naive{&p, n.facts}
}

// test judges a test by going through all pairs.
func (n naive) test(in *intent.Fabric, t *intent.Test) (ok, symmetric bool) {
	ok, symmetric = true, true
	services := n.spoken(in)
	for _, src := range n.addresses(in) {
		for _, dst := range n.addresses(in) {
			if !n.meet(src, dst) || longest(t.From.Prefixes, src) < 0 || longest(t.To.Prefixes, dst) < 0 {
				continue
			}
			there, back := n.open().walk(src, dst, fabric.Service{}, nil, false), n.open().walk(dst, src, fabric.Service{}, nil, false)
			ways := naivePair{there, back}
			if ways.both() && !ways.symmetric() {
				symmetric = false
			}
			if t.Expect == intent.Denied {
				ok = ok && !slices.ContainsFunc(services, func(s fabric.Service) bool {
					return (t.Service == nil || t.Service.Contains(s)) && n.pair(src, dst, s).arrives()
				})
				continue
			}
			some, all := false, true
			for _, s := range services {
				if t.Service == nil || t.Service.Contains(s) {
					both := n.pair(src, dst, s).both()
					some, all = some || both, all && both
				}
			}
			ok = ok && some && (t.Service == nil || all) && (!t.Symmetric || ways.symmetric()) && t.MTU <= min(there.mtu, back.mtu)
		}
	}
	for _, sel := range []intent.Selector{t.From, t.To} {
		for _, p := range sel.Prefixes {
			ok = ok && n.owner(p.Addr()) != nil
		}
	}
	return ok, symmetric
}

// TestFailuresAgreeWithFacts holds every failure against a proof of the plan with that gateway down, or that link cut.
func TestFailuresAgreeWithFacts(t *testing.T) {
	for seed := range uint64(40) {
		in, p, facts, _ := randomCase(t, seed+2000)
		before := promises(in, p, facts)
		report := New(p, facts).Check(in)
		for _, f := range Failures(p, facts, in) {
			lost := facts
			words := strings.Fields(f.Lost)
			if words[0] == "gateway" {
				lost.Down = append(slices.Clone(facts.Down), words[1])
			} else {
				lost.Cut = append(slices.Clone(facts.Cut), Link{words[1], words[2]})
			}
			after := promises(in, p, lost)
			want := []string{}
			for pair, held := range before {
				if after[pair] < held {
					want = append(want, pair)
				}
			}
			slices.Sort(want)
			tests := []int{}
			for i, r := range New(p, lost).Check(in).Tests {
				if report.Tests[i].OK && !r.OK {
					tests = append(tests, i+1)
				}
			}
			if diff := cmp.Diff(Failure{f.Lost, want, tests}, f); diff != "" {
				t.Fatalf("seed %d: a proof without it says otherwise (-proof +failures):\n%s", seed+2000, diff)
			}
		}
	}
}

// promises counts, by pairs of places, the pairs of atoms and services that access promises and that pass both ways.
func promises(in *intent.Fabric, p *plan.Fabric, facts Facts) map[string]int {
	n := naive{p, facts}
	out := map[string]int{}
	addresses, services := n.addresses(in), n.spoken(in)
	for _, src := range addresses {
		for _, dst := range addresses {
			if !n.meet(src, dst) {
				continue
			}
			for _, s := range services {
				for _, a := range in.Access {
					if longest(a.From.Prefixes, src) >= 0 && longest(a.To.Prefixes, dst) >= 0 && named(a.Services, s) && n.pair(src, dst, s).both() {
						out[n.owner(src).Name+" → "+n.owner(dst).Name]++
					}
				}
			}
		}
	}
	return out
}

// TestNullsAndNonsense: whatever is in a plan, New and Check find something to say and do not fall over.
func TestNullsAndNonsense(t *testing.T) {
	in, whole, _, _ := randomCase(t, 3)
	in.Tests = nil
	if r := New(whole, Facts{}).Check(in); !r.OK {
		t.Fatal(r.Problems)
	}
	harmless := map[string]bool{"null gateway": true, "null place": true, "null router route": true, "null route": true, "no prefix": true} // of a standby gateway
	spoil := map[string]func(p *plan.Fabric){
		"null gateway":      func(p *plan.Fabric) { p.Gateways = append(p.Gateways, nil) },
		"null place":        func(p *plan.Fabric) { p.Places = append(p.Places, nil) },
		"null peer":         func(p *plan.Fabric) { p.Gateways[0].Devices[0].Peers[0] = nil },
		"null route":        func(p *plan.Fabric) { p.Gateways[0].Routes[0] = nil },
		"null router route": func(p *plan.Fabric) { p.Places[0].Routes = append(p.Places[0].Routes, nil) },
		"no devices":        func(p *plan.Fabric) { p.Gateways[0].Devices = nil },
		"no places":         func(p *plan.Fabric) { p.Places = nil },
		"no gateways":       func(p *plan.Fabric) { p.Gateways = nil },
		"unknown place":     func(p *plan.Fabric) { p.Gateways[0].Place = "nowhere" },
		"no prefix":         func(p *plan.Fabric) { p.Gateways[0].Routes[0].Prefixes = []netip.Prefix{{}} },
		"host bits": func(p *plan.Fabric) {
			p.Gateways[0].Routes[0].Prefixes = []netip.Prefix{netip.MustParsePrefix("10.1.2.3/8")}
		},
		"absurd sizes": func(p *plan.Fabric) {
			p.Gateways[0].Devices[0].MTU, p.Gateways[0].Routes[0].MTU, p.Gateways[0].Devices[0].Peers[0].Underlay = -1, 1<<40, -1<<40
		},
		"gateways of one name": func(p *plan.Fabric) { p.Gateways = append(p.Gateways, p.Gateways[0]) },
		"places of one name":   func(p *plan.Fabric) { p.Places = append(p.Places, p.Places[0]) },
	}
	for name, f := range spoil {
		t.Run(name, func(t *testing.T) {
			p := clone(t, whole)
			f(p)
			m := New(p, Facts{})
			r := m.Check(in)
			if r.OK != harmless[name] {
				t.Errorf("proven: %v, %v", r.OK, r.Problems)
			}
			m.Trace(Packet{Source: netip.MustParseAddr("10.0.0.1"), Destination: netip.MustParseAddr("10.1.0.1")}, true)
			Failures(p, Facts{}, in)
		})
	}
}
