package verify

import (
	"math/rand/v2"
	"net/netip"
	"runtime"
	"runtime/debug"
	"slices"
	"syscall"
	"testing"
	"time"

	"ropeway/internal/bigmesh"
	"ropeway/internal/compile"
	"ropeway/internal/intent"
	"ropeway/internal/plan"
)

// bigMesh is the mesh of n places with a test that ranges over every pair.
func bigMesh(n int) *intent.Fabric {
	in := bigmesh.New(n)
	all := in.Access[0]
	in.Tests = []intent.Test{{From: all.From, To: all.To, Expect: intent.Reachable, Symmetric: true, MTU: 1400}}
	return in
}

// BenchmarkVerifyCold is New and Check of the plan of a thousand gateways in mesh. The memory is what the process holds at that moment, the
// compiler's leavings and the plan included.
func BenchmarkVerifyCold(b *testing.B) {
	in := bigMesh(1000)
	p, _ := compile.Compile(in, nil)
	debug.FreeOSMemory()
	b.ReportAllocs()
	before := cpuTime()
	var took []time.Duration
	var held uint64
	for b.Loop() {
		start := time.Now()
		m := New(p, Facts{})
		r := m.Check(in)
		took = append(took, time.Since(start))
		if !r.OK {
			b.Fatal(r.Problems)
		}
		held = max(held, holding())
		runtime.KeepAlive(m)
		b.ReportMetric(float64(r.Stats.Rules), "rules")
		b.ReportMetric(float64(r.Stats.Pairs), "pairs")
	}
	b.ReportMetric(float64((cpuTime()-before).Milliseconds())/float64(b.N), "cpu-ms/op")
	b.ReportMetric(float64(held>>20), "MiB")
	slices.Sort(took)
	bar(b, "cold verify", took[len(took)/2], 2*time.Second)
	if held > 1<<30 {
		b.Errorf("the process holds %d MiB", held>>20)
	}
}

// bar fails a benchmark that takes longer than the project promises.
func bar(b *testing.B, what string, took, most time.Duration) {
	if took > most {
		b.Errorf("%s took %v, the bar is %v", what, took, most)
	}
}

// holding is the memory that the process has from the system and has not given back.
func holding() uint64 {
	var mem runtime.MemStats
	runtime.ReadMemStats(&mem)
	return mem.Sys - mem.HeapReleased
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

// BenchmarkVerifyOneRule changes one rule at a time in the plan of a thousand gateways: a prefix leaves a route or a peer's AllowedIPs,
// comes back, goes to another peer, or a piece of it does. The figures are of single updates, the first (which prepares) left aside.
func BenchmarkVerifyOneRule(b *testing.B) {
	in := bigMesh(1000)
	p, _ := compile.Compile(in, nil)
	m := New(p, Facts{})
	if r := m.Check(in); !r.OK {
		b.Fatal(r.Problems)
	}
	r := rand.New(rand.NewPCG(1, 2))
	changes := ruleChanges(r, in, 4096)
	update := func(c Change) Effect {
		e, err := m.Update(c)
		if err != nil {
			b.Fatal(c, err)
		}
		return e
	}
	update(changes[0])
	update(back(changes[0]))
	var took []time.Duration
	i := 0
	for b.Loop() {
		c := changes[i/2%len(changes)]
		if i%2 == 1 {
			c = back(c)
		}
		i++
		start := time.Now()
		e := update(c)
		took = append(took, time.Since(start))
		if e.Judged == 0 {
			b.Fatalf("%+v: nothing was judged", c)
		}
	}
	if i%2 == 1 {
		update(back(changes[(i-1)/2%len(changes)]))
	}
	if got := m.Check(in); !got.OK {
		b.Fatal("all changes were taken back, and the proof fails: ", got.Problems)
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Nanoseconds())/1000, "p50-µs")
	b.ReportMetric(float64(took[len(took)*99/100].Nanoseconds())/1000, "p99-µs")
	if len(took) >= 1000 { // fewer are mostly first looks at cold memory
		bar(b, "the median update", took[len(took)/2], 10*time.Microsecond)
		bar(b, "the 99th percentile of updates", took[len(took)*99/100], time.Millisecond)
	}
}

// ruleChanges makes changes that can be taken back.
func ruleChanges(r *rand.Rand, in *intent.Fabric, n int) []Change {
	out := make([]Change, 0, n)
	for len(out) < n {
		a, b, other := pick(r, in.Places), pick(r, in.Places), pick(r, in.Places)
		if a == b || other == a || other == b {
			continue
		}
		c := Change{Gateway: a.Gateways[0].Name, Device: "rw0", Table: pick(r, []Table{RouteTable, AllowedTable}), Prefix: pick(r, b.Prefixes), MTU: 1440}
		switch len(out) % 4 {
		case 0, 1:
			c.From = b.Gateways[0].Name
		case 2:
			c.From, c.To = b.Gateways[0].Name, other.Gateways[0].Name
		case 3:
			c.Prefix, _ = split(c.Prefix)
			c.To = other.Gateways[0].Name
		}
		out = append(out, c)
	}
	return out
}

// back takes a change back.
func back(c Change) Change {
	c.From, c.To = c.To, c.From
	return c
}
