package route

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"

	"ropeway/internal/nstest"
	"ropeway/internal/plan"
)

// world is a namespace with two devices that routes may leave by, rw0 and rw1, and an interface of somebody else, eth0.
func world(t testing.TB) {
	t.Helper()
	nstest.Enter(t)
	for _, name := range []string{"rw0", "rw1", "eth0"} {
		ip(t, "link add "+name+" type veth peer name x"+name)
		ip(t, "link set x"+name+" up")
		ip(t, "link set "+name+" up")
	}
	ip(t, "addr add 192.0.2.2/24 dev eth0")
	ip(t, "addr add 2001:db8:ffff::2/64 dev eth0 nodad")
}

// ip runs ip(8) in this thread's namespace and returns what it prints.
func ip(t testing.TB, args string) string {
	t.Helper()
	out, err := exec.Command("ip", strings.Fields(args)...).CombinedOutput()
	if err != nil {
		t.Fatalf("ip %s: %v\n%s", args, err, out)
	}
	return string(out)
}

func group(device string, mtu int, prefixes ...string) *plan.Route {
	r := &plan.Route{Device: device, Peer: "peer-" + device, MTU: mtu}
	for _, p := range prefixes {
		r.Prefixes = append(r.Prefixes, netip.MustParsePrefix(p))
	}
	return r
}

func lines(changes []Change) []string {
	out := []string{}
	for _, c := range changes {
		out = append(out, c.String())
	}
	return out
}

func apply(t testing.TB, want ...*plan.Route) []string {
	t.Helper()
	changes, err := New().Apply(context.Background(), want)
	if err != nil {
		t.Fatalf("Apply: %v", err)
	}
	return lines(changes)
}

func TestApply(t *testing.T) {
	world(t)
	a := group("rw0", 1420, "10.1.0.0/16", "10.2.0.0/16", "2001:db8:1::/48")
	b := group("rw1", 1380, "10.3.0.0/16")
	got := apply(t, a, b)
	base := ids([]string{"rw0", "rw1"})
	want := []string{
		fmt.Sprintf("add nexthop %d dev rw1", nexthopID(base["rw1"], 1380, false)),
		fmt.Sprintf("add nexthop %d dev rw0", nexthopID(base["rw0"], 1420, false)),
		fmt.Sprintf("add nexthop %d dev rw0", nexthopID(base["rw0"], 1420, true)),
		"add route 10.1.0.0/16 dev rw0 mtu 1420",
		"add route 10.2.0.0/16 dev rw0 mtu 1420",
		"add route 10.3.0.0/16 dev rw1 mtu 1380",
		"add route 2001:db8:1::/48 dev rw0 mtu 1420",
	}
	slices.Sort(want)
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("changes (-want +got):\n%s", diff)
	}
	if out := ip(t, "route get 10.3.4.5"); !strings.Contains(out, "dev rw1") {
		t.Errorf("the kernel's choice: %s", out)
	}
	if out := ip(t, "-6 route show proto 114"); !strings.Contains(out, "mtu lock 1420") {
		t.Errorf("IPv6 route: %s", out)
	}
	if again := apply(t, a, b); len(again) > 0 {
		t.Errorf("a second Apply changed something: %v", again)
	}

	// the smallest difference
	got = apply(t, group("rw0", 1420, "10.1.0.0/16", "2001:db8:1::/48"), group("rw0", 1400, "10.2.0.0/16"), group("rw1", 1380, "10.4.0.0/16"))
	want = []string{fmt.Sprintf("add nexthop %d dev rw0", nexthopID(base["rw0"], 1400, false)), "replace route 10.2.0.0/16 dev rw0 mtu 1400", "add route 10.4.0.0/16 dev rw1 mtu 1380", "delete route 10.3.0.0/16"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("changes (-want +got):\n%s", diff)
	}
	if _, err := New().Remove(context.Background()); err != nil {
		t.Fatal(err)
	}
	if left := ip(t, "route show proto 114") + ip(t, "-6 route show proto 114") + ip(t, "nexthop"); left != "" {
		t.Errorf("left after Remove: %s", left)
	}
}

