package compile

import (
	"net/netip"
	"runtime"
	"testing"
	"time"

	"ropeway/bench"
	"ropeway/internal/bigmesh"
	"ropeway/internal/intent"
	"ropeway/internal/prefixes"
)

func BenchmarkCompileCold(b *testing.B) {
	in := bigmesh.New(1000)
	var took []time.Duration
	for b.Loop() {
		start := time.Now()
		p, _ := Compile(in, nil)
		took = append(took, time.Since(start))
		rules := 0
		for _, g := range p.Gateways {
			for _, r := range g.Routes {
				rules += len(r.Prefixes)
			}
		}
		b.ReportMetric(float64(rules), "routes")
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		b.ReportMetric(float64(m.HeapAlloc)/1e6, "MB-live")
		b.ReportMetric(float64(m.Sys)/1e6, "MB-sys")
		if m.Sys > 2<<30 {
			bench.Miss(b, "%d MiB from the system, want at most 2 GiB", m.Sys>>20)
		}
		runtime.KeepAlive(p)
	}
	bench.Within(b, took, 3*time.Second)
}

// BenchmarkCompileSpokes makes the plan of a thousand gateways that speak BGP: each end of a link lists all that may come over it, 24 million prefixes of 32 bytes.
func BenchmarkCompileSpokes(b *testing.B) {
	in := bigmesh.Spokes(500)
	var took []time.Duration
	for b.Loop() {
		start := time.Now()
		p, _ := Compile(in, nil)
		took = append(took, time.Since(start))
		rules := 0
		for _, g := range p.Gateways {
			for _, d := range g.Devices {
				rules += len(d.Peers[0].AllowedIPs)
			}
		}
		b.ReportMetric(float64(rules), "allowed")
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		b.ReportMetric(float64(m.Sys)/1e6, "MB-sys")
		if m.Sys > 3<<30 {
			bench.Miss(b, "%d MiB from the system, want at most 3 GiB", m.Sys>>20)
		}
		runtime.KeepAlive(p)
	}
	bench.Within(b, took, 10*time.Second)
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
