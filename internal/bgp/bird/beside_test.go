package bird

import (
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"ropeway/internal/bgp"
	"ropeway/internal/fabric"
	"ropeway/internal/nstest"
	"ropeway/internal/plan"
)

// alone is the configuration of a gateway that has one neighbour, on a veth that nobody answers on.
func alone(t *testing.T) *bgp.Config {
	t.Helper()
	here := nstest.Enter(t)
	there := nstest.New(t)
	nstest.Veth(t, here, "10.254.1.0/31", there, "10.254.1.1/31")
	return &bgp.Config{BGP: &plan.BGP{
		Daemon: fabric.BIRD, ASN: 65001, RouterID: netip.MustParseAddr("10.255.0.1"), Own: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")}, MaxPaths: 4,
		Neighbors: []*plan.Neighbor{{
			Name: "b", Device: "veth0", Address: netip.MustParseAddr("10.254.1.1"), Local: netip.MustParseAddr("10.254.1.0"), ASN: 65002, Tell: plan.TellAll,
			Accept: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, MaxHops: 3, MaxPrefixes: 10, BFD: &plan.BFD{Interval: 300, Multiplier: 3},
		}},
	}}
}

// otherBIRD is what somebody else runs on the machine: it has port 179 and BFD's of another address, and a route in the kernel.
const otherBIRD = `
router id 192.0.2.1;
protocol device { }
protocol bfd { strict bind yes; }
protocol static { ipv4; route 198.51.100.0/24 via "lo"; }
protocol kernel { scan time 1; ipv4 { import none; export all; }; }
protocol bgp { local 127.0.0.1 as 1; strict bind yes; neighbor 127.0.0.2 as 2; bfd; multihop; ipv4 { import all; export all; }; }
`

// Another BIRD on the machine keeps its routes and sockets, and we ours, whichever begins or ends first.
func TestBesideAnother(t *testing.T) {
	want := alone(t)
	other := t.TempDir()
	conf, ctl := filepath.Join(other, "c"), filepath.Join(other, "s")
	if err := os.WriteFile(conf, []byte(otherBIRD), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), "bird", "-c", conf, "-s", ctl, "-P", filepath.Join(other, "p")).CombinedOutput(); err != nil {
		t.Fatalf("start another BIRD: %v: %s", err, out)
	}
	t.Cleanup(func() { _, _ = ask(t.Context(), ctl, "down") })
	defer func() { _, _ = ask(t.Context(), ctl, "down") }()

	d := New(Options{Dir: filepath.Join(t.TempDir(), "bgp")})
	if _, err := d.Apply(t.Context(), want); err != nil {
		t.Fatal(err)
	}
	stopped := false
	defer func() {
		if !stopped {
			_ = d.Stop(t.Context())
		}
	}()
	mine := leave(t, want)              // as if we had learnt it: a scan of ours comes once a minute, and not now
	time.Sleep(2500 * time.Millisecond) // two scans of its, and one of ours at our start
	if got := birdRoutes(t); !slices.Equal(got, []string{mine, "198.51.100.0/24"}) {
		t.Errorf("with both running the kernel has %s, want the other's route and ours", got)
	}
	unleave(t, want)
	log, err := os.ReadFile(d.path(logName))
	if err != nil || strings.Contains(string(log), "<ERR>") || strings.Contains(string(log), "bind") {
		t.Errorf("our log says:\n%s (%v)", log, err)
	}
	if err := d.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	stopped = true
	if got := birdRoutes(t); !slices.Equal(got, []string{"198.51.100.0/24"}) {
		t.Errorf("after we ended the kernel has %s, want the other's route", got)
	}
}

// What a crash left in the kernel is gone after Stop, though nothing ran that could be stopped.
func TestStopAfterCrash(t *testing.T) {
	want := alone(t)
	d := New(Options{Dir: filepath.Join(t.TempDir(), "bgp")})
	if _, err := d.Apply(t.Context(), want); err != nil {
		t.Fatal(err)
	}
	pid, _, err := d.pid()
	if err != nil || pid == 0 {
		t.Fatal(pid, err)
	}
	kill(t, d, pid)
	leave(t, want)
	if err := d.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := birdRoutes(t); len(got) > 0 {
		t.Errorf("Stop left %s", got)
	}
	if _, err := os.Stat(d.opts.Dir); !os.IsNotExist(err) {
		t.Errorf("Stop left its directory: %v", err)
	}
}

// A daemon whose socket somebody took away cannot be told anything, so Apply ends it and starts another; a process that has its number by chance is left alone.
func TestApplyMends(t *testing.T) {
	want := alone(t)
	d := New(Options{Dir: filepath.Join(t.TempDir(), "bgp")})
	defer func() { _ = d.Stop(t.Context()) }()
	if _, err := d.Apply(t.Context(), want); err != nil {
		t.Fatal(err)
	}
	before, _, _ := d.pid()
	if err := os.Remove(d.path(socketName)); err != nil {
		t.Fatal(err)
	}
	if changes, err := d.Apply(t.Context(), want); err != nil || len(changes) != 1 {
		t.Fatalf("changes %q, error %v, want one start", changes, err)
	}
	after, _, _ := d.pid()
	if after == 0 || after == before || d.ours(before) {
		t.Errorf("process %d runs, and before it %d, which is there: %v", after, before, d.ours(before))
	}

	kill(t, d, after)
	if err := os.WriteFile(d.path(pidName), []byte("1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if changes, err := d.Apply(t.Context(), want); err != nil || len(changes) != 1 {
		t.Fatalf("changes %q, error %v, want one start", changes, err)
	}
	if pid, _, _ := d.pid(); pid <= 1 {
		t.Errorf("process %d is taken for ours", pid)
	}
}

// leave puts a route into the kernel as our daemon would, and unleave takes it away.
func leave(t *testing.T, c *bgp.Config) string {
	t.Helper()
	r := left(t, c)
	if err := netlink.RouteAdd(r); err != nil {
		t.Fatal(err)
	}
	return r.Dst.String()
}

func unleave(t *testing.T, c *bgp.Config) {
	t.Helper()
	if err := netlink.RouteDel(left(t, c)); err != nil {
		t.Fatal(err)
	}
}

func left(t *testing.T, c *bgp.Config) *netlink.Route {
	t.Helper()
	link, err := netlink.LinkByName(c.Neighbors[0].Device)
	if err != nil {
		t.Fatal(err)
	}
	to, err := netlink.ParseIPNet("10.9.0.0/16")
	if err != nil {
		t.Fatal(err)
	}
	return &netlink.Route{LinkIndex: link.Attrs().Index, Dst: to, Gw: c.Neighbors[0].Address.AsSlice(), Protocol: unix.RTPROT_BIRD, Priority: metric}
}

func kill(t *testing.T, d *Daemon, pid int) {
	t.Helper()
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(5 * time.Second); d.ours(pid); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it does not die")
		}
	}
}

// birdRoutes lists what any BIRD put into the kernel.
func birdRoutes(t *testing.T) (list []string) {
	t.Helper()
	routes, err := netlink.RouteListFiltered(netlink.FAMILY_ALL, &netlink.Route{Protocol: unix.RTPROT_BIRD}, netlink.RT_FILTER_PROTOCOL)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range routes {
		list = append(list, r.Dst.String())
	}
	return list
}