// TestDrift damages what is there in every way and wants it back.
func TestDrift(t *testing.T) {
	world(t)
	want := []*plan.Route{group("rw0", 1420, "10.1.0.0/16", "10.2.0.0/16", "2001:db8:1::/48"), group("rw1", 1380, "10.3.0.0/16")}
	apply(t, want...)
	id4, id6 := nexthopID(ids([]string{"rw0"})["rw0"], 1420, false), nexthopID(ids([]string{"rw0"})["rw0"], 1420, true)
	for name, damage := range map[string][]string{
		"a route deleted":         {"route del 10.1.0.0/16"},
		"an IPv6 route deleted":   {"-6 route del 2001:db8:1::/48"},
		"another MTU":             {fmt.Sprintf("route replace 10.1.0.0/16 nhid %d proto 114 mtu 1000", id4)},
		"no lock":                 {fmt.Sprintf("-6 route replace 2001:db8:1::/48 nhid %d proto 114 mtu 1420", id6)},
		"not through the nexthop": {"route replace 10.1.0.0/16 dev eth0 proto 114"},
		"a black hole":            {"route replace blackhole 10.1.0.0/16 proto 114"},
		"a route too many":        {"route add 10.9.0.0/16 dev eth0 proto 114"},
		"another metric":          {"route add 10.1.0.0/16 dev eth0 proto 114 metric 50"},
		"nexthop moved":           {fmt.Sprintf("nexthop replace id %d dev eth0 proto 114", id4)},
		"nexthop deleted":         {fmt.Sprintf("nexthop del id %d", id4)},
		"nexthop too many":        {"nexthop add id 77 dev eth0 proto 114"},
		"device down and up":      {"link set rw0 down", "link set rw0 up"},
		"all gone":                {"nexthop flush proto 114"},
	} {
		for _, d := range damage {
			ip(t, d)
		}
		if changes := apply(t, want...); len(changes) == 0 {
			t.Errorf("%s: not noticed", name)
		}
		have, err := New().Observe(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		if left := Diff(want, have); len(left) > 0 {
			t.Errorf("%s: not as planned: %v", name, lines(left))
		}
	}
}

func TestRoutesOfOthersAreLeftAlone(t *testing.T) {
	world(t)
	ip(t, "route add 10.1.0.0/16 via 192.0.2.1")                          // the same metric as ours
	ip(t, "route add unreachable 10.2.0.0/16 metric 4278198272")          // a fallback
	ip(t, "-6 route add 2001:db8:1::/48 via 2001:db8:ffff::1")            // the same
	ip(t, "-6 route add 2001:db8:2::/48 via 2001:db8:ffff::1 metric 100") // hides ours
	ip(t, "route add 10.200.0.0/16 via 192.0.2.1 proto 113")              // not wanted, not ours
	ip(t, "nexthop add id 99 dev eth0")
	before := ip(t, "route") + ip(t, "-6 route") + ip(t, "nexthop")

	want := []*plan.Route{group("rw0", 1420, "10.1.0.0/16", "10.2.0.0/16", "10.3.0.0/16", "2001:db8:1::/48", "2001:db8:2::/48", "2001:db8:3::/48")}
	changes, err := New().Apply(context.Background(), want)
	var conflicts []string
	for _, e := range flatten(err) {
		var c *Conflict
		if !errors.As(e, &c) {
			t.Errorf("another error: %v", e)
			continue
		}
		conflicts = append(conflicts, c.Prefix.String())
	}
	slices.Sort(conflicts)
	if diff := cmp.Diff([]string{"10.1.0.0/16", "2001:db8:1::/48", "2001:db8:2::/48"}, conflicts); diff != "" {
		t.Errorf("conflicts (-want +got):\n%s", diff)
	}
	if got := lines(changes); len(got) != 5 { // two nexthops, three routes
		t.Errorf("changes: %v", got)
	}
	if out := ip(t, "route get 10.2.0.1"); !strings.Contains(out, "dev rw0") {
		t.Errorf("the fallback took over: %s", out)
	}
	if _, err := New().Remove(context.Background()); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, ip(t, "route")+ip(t, "-6 route")+ip(t, "nexthop")); diff != "" {
		t.Errorf("what others have changed (-before +after):\n%s", diff)
	}
}

