package controller_test

import (
	"bufio"
	"encoding/json"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"ropeway/bench"
	"ropeway/internal/nstest"
	"ropeway/internal/route"
)

// BenchmarkChangeInForce: from the moment when a change is accepted to the moment when the kernel of a gateway has it. The controller and two gateways
// are the real programs, each gateway with a device, a firewall and routes of its own, and a session with the other; every change gives the other's
// place one more prefix. The route is what an agent sets last, so it is what the kernel is watched for; that firewall and device have the prefix too is
// looked at afterwards.
func BenchmarkChangeInForce(b *testing.B) {
	const changes, most = 40, 20 * time.Millisecond
	w := newWorld(b)
	w.serve("--log-format", "json")
	w.do("login", server, "--token", w.firstToken())
	w.do("apply", w.shop(pings), "--auto-approve")
	for _, g := range w.gateways {
		if out, err := g.enroll(strings.TrimSpace(w.do("token", "create", "--gateway", g.name()))); err != nil {
			b.Fatalf("enroll: %v\n%s", err, out)
		}
		g.run()
	}
	east, west := w.gateways[0], w.gateways[1]
	eventually(b, time.Minute, "the hosts reach each other", func() bool { return east.reaches(west) })
	routes := watchRoutes(b, east)
	for b.Loop() {
		var took []time.Duration
		for i := range changes {
			prefix := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 2, byte(100 + i), 0}), 24)
			file := strings.Replace(shopText(pings), "10.2.0.0/24", "10.2.0.0/24, "+prefix.String(), 1)
			must(b, os.WriteFile(w.path("shop.yaml"), []byte(file), 0o600))
			w.do("apply", w.path("shop.yaml"), "--auto-approve", "--at-once")
			took = append(took, routes.of(b, prefix).Sub(w.accepted()))
			east.has(prefix)
			eventually(b, time.Minute, "the gateways are settled", func() bool {
				all := w.lines()
				return all["gw1"].Applied == all["gw1"].Epoch && all["gw2"].Applied == all["gw2"].Epoch
			})
		}
		slices.Sort(took)
		b.Logf("the fastest %s, p50 %s, p99 %s", took[0], took[len(took)/2], took[len(took)*99/100])
		b.ReportMetric(0, "ns/op")
		b.ReportMetric(float64(took[len(took)*99/100])/1e6, "p99-ms")
		bench.Within(b, took, most)
	}
}

// A seen are the routes of Ropeway's that a kernel got, with when it told of each.
type seen struct{ told chan appeared }

type appeared struct {
	to netip.Prefix
	at time.Time
}

// watchRoutes has the kernel of a gateway tell of its routes.
func watchRoutes(b *testing.B, g *gateway) *seen {
	b.Helper()
	s := &seen{told: make(chan appeared, 1000)}
	updates, done := make(chan netlink.RouteUpdate, 1000), make(chan struct{})
	must(b, netlink.RouteSubscribeAt(g.ns, updates, done))
	b.Cleanup(func() { close(done) })
	go func() {
		for u := range updates {
			at := time.Now()
			if u.Protocol != route.Protocol || u.Dst == nil {
				continue
			}
			ones, _ := u.Dst.Mask.Size()
			if ip, ok := netip.AddrFromSlice(u.Dst.IP.To4()); ok {
				s.told <- appeared{netip.PrefixFrom(ip, ones), at}
			}
		}
	}()
	return s
}

// of returns when the route to a prefix came.
func (s *seen) of(b *testing.B, prefix netip.Prefix) time.Time {
	b.Helper()
	limit := time.After(time.Minute)
	for {
		select {
		case r := <-s.told:
			if r.to == prefix {
				return r.at
			}
		case <-limit:
			b.Fatalf("no route to %s comes", prefix)
		}
	}
}

// accepted returns when the controller accepted the last change.
func (w *world) accepted() (at time.Time) {
	w.t.Helper()
	f, err := os.Open(w.path("ropewayd.log"))
	must(w.t, err)
	defer func() { _ = f.Close() }()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var line struct {
			Time time.Time
			Msg  string
		}
		if json.Unmarshal(lines.Bytes(), &line) == nil && line.Msg == "a change was accepted" {
			at = line.Time
		}
	}
	return at
}

// has holds the firewall and the device of a gateway against a prefix.
func (g *gateway) has(prefix netip.Prefix) {
	g.w.t.Helper()
	for what, argv := range map[string][]string{
		"firewall": {"nft", "list", "table", "inet", "ropeway"},
		"device":   {"unshare", "-m", "sh", "-c", `mount --bind "$0" /run && exec wg show rw0 allowed-ips`, g.path("run")},
	} {
		var out []byte
		var err error
		nstest.In(g.w.t, g.ns, func() { out, err = exec.Command(argv[0], argv[1:]...).CombinedOutput() })
		if err != nil || !strings.Contains(string(out), prefix.String()) {
			g.w.t.Fatalf("%s has a route to %s, and its %s: %v\n%s", g.name(), prefix, what, err, out)
		}
	}
}
