package verify

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"ropeway/internal/bigmesh"
	"ropeway/internal/compile"
	"ropeway/internal/intent"
	"ropeway/internal/plan"
)

// meshOfSpeakers is a full mesh of n places with two gateways each and ten prefixes, of which a gateway tells its own, and prefers what comes from its counterpart.
func meshOfSpeakers(n int) (*plan.Fabric, *intent.Fabric) {
	f := &speakingFabric{Fabric: &plan.Fabric{Name: "mesh"}}
	in := &intent.Fabric{Name: "mesh"}
	var all []netip.Prefix
	for i := range n {
		var own []netip.Prefix
		for k := range 10 {
			own = append(own, netip.MustParsePrefix(fmt.Sprintf("10.%d.%d.0/24", i, 16*k)))
		}
		f.place(fmt.Sprintf("p%03d", i), own, fmt.Sprintf("g%03d-a", i), fmt.Sprintf("g%03d-b", i))
		in.Places = append(in.Places, &intent.Place{Name: fmt.Sprintf("p%03d", i), Prefixes: own})
		all = append(all, own...)
	}
	for _, p := range f.Places {
		for k, g := range f.Gateways {
			if g.Place == p.Name && k%2 == 0 {
				f.router(g.Name, "core")
				f.router(f.Gateways[k+1].Name, "core")
			}
		}
	}
	for i, a := range f.Gateways {
		for k, b := range f.Gateways[i+1:] {
			if a.Place == b.Place {
				continue
			}
			near, far := f.join(a.Name, b.Name, false)
			rank := []plan.Preference{{Metric: uint32(2*(i%2) + (i+1+k)%2)}}
			for _, x := range []*plan.Neighbor{near, far} {
				x.Tell, x.MaxHops, x.Prefer = plan.TellOwn, 1, rank
				x.Accept = f.Gateway(x.Name).BGP.Own
			}
		}
	}
	for _, g := range f.Gateways {
		open(g)
		g.Firewall.Fabric = all
	}
	everything := intent.Selector{Text: "any", Prefixes: all}
	in.Access = []intent.Access{{From: everything, To: everything}}
	in.Tests = []intent.Test{{From: everything, To: everything, Expect: intent.Reachable, Symmetric: true}}
	return f.sorted(), in
}

// BenchmarkConverge plays BGP between a hundred gateways in full mesh, over 9,800 ends of sessions.
func BenchmarkConverge(b *testing.B) {
	p, _ := meshOfSpeakers(50)
	b.ReportAllocs()
	began := time.Now()
	for b.Loop() {
		if _, _, problems := converged(p, Facts{}); len(problems) > 0 {
			b.Fatal(problems)
		}
	}
	bar(b, "convergence", time.Since(began)/time.Duration(b.N), time.Second)
}

// BenchmarkVerifySpeakers proves the same fabric.
func BenchmarkVerifySpeakers(b *testing.B) {
	p, in := meshOfSpeakers(50)
	b.ReportAllocs()
	began := time.Now()
	for b.Loop() {
		if r := New(p, Facts{}).Check(in); !r.OK {
			b.Fatal(r.Problems)
		}
	}
	bar(b, "a proof with BGP", time.Since(began)/time.Duration(b.N), time.Second)
}

// BenchmarkFailuresSpeakers proves the same fabric, and the loss of every gateway and of each of its 4,900 links.
func BenchmarkFailuresSpeakers(b *testing.B) {
	p, in := meshOfSpeakers(50)
	b.ReportAllocs()
	began := time.Now()
	for b.Loop() {
		for _, f := range Failures(p, Facts{}, in) {
			if len(f.Broken)+len(f.Tests) > 0 {
				b.Fatal(f)
			}
		}
	}
	bar(b, "a proof of every loss with BGP", time.Since(began)/time.Duration(b.N), 3*time.Second)
}

// BenchmarkVerifySpokes proves the plan of a thousand gateways at two hub places, and BenchmarkFailuresSpokes the loss of each and of every link.
func BenchmarkVerifySpokes(b *testing.B) {
	in := bigSpokes()
	p, _ := compile.Compile(in, nil)
	began := time.Now()
	for b.Loop() {
		if r := New(p, Facts{}).Check(in); !r.OK {
			b.Fatal(r.Problems)
		}
	}
	b.ReportMetric(float64(holding()>>20), "MiB")
	bar(b, "a proof of a thousand gateways with BGP", time.Since(began)/time.Duration(b.N), 15*time.Second)
}

func BenchmarkFailuresSpokes(b *testing.B) {
	in := bigSpokes()
	p, _ := compile.Compile(in, nil)
	began := time.Now()
	for b.Loop() {
		if lost := Failures(p, Facts{}, in); len(lost) != 1000+3988 {
			b.Fatal(len(lost))
		}
	}
	b.ReportMetric(float64(holding()>>20), "MiB")
	bar(b, "a proof of every loss of a thousand gateways with BGP", time.Since(began)/time.Duration(b.N), 30*time.Second)
}

func bigSpokes() *intent.Fabric {
	in := bigmesh.Spokes(500)
	all := in.Access[0]
	in.Tests = []intent.Test{{From: all.From, To: all.To, Expect: intent.Reachable, Symmetric: true}}
	return in
}
