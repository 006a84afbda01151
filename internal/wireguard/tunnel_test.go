package wireguard

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"ropeway/bench"
	"ropeway/internal/nstest"
	"ropeway/internal/plan"
)

// inItsDirectory is a command that runs a program on the control sockets of an end: programs that look into /run/wireguard only see the end's directory
// there.
func (e *end) inItsDirectory(program string, args ...string) []string {
	return append([]string{
		"unshare", "-m", "sh", "-c", `mkdir -p "$0" /run/wireguard && mount --bind "$0" /run/wireguard && exec "$@"`, e.opts.SocketDir, program,
	}, args...)
}

// build compiles a program of this module, or of one that it needs.
func build(tb testing.TB, pkg string) string {
	tb.Helper()
	path := filepath.Join(tb.TempDir(), "program")
	if out, err := exec.Command("go", "build", "-o", path, pkg).CombinedOutput(); err != nil {
		tb.Fatalf("build %s: %v\n%s", pkg, err, out)
	}
	return path
}

// programs makes both ends of a pair run a program as the process of their device.
func programs(ends [2]*end, program string, args ...string) {
	for _, e := range ends {
		e.opts.Command = e.inItsDirectory(program, args...)
		e.client = New(e.opts)
	}
}

// TestStockDevice drives a wireguard-go that does not know our own operations.
func TestStockDevice(t *testing.T) {
	userspaceOnly(t)
	a, b := pair(t)
	programs([2]*end{a, b}, build(t, "github.com/tailscale/wireguard-go"), "-f")
	a.apply()
	b.apply()
	a.route("100.64.0.2/32")
	b.route("100.64.0.1/32")
	b.listen(tunnelAddr(2))
	if _, ok := reaches(a.dial(tunnelAddr(2)), 5*time.Second); !ok {
		t.Error("no packet came back")
	}
	changed := *a.device.Peers[0]
	changed.AllowedIPs = append(slices.Clone(changed.AllowedIPs), netip.MustParsePrefix("10.0.0.0/8"))
	a.device.Peers = []*plan.Peer{&changed}
	if got := lines(a.apply()); got != "rw0: update peer b +10.0.0.0/8" {
		t.Errorf("changes: %s", got)
	}
	a.kill()
	a.apply()
}

// A tunnel is two ends and iperf3 between them.
type tunnel struct {
	tb   testing.TB
	ends [2]*end
}

func newTunnel(tb testing.TB, program string, args ...string) *tunnel {
	tb.Helper()
	a, b := pair(tb)
	programs([2]*end{a, b}, program, args...)
	for _, e := range []*end{a, b} {
		e.apply()
	}
	a.route("100.64.0.2/32")
	b.route("100.64.0.1/32")
	b.listen(tunnelAddr(2))
	if _, ok := reaches(a.dial(tunnelAddr(2)), 5*time.Second); !ok {
		tb.Fatal("no packet came back")
	}
	return &tunnel{tb, [2]*end{a, b}}
}

// transfer sends for some seconds over one TCP connection and returns bits per second.
func (t *tunnel) transfer(seconds int) (float64, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Duration(seconds+20)*time.Second)
	defer cancel()
	to := tunnelAddr(2).String()
	server := exec.CommandContext(ctx, "iperf3", "-s", "-1", "-B", to)
	var err error
	nstest.In(t.tb, t.ends[1].ns, func() { err = server.Start() })
	if err != nil {
		return 0, err
	}
	defer func() { cancel(); _ = server.Wait() }()
	var report struct {
		Error string `json:"error"`
		End   struct {
			SumReceived struct {
				BitsPerSecond float64 `json:"bits_per_second"`
			} `json:"sum_received"`
		} `json:"end"`
	}
	for range 40 { // until the server listens
		client := exec.CommandContext(ctx, "iperf3", "-c", to, "-t", strconv.Itoa(seconds), "-J")
		var out []byte
		nstest.In(t.tb, t.ends[0].ns, func() { out, err = client.Output() })
		report.Error = ""
		if err = errors.Join(err, json.Unmarshal(out, &report)); err == nil && report.Error == "" {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	if err != nil || report.Error != "" {
		return 0, fmt.Errorf("iperf3: %s: %w", report.Error, err)
	}
	return report.End.SumReceived.BitsPerSecond, nil
}

// peak returns the most memory that a process of the tunnel has had resident, in bytes.
func (t *tunnel) peak() float64 {
	most := 0.0
	for _, e := range t.ends {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", e.pid()))
		if err != nil {
			t.tb.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			var kb float64
			if n, _ := fmt.Sscanf(line, "VmHWM: %f kB", &kb); n == 1 {
				most = max(most, kb*1024)
			}
		}
	}
	return most
}

// BenchmarkTunnel sends TCP through a tunnel of two userspace devices on this machine: ropeway-gateway's against those of the upstream
// wireguard-go (tools/upstream-wireguard). The bars are 1.6 times the throughput at a tenth of the peak memory.
func BenchmarkTunnel(b *testing.B) {
	if _, err := exec.LookPath("iperf3"); err != nil {
		b.Skip("iperf3 is not installed")
	}
	upstream, err := exec.Command("../../tools/build", "upstream-wireguard").Output()
	if err != nil {
		b.Fatalf("build the upstream wireguard-go: %v", err)
	}
	ours := newTunnel(b, build(b, "ropeway/cmd/ropeway-gateway"), "devices")
	theirs := newTunnel(b, strings.TrimSpace(string(upstream)), "-f")
	const rounds, seconds = 15, 1
	for b.Loop() {
		var x, y, ratio [rounds]float64
		for i := range rounds {
			if x[i], err = ours.transfer(seconds); err == nil {
				y[i], err = theirs.transfer(seconds)
			}
			if err != nil {
				b.Fatal(err)
			}
			ratio[i] = x[i] / y[i] // of neighbours in time, as the machine may have other work
		}
		b.ReportMetric(0, "ns/op")
		b.Logf("Gbit/s: ours %.2g, theirs %.2g, ratios %.3g", x, y, ratio)
		b.ReportMetric(middle(x[:])/1e9, "ours-Gbit/s")
		b.ReportMetric(middle(y[:])/1e9, "theirs-Gbit/s")
		b.ReportMetric(middle(ratio[:]), "ratio")
		if r := middle(ratio[:]); r < 1.6 {
			bench.Miss(b, "%.2f times the throughput, want 1.6", r)
		}
		m, n := ours.peak(), theirs.peak()
		b.ReportMetric(m/1e6, "ours-MB")
		b.ReportMetric(n/1e6, "theirs-MB")
		b.ReportMetric(n/m, "memory-ratio")
		if n/m < 10 {
			bench.Miss(b, "%.1f times less memory, want 10", n/m)
		}
	}
}

func middle(list []float64) float64 {
	slices.Sort(list)
	return list[len(list)/2]
}