// flatten returns the errors that were joined.
func flatten(err error) []error {
	if many, ok := err.(interface{ Unwrap() []error }); ok {
		return many.Unwrap()
	}
	return []error{err}
}

func TestDeviceMissingOrDown(t *testing.T) {
	world(t)
	ip(t, "link set rw1 down")
	many := group("rw9", 1420)
	for i := range 1000 {
		many.Prefixes = append(many.Prefixes, netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), 0}), 24))
	}
	changes, err := New().Apply(context.Background(), []*plan.Route{group("rw0", 1420, "10.200.0.0/16"), group("rw1", 1420, "10.201.0.0/16"), many})
	if got := flatten(err); len(got) != 2 || !strings.Contains(err.Error(), "rw9: there is no such device") || !strings.Contains(err.Error(), "the device is down") {
		t.Errorf("errors: %v", err)
	}
	if len(changes) != 2 {
		t.Errorf("changes: %v", lines(changes))
	}
}

func TestErrorsOfABatchAreCounted(t *testing.T) {
	world(t)
	var prefixes []string
	for i := range 1500 {
		p := fmt.Sprintf("10.%d.%d.0/24", i>>8, i&255)
		prefixes = append(prefixes, p)
		if i%2 == 0 {
			if err := netlink.RouteAdd(&netlink.Route{LinkIndex: link(t, "eth0"), Dst: prefix(t, p)}); err != nil {
				t.Fatal(err)
			}
		}
	}
	changes, err := New().Apply(context.Background(), []*plan.Route{group("rw0", 1420, prefixes...)})
	if got := flatten(err); len(got) != maxErrors+1 || got[maxErrors].Error() != "and 650 more" {
		t.Errorf("%d errors, the last %v", len(got), got[len(got)-1])
	}
	if len(changes) != 1+750 {
		t.Errorf("%d changes", len(changes))
	}
	if n := strings.Count(ip(t, "route show proto 114"), "\n"); n != 750 {
		t.Errorf("%d routes", n)
	}
}

func link(t testing.TB, name string) int {
	l, err := netlink.LinkByName(name)
	if err != nil {
		t.Fatal(err)
	}
	return l.Attrs().Index
}

func TestMove(t *testing.T) {
	world(t)
	want := group("rw0", 1420, "10.1.0.0/16", "2001:db8:1::/48")
	apply(t, want)
	if err := New().Move(context.Background(), "rw0", "rw1"); err != nil {
		t.Fatal(err)
	}
	for _, to := range []string{"10.1.2.3", "2001:db8:1::5"} {
		if out := ip(t, "route get "+to); !strings.Contains(out, "dev rw1") {
			t.Errorf("after the move: %s", out)
		}
	}
	if changes := apply(t, want); len(changes) != 2 || !strings.HasPrefix(changes[0], "replace nexthop") {
		t.Errorf("back: %v", changes)
	}
	for _, to := range []string{"eth0", "rw7", "lo"} {
		if err := New().Move(context.Background(), "rw0", to); err == nil {
			t.Errorf("moved to %s", to)
		}
	}
}

