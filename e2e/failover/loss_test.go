package failover

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"ropeway/bench"
	"ropeway/internal/lab"
	"ropeway/internal/lab/drill"
	"ropeway/internal/plan"
)

// A rival is a way to notice that a gateway is gone, with the blackouts that it led to.
type rival struct {
	*rig
	unit      string // of its metrics
	prepare   func() // before each run; nil: there is nothing to prepare
	blackouts []time.Duration
}

// BenchmarkGatewayLoss kills the gateway that carries packets, or lets it stand still, and asks for how long hosts are cut off: with BFD every 100 ms and every 300 ms and
// three packets missed; with none, and BGP's own timers as short as they get; and behind the one gateway of a static tunnel that is killed and started again at once with
// the same key, as plain WireGuard does it, where nobody else can take over. The bar is 400 ms for 99 of 100 blackouts with BFD every 100 ms; it takes a machine without
// other work.
func BenchmarkGatewayLoss(b *testing.B) {
	const rounds, slowRounds, most = 10, 3, 400 * time.Millisecond
	fast := &rival{rig: up(b, "bfd100", pair(b, "interval: 300ms", "interval: 100ms")), unit: "bfd-100ms"}
	usual := &rival{rig: up(b, "bfd300", pair(b)), unit: "bfd-300ms"}
	timers := &rival{rig: up(b, "timers", pair(b), unwatched), unit: "bgp-1s-3s"}
	timers.prepare = timers.hasten
	restart := newRestart(b)
	for b.Loop() {
		var again []time.Duration
		for round := range rounds {
			gateway := []string{"east-a", "west-a"}[round%2]
			for _, kind := range []drill.Kind{drill.GatewayLoss, drill.GatewayFreeze} {
				fast.lose(kind, gateway)
				usual.lose(kind, gateway)
			}
			if round < slowRounds {
				timers.lose(drill.GatewayLoss, gateway)
				again = append(again, restart.blackout())
			}
		}
		b.ReportMetric(0, "ns/op")
		for _, r := range []*rival{fast, usual, timers} {
			report(b, r.unit, r.blackouts)
		}
		report(b, "same-key-restart", again)
		usually := bench.Median(fast.blackouts)
		b.ReportMetric(float64(bench.Median(timers.blackouts))/float64(usually), "ratio-to-bgp")
		b.ReportMetric(float64(bench.Median(again))/float64(usually), "ratio-to-restart")
		if p99 := bench.Percentile(fast.blackouts, 99); p99 > most {
			bench.Miss(b, "99 of 100 blackouts last %s at most, want %s", p99, most)
		}
	}
}

// lose loses a gateway once, and notes the blackouts.
func (r *rival) lose(kind drill.Kind, gateway string) {
	r.b.Helper()
	if r.prepare != nil {
		r.prepare()
	}
	report, err := r.Drill(r.b.Context(), lab.DrillOptions{Kind: kind, Names: []string{gateway}, Runs: 1})
	if err != nil {
		r.b.Fatalf("%s: %v", r.unit, err)
	}
	if !report.OK || report.Recovered == 0 {
		r.b.Fatalf("%s: %s %s: it is not as predicted, or nothing crossed that gateway: %+v", r.unit, kind, gateway, report.Runs)
	}
	for _, result := range report.Runs[0].Results {
		if result.Blackout != nil {
			r.blackouts = append(r.blackouts, time.Duration(*result.Blackout*float64(time.Millisecond)))
		}
	}
}

// report adds the median of blackouts to a benchmark, and how long 99 of 100 are at most.
func report(b *testing.B, unit string, blackouts []time.Duration) {
	b.Helper()
	p50, p99 := bench.Percentile(blackouts, 50), bench.Percentile(blackouts, 99)
	b.ReportMetric(ms(p50), unit+"-p50-ms")
	b.ReportMetric(ms(p99), unit+"-p99-ms")
	b.Logf("%s: %d blackouts, p50 %s, p99 %s, all %v", unit, len(blackouts), p50, p99, blackouts)
}

// unwatched takes BFD from every session, which the fabric file has no word for.
func unwatched(opts *lab.Options) {
	opts.Damage = func(p *plan.Fabric) {
		for _, g := range p.Gateways {
			for _, n := range g.BGP.Neighbors {
				n.BFD = nil
			}
		}
	}
}

// hasten gives every session of every gateway the shortest timers there are, a keepalive every second and three missed, which the fabric file has no word for either. A
// gateway that was lost has forgotten them. The two ends of a session agree on the shorter ones as it begins, so it begins again.
func (f *rig) hasten() {
	f.b.Helper()
	for _, name := range f.gateways() {
		speaker := f.planOf(name).Gateway.BGP
		lines := fmt.Sprintf("router bgp %d\n", speaker.ASN)
		for _, n := range speaker.Neighbors {
			lines += fmt.Sprintf(" neighbor %s timers 1 3\n", n.Address)
		}
		f.vtysh(name, lines+"exit\n")
		f.on(name, "vtysh", "--vty_socket", vtySockets, "-c", "clear bgp *")
	}
	time.Sleep(2 * time.Second) // what an agent tells of its daemon may be a second old
}

// vtySockets is where FRR's sockets are on a gateway of the lab.
const vtySockets = "/run/ropeway/frr/run"

// vtysh tells the daemons of a gateway lines of configuration.
func (f *rig) vtysh(gateway, lines string) {
	f.b.Helper()
	file := filepath.Join(f.b.TempDir(), "lines")
	if err := os.WriteFile(file, []byte(lines), 0o600); err != nil {
		f.b.Fatal(err)
	}
	f.on(gateway, "vtysh", "--vty_socket", vtySockets, "-f", file)
}
