package verify

import (
	"fmt"
	"net/netip"
	"runtime"
	"syscall"
	"testing"
	"time"

	"ropeway/internal/compile"
	"ropeway/internal/fabric"
	"ropeway/internal/intent"
	"ropeway/internal/plan"
	"ropeway/internal/prefixes"
)

// bigMesh is a mesh of n places with one gateway and ten prefixes each, where everything may talk to everything: with n = 1,000 about
// ten million routes, and as many allowed prefixes.
func bigMesh(n int) *intent.Fabric {
	in := &intent.Fabric{
		Name: "big", Topology: fabric.Mesh,
		Pools: intent.Pools{Links4: netip.MustParsePrefix("100.64.0.0/16")},
	}
	var all []netip.Prefix
	for i := range n {
		p := &intent.Place{Name: fmt.Sprintf("p%04d", i), Kind: fabric.Region, UnderlayMTU: 1500}
		for j := range 10 {
			k := i*10 + j
			bits := 24 + j%5 // lengths differ, as they do in the field
			p.Prefixes = append(p.Prefixes, netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(k >> 8), byte(k), 0}), bits))
		}
		gw := &intent.Gateway{Name: fmt.Sprintf("g%04d", i), Place: p, Port: fabric.DefaultPort}
		gw.Endpoint = fabric.Endpoint{Host: fmt.Sprintf("198.18.%d.%d", i>>8, i&255), Port: fabric.DefaultPort}
		p.Gateways = []*intent.Gateway{gw}
		in.Places = append(in.Places, p)
		all = append(all, p.Prefixes...)
	}
	everything := intent.Selector{Text: "any", Prefixes: prefixes.Normal(all)}
	in.Access = []intent.Access{{From: everything, To: everything}}
	in.Tests = []intent.Test{{From: everything, To: everything, Expect: intent.Reachable, Symmetric: true, MTU: 1400}}
	return in
}

// BenchmarkVerifyCold is New and Check of the plan of a thousand gateways in mesh. The memory is all that the process has taken from the
// system, plan included.
func BenchmarkVerifyCold(b *testing.B) {
	in := bigMesh(1000)
	p, _ := compile.Compile(in, nil)
	runtime.GC()
	b.ReportAllocs()
	before := cpuTime()
	for b.Loop() {
		m := New(p, Facts{})
		r := m.Check(in)
		if !r.OK {
			b.Fatal(r.Problems)
		}
		b.ReportMetric(float64(r.Stats.Rules), "rules")
		b.ReportMetric(float64(r.Stats.Pairs), "pairs")
	}
	b.ReportMetric(float64((cpuTime()-before).Milliseconds())/float64(b.N), "cpu-ms/op")
	var mem runtime.MemStats
	runtime.ReadMemStats(&mem)
	b.ReportMetric(float64(mem.Sys)/(1<<20), "MiB-sys")
}

// cpuTime is what the process has used of the processors: on a busy machine it tells more than the clock.
func cpuTime() time.Duration {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		panic(err)
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// unshared returns a plan in which no two lists are one, as it is after gateways' plans were read from files.
func unshared(p *plan.Fabric) *plan.Fabric {
	out := &plan.Fabric{Name: p.Name, Places: p.Places}
	for _, g := range p.Gateways {
		c := *g
		c.Routes = nil
		for _, r := range g.Routes {
			x := *r
			x.Prefixes = append([]netip.Prefix(nil), r.Prefixes...)
			c.Routes = append(c.Routes, &x)
		}
		c.Devices = append([]plan.Device(nil), g.Devices...)
		for i := range c.Devices {
			d := &c.Devices[i]
			d.Peers = nil
			for _, q := range g.Devices[i].Peers {
				x := *q
				x.AllowedIPs = append([]netip.Prefix(nil), q.AllowedIPs...)
				d.Peers = append(d.Peers, &x)
			}
		}
		out.Gateways = append(out.Gateways, &c)
	}
	return out
}

// BenchmarkVerifyColdUnshared is the same where the gateways' plans share nothing.
func BenchmarkVerifyColdUnshared(b *testing.B) {
	in := bigMesh(1000)
	p, _ := compile.Compile(in, nil)
	p = unshared(p)
	runtime.GC()
	for b.Loop() {
		if r := New(p, Facts{}).Check(in); !r.OK {
			b.Fatal(r.Problems)
		}
	}
}