// What the kernel forwards by has the MTU of the packet's own route, whichever route was used before.
func TestEveryRouteHasItsOwnMTU(t *testing.T) {
	world(t)
	ip(t, "addr add 10.9.0.1/24 dev xeth0")
	for _, setting := range []string{"net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding"} {
		if err := os.WriteFile("/proc/sys/"+setting, []byte("1"), 0); err != nil {
			t.Fatal(err)
		}
	}
	apply(t, group("rw0", 1420, "10.1.0.0/16", "2001:db8:1::/48"), group("rw0", 1380, "10.2.0.0/16", "2001:db8:2::/48"))
	for range 2 {
		for to, mtu := range map[string]string{
			"10.1.2.3 from 192.0.2.9 iif eth0": "1420", "10.2.2.3 from 192.0.2.9 iif eth0": "1380", "10.1.2.4": "1420", "10.2.2.4": "1380",
			"2001:db8:1::1 from 2001:db8:ffff::9 iif eth0": "1420", "2001:db8:2::1 from 2001:db8:ffff::9 iif eth0": "1380",
		} {
			if out := ip(t, "route get "+to); !strings.Contains(out, "mtu "+mtu) && !strings.Contains(out, "mtu lock "+mtu) {
				t.Errorf("to %s: want MTU %s, the kernel says %s", to, mtu, out)
			}
		}
	}
}

func TestPlansThatAreRefused(t *testing.T) {
	world(t)
	for name, want := range map[string][]*plan.Route{
		"twice":          {group("rw0", 1420, "10.1.0.0/16"), group("rw1", 1420, "10.1.0.0/16")},
		"foreign device": {group("eth0", 1420, "10.1.0.0/16")},
	} {
		changes, err := New().Apply(context.Background(), want)
		if err == nil || len(changes) > 0 {
			t.Errorf("%s: %v, %v", name, err, changes)
		}
	}
	if out := ip(t, "route show proto 114"); out != "" {
		t.Errorf("routes were made: %s", out)
	}
}

func TestIDsKeepTheirDevices(t *testing.T) {
	one, many := ids([]string{"rw0"}), []string{"rw0"}
	for i := 1; i < 200; i++ {
		many = append(many, fmt.Sprintf("rw%d", i))
	}
	all, seen := ids(many), map[uint32]bool{}
	if all["rw0"] != one["rw0"] {
		t.Error("rw0 got another id because of others")
	}
	for d, id := range all {
		if seen[id] || id&^deviceBits != 0 || id&firstID == 0 {
			t.Errorf("%s: id %#x", d, id)
		}
		seen[id] = true
	}
}

func prefix(t testing.TB, s string) *net.IPNet {
	t.Helper()
	_, n, err := net.ParseCIDR(s)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// What a routing daemon learns is its own: beside a route of ours it is no conflict, being of a greater metric or another length, and it stays when ours go.
func TestLearntRoutesAreTheirDaemons(t *testing.T) {
	world(t)
	ip(t, "route add 10.1.0.0/16 via 192.0.2.1 proto bgp metric 20") // as zebra makes them
	ip(t, "route add 10.1.2.0/24 via 192.0.2.1 proto bgp metric 20")
	ip(t, "route add 10.2.0.0/16 via 192.0.2.1 proto bird metric 32")
	ip(t, "-6 route add 2001:db8:1:2::/64 via 2001:db8:ffff::1 proto bird metric 32")
	before := ip(t, "route") + ip(t, "-6 route")
	want := []*plan.Route{group("rw0", 1420, "10.1.0.0/16", "10.2.0.0/16", "2001:db8:1::/48")}
	apply(t, want...)
	have, err := New().Observe(t.Context())
	if err != nil || len(have.Routes) != 3 {
		t.Errorf("%d routes are taken for ours, want 3: %v", len(have.Routes), err)
	}
	if again := apply(t, want...); len(again) > 0 {
		t.Errorf("a second Apply changed something: %v", again)
	}
	if _, err := New().Remove(t.Context()); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, ip(t, "route")+ip(t, "-6 route")); diff != "" {
		t.Errorf("what daemons learnt has changed (-before +after):\n%s", diff)
	}
}
