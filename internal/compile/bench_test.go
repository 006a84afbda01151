package compile

import (
	"net/netip"
	"runtime"
	"testing"
	"time"

	"ropeway/bench"
	"ropeway/internal/bigmesh"
	"ropeway/internal/intent"
	"ropeway/internal/plan"
	"ropeway/internal/prefixes"
)

func BenchmarkCompileCold(b *testing.B) {
	compileCold(b, bigmesh.New(1000), 3*time.Second, 2, "routes", func(g *plan.Gateway) (n int) {
		for _, r := range g.Routes {
			n += len(r.Prefixes)
		}
		return n
	})
}

// BenchmarkCompileSpokes makes the plan of a thousand gateways that speak BGP: each end of a link lists all that may come over it, 24 million prefixes of 32 bytes.
func BenchmarkCompileSpokes(b *testing.B) {
	compileCold(b, bigmesh.Spokes(500), 10*time.Second, 3, "allowed", func(g *plan.Gateway) (n int) {
		for _, d := range g.Devices {
			n += len(d.Peers[0].AllowedIPs)
		}
		return n
	})
}

// compileCold makes a plan from nothing, and holds it against the most time and GiB that it may take. It reports how many of something there are at all gateways.
func compileCold(b *testing.B, in *intent.Fabric, most time.Duration, gib uint64, unit string, count func(*plan.Gateway) int) {
	b.Helper()
	var took []time.Duration
	for b.Loop() {
		start := time.Now()
		p, _ := Compile(in, nil)
		took = append(took, time.Since(start))
		n := 0
		for _, g := range p.Gateways {
			n += count(g)
		}
		b.ReportMetric(float64(n), unit)
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		b.ReportMetric(float64(m.HeapAlloc)/1e6, "MB-live")
		b.ReportMetric(float64(m.Sys)/1e6, "MB-sys")
		if m.Sys > gib<<30 {
			bench.Miss(b, "%d MiB from the system, want at most %d GiB", m.Sys>>20, gib)
		}
		runtime.KeepAlive(p)
	}
	bench.Within(b, took, most)
}

// warmUp is how many changes a compiler has seen before it is measured, as one of a controller has: by then the process has its memory from the
// system, page by page, which takes longer than the work where the machine is a virtual one.
const warmUp = 40

// BenchmarkRecompileOnePrefix changes one prefix of one place back and forth: everybody needs it, so every gateway is concerned.
func BenchmarkRecompileOnePrefix(b *testing.B) {
	variants := [2]*intent.Fabric{bigmesh.New(1000), bigmesh.New(1000)}
	moved := netip.MustParsePrefix("10.255.0.0/24")
	changed := variants[1]
	was := changed.Places[500].Prefixes[3]
	changed.Places[500].Prefixes[3] = moved
	for _, s := range []*intent.Selector{&changed.Access[0].From, &changed.Access[0].To} {
		s.Prefixes = prefixes.Union(prefixes.Subtract(s.Prefixes, []netip.Prefix{was}), []netip.Prefix{moved})
	}
	var c Compiler
	last, lock := c.Compile(variants[0], nil)
	i := 0
	for ; i < warmUp; i++ {
		last, _ = c.Compile(variants[i%2], lock)
	}
	var took []time.Duration
	for b.Loop() {
		i++
		start := time.Now()
		next, _ := c.Compile(variants[i%2], lock)
		took = append(took, time.Since(start))
		emitted := 0
		for k := range next.Gateways {
			if next.Gateways[k] != last.Gateways[k] {
				emitted++
			}
		}
		b.ReportMetric(float64(emitted), "gateways-emitted")
		last = next
	}
	bench.Within(b, took, 50*time.Millisecond)
}
