package route

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ropeway/bench"
	"ropeway/internal/plan"
)

const many = 100_000

// manyPrefixes returns 100,000 different /28 prefixes below 10.0.0.0/8.
func manyPrefixes() []netip.Prefix {
	out := make([]netip.Prefix, many)
	for i := range out {
		out[i] = netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 12), byte(i >> 4), byte(i << 4)}), 28)
	}
	return out
}

func timed(f func() error) func() (time.Duration, error) {
	return func() (time.Duration, error) {
		start := time.Now()
		err := f()
		return time.Since(start), err
	}
}

// after runs clean, untimed, after each timed f.
func after(f func() (time.Duration, error), clean func() error) func() (time.Duration, error) {
	return func() (time.Duration, error) {
		took, err := f()
		if err == nil {
			err = clean()
		}
		return took, err
	}
}

func run(name string, args ...string) error {
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w: %.200s", name, err, out)
	}
	return nil
}

// BenchmarkAdd100kRoutes makes 100,000 routes out of nothing: Apply against one ip -batch, both through a nexthop object and with an MTU.
func BenchmarkAdd100kRoutes(b *testing.B) {
	world(b)
	prefixes := manyPrefixes()
	want := []*plan.Route{{Device: "rw0", Peer: "p", MTU: 1420, Prefixes: prefixes}}
	var text strings.Builder
	text.WriteString("nexthop add id 7 dev rw1 proto 113\n")
	for _, p := range prefixes {
		fmt.Fprintf(&text, "route add %s nhid 7 proto 113 mtu 1420\n", p)
	}
	file := filepath.Join(b.TempDir(), "batch")
	if err := os.WriteFile(file, []byte(text.String()), 0o600); err != nil {
		b.Fatal(err)
	}
	c := New()
	ours := after(timed(func() error {
		changes, err := c.Apply(context.Background(), want)
		if err == nil && len(changes) != many+1 {
			err = fmt.Errorf("%d changes", len(changes))
		}
		return err
	}), func() error { return run("ip", "nexthop", "flush", "proto", "114") })
	theirs := after(timed(func() error { return run("ip", "-batch", file) }), func() error { return run("ip", "nexthop", "flush", "proto", "113") })
	for b.Loop() {
		x, y := bench.Compare(b, 7, ours, theirs)
		b.ReportMetric(many/x.Seconds(), "routes/s")
		bench.Report(b, x, y, 0, 2)
	}
}

// BenchmarkMove100kRoutes moves 100,000 routes to another device: one replaced nexthop object against replacing every route, both ways ours. By default the
// kernel then tells every listener of every route, whether or not there is one (net.ipv4.nexthop_compat_mode); that is the metric compat-ms. The bar is for
// a gateway where this is off.
func BenchmarkMove100kRoutes(b *testing.B) {
	world(b)
	groups := [2][]*plan.Route{}
	for i := range groups {
		groups[i] = []*plan.Route{{Device: fmt.Sprintf("rw%d", i), Peer: "p", MTU: 1420, Prefixes: manyPrefixes()}}
	}
	c := New()
	if _, err := c.Apply(context.Background(), groups[0]); err != nil {
		b.Fatal(err)
	}
	move := after(timed(func() error { return c.Move(context.Background(), "rw0", "rw1") }), func() error {
		return c.Move(context.Background(), "rw0", "rw0")
	})
	replace := after(timed(func() error {
		changes, err := c.Apply(context.Background(), groups[1])
		if err == nil && len(changes) != many+2 {
			err = fmt.Errorf("%d changes", len(changes))
		}
		return err
	}), func() error {
		_, err := c.Apply(context.Background(), groups[0])
		return err
	})
	for b.Loop() {
		compat, _ := bench.Compare(b, 5, move, func() (time.Duration, error) { return 0, nil })
		b.ReportMetric(float64(compat.Microseconds())/1000, "compat-ms")
		if err := run("sh", "-c", "echo 0 > /proc/sys/net/ipv4/nexthop_compat_mode"); err != nil {
			b.Fatal(err)
		}
		x, y := bench.Compare(b, 5, move, replace)
		bench.Report(b, x, y, 0, 20)
	}
}

// BenchmarkUnchanged100kRoutes is what the agent's look for drift costs where there is none.
func BenchmarkUnchanged100kRoutes(b *testing.B) {
	world(b)
	want := []*plan.Route{{Device: "rw0", Peer: "p", MTU: 1420, Prefixes: manyPrefixes()}}
	c := New()
	if _, err := c.Apply(context.Background(), want); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if changes, err := c.Apply(context.Background(), want); err != nil || len(changes) > 0 {
			b.Fatal(len(changes), err)
		}
	}
}
