package frr

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"ropeway/internal/bgp"
	"ropeway/internal/nstest"
	"ropeway/internal/plan"
	"ropeway/internal/stories"
)

// A speaker is an instance in a network namespace, and what it was given last.
type speaker struct {
	*Daemon
	t    *testing.T
	ns   netns.NsHandle
	want *bgp.Config
}

// newSpeaker makes an instance whose directory is in one that only root may enter. It ends with the test.
func newSpeaker(t *testing.T, ns netns.NsHandle) *speaker {
	t.Helper()
	needVtysh(t)
	parent, err := os.MkdirTemp("", "frr") //nolint:usetesting // a directory of the test's no other user may get to
	if err != nil {
		t.Fatal(err)
	}
	s := &speaker{New(Options{Dir: filepath.Join(parent, "d")}), t, ns, nil}
	t.Cleanup(func() {
		if err := s.Stop(context.WithoutCancel(t.Context())); err != nil {
			t.Errorf("stop: %v", err)
		}
		_ = os.RemoveAll(parent)
	})
	return s
}

// apply makes the instance what is wanted, and returns what it says that it changed. Nothing is left to do then.
func (s *speaker) apply(want *bgp.Config) (changes []string) {
	s.t.Helper()
	s.want = want
	nstest.In(s.t, s.ns, func() {
		var err error
		if changes, err = s.Apply(s.t.Context(), want); err != nil {
			s.t.Fatal(err)
		}
		if left, err := s.Plan(s.t.Context(), want); err != nil || len(left) > 0 {
			s.t.Fatalf("after Apply there is something to do: %q, %v", left, err)
		}
	})
	return changes
}

// kill ends a daemon as a crash does.
func (s *speaker) kill(names ...string) {
	s.t.Helper()
	for _, name := range names {
		pid := s.pid(name)
		if pid == 0 || syscall.Kill(pid, syscall.SIGKILL) != nil {
			s.t.Fatalf("kill %s, process %d", name, pid)
		}
		s.until("it dies", func() bool { return bgp.Ended(pid) })
	}
}

func (s *speaker) until(what string, done func() bool) {
	s.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !done(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			s.t.Fatalf("%s: not yet", what)
		}
	}
}

// neighbor is what the instance knows of its first neighbour.
func (s *speaker) neighbor() bgp.Neighbor {
	s.t.Helper()
	var state *bgp.State
	nstest.In(s.t, s.ns, func() {
		var err error
		if state, err = s.Observe(s.t.Context()); err != nil {
			s.t.Fatal(err)
		}
	})
	if len(state.Neighbors) == 0 {
		return bgp.Neighbor{}
	}
	return state.Neighbors[0]
}

// routes are the prefixes that BGP put into the kernel.
func (s *speaker) routes() (list []string) {
	s.t.Helper()
	nstest.In(s.t, s.ns, func() {
		for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
			routes, err := netlink.RouteListFiltered(family, &netlink.Route{Protocol: unix.RTPROT_BGP}, netlink.RT_FILTER_PROTOCOL)
			if err != nil {
				s.t.Fatal(err)
			}
			for _, r := range routes {
				list = append(list, r.Dst.String())
			}
		}
	})
	return list
}

// running is what a daemon says that its configuration is, for comparing.
func (s *speaker) running(daemon string) string {
	s.t.Helper()
	text, err := s.ask(s.t.Context(), daemon, "show running-config")
	if err != nil {
		s.t.Fatal(err)
	}
	return string(text)
}

// pair is two instances with a session between them.
func pair(t *testing.T) (a, b *speaker) {
	t.Helper()
	here := nstest.Enter(t)
	there := nstest.New(t)
	nstest.Veth(t, here, "10.254.1.0/31", there, "10.254.1.1/31")
	a, b = newSpeaker(t, here), newSpeaker(t, there)
	other := small()
	other.ASN, other.RouterID, other.Own = 65002, netip.MustParseAddr("10.255.0.2"), []netip.Prefix{netip.MustParsePrefix("10.2.0.0/16")}
	n := other.Neighbors[0]
	n.Name, n.Device, n.Address, n.Local, n.ASN = "a", "veth1", n.Local, n.Address, 65001
	b.apply(other)
	began := time.Now()
	a.apply(small())
	a.until("the session is up", func() bool { return a.neighbor().Up })
	took := time.Since(began)
	t.Logf("a session is up %d ms after its daemon began to start", took.Milliseconds())
	a.until("BFD is up", func() bool { return a.neighbor().BFD == "up" && b.neighbor().BFD == "up" })
	a.until("the route is there", func() bool { return slices.Equal(a.routes(), []string{"10.2.0.0/16"}) })
	return a, b
}

// TestChanged leads one instance through the configurations of testdata by what differs, and it has to have the configuration of one that was told it at once.
func TestChanged(t *testing.T) {
	nstest.Enter(t)
	here, err := netns.Get()
	if err != nil {
		t.Fatal(err)
	}
	wants, fresh := map[string]*bgp.Config{}, map[string]string{}
	files, _ := filepath.Glob("testdata/*.txtar")
	for _, file := range files {
		archive, err := txtar.ParseFile(file)
		if err != nil {
			t.Fatal(err)
		}
		name := filepath.Base(file)
		wants[name] = read(t, &stories.Story{Archive: archive})
		s := newSpeaker(t, here)
		s.apply(wants[name])
		fresh[name] = s.running("bgpd")
		if err := s.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	s := newSpeaker(t, here)
	names := slices.Sorted(maps.Keys(wants))
	pid := 0
	for i := range 2 * len(names) {
		name := names[i%len(names)] // each from the one before it
		if i >= len(names) {
			name = names[3*i%len(names)] // and from the third before it
		}
		s.apply(wants[name])
		if pid == 0 {
			pid = s.pid("bgpd")
		}
		if diff := cmp.Diff(sorted(fresh[name]), sorted(s.running("bgpd"))); diff != "" {
			t.Fatalf("changed into %s, bgpd has another configuration than a fresh one (-fresh +changed):\n%s", name, diff)
		}
	}
	if pid != s.pid("bgpd") {
		t.Error("bgpd was started again on the way")
	}
}

// sorted returns lines in order, without remarks: FRR tells them in the order in which it heard of them.
func sorted(text string) []string {
	lines := slices.DeleteFunc(strings.Split(text, "\n"), func(l string) bool { return strings.HasPrefix(l, "!") })
	slices.Sort(lines)
	return lines
}

// TestZebraCrash: when zebra alone dies, the kernel's routes stay until bgpd has learnt them again, and what has changed meanwhile is right in the end.
func TestZebraCrash(t *testing.T) {
	a, b := pair(t)
	a.kill("zebra")
	changes := a.apply(a.want)
	if want := "start zebra, start bfdd again: zebra is another, start bgpd again: zebra is another, configure 1 neighbours and 1 prefixes"; strings.Join(changes, ", ") != want {
		t.Errorf("changes %q", changes)
	}
	a.until("the session is up", func() bool {
		if got := a.routes(); !slices.Equal(got, []string{"10.2.0.0/16"}) {
			t.Fatalf("the kernel has %s", got)
		}
		return a.neighbor().Received == 1
	})
	next := *b.want.BGP
	next.Own = []netip.Prefix{netip.MustParsePrefix("10.3.0.0/16")}
	b.apply(&bgp.Config{BGP: &next})
	a.until("the new route is there", func() bool { return slices.Equal(a.routes(), []string{"10.3.0.0/16"}) })
}

// TestWatcherCrash: when bfdd alone dies, another watches the sessions, and bgpd is left alone. The neighbour sees a BFD session that began again (RFC 5880, 6.8.6), so
// a session may be lost once.
func TestWatcherCrash(t *testing.T) {
	a, b := pair(t)
	pid := a.pid("bgpd")
	a.kill("bfdd")
	if changes := a.apply(a.want); len(changes) != 2 || changes[0] != "start bfdd" {
		t.Errorf("changes %q", changes)
	}
	a.until("BFD is up", func() bool { return a.neighbor().BFD == "up" && b.neighbor().BFD == "up" })
	a.until("the session is up", func() bool { return a.neighbor().Up })
	if a.pid("bgpd") != pid {
		t.Error("bgpd was started again")
	}
}

// TestSpeakerCrash: when bgpd alone dies and other things are wanted meanwhile, it comes back with those.
func TestSpeakerCrash(t *testing.T) {
	a, _ := pair(t)
	a.kill("bgpd")
	next := small()
	next.Own = []netip.Prefix{netip.MustParsePrefix("10.9.0.0/16")}
	if changes := a.apply(next); len(changes) != 2 || changes[0] != "start bgpd" {
		t.Errorf("changes %q", changes)
	}
	a.until("the session is up", func() bool { return a.neighbor().Up })
	if text := a.running("bgpd"); strings.Contains(text, "10.1.0.0/16") || !strings.Contains(text, "10.9.0.0/16") {
		t.Errorf("bgpd has\n%s", text)
	}
}

// TestCut: an agent that ends while it tells the daemons something is followed by one that makes them right, and what stays is untouched.
func TestCut(t *testing.T) {
	a, _ := pair(t)
	began := time.Now()
	uptime := a.neighbor().Since
	next := small()
	other := *next.Neighbors[0]
	other.Name, other.Address = "c", netip.MustParseAddr("10.254.1.9")
	next.Neighbors = append(next.Neighbors, &other)
	next.Own = append(next.Own, netip.MustParsePrefix("10.7.0.0/16"))
	a.apply(next)
	if err := a.remember(render(small()), false); err != nil { // as if it had begun to take back what it has just told
		t.Fatal(err)
	}
	if err := a.tell(t.Context(), "router bgp 65001\n no neighbor 10.254.1.9\nexit\n", false); err != nil { // and got so far
		t.Fatal(err)
	}
	a.apply(small())
	if text := a.running("bgpd"); strings.Contains(text, "10.254.1.9") || strings.Contains(text, "10.7.0.0/16") || !strings.Contains(text, "10.254.1.1") {
		t.Errorf("bgpd has\n%s", text)
	}
	if n := a.neighbor(); !n.Up || n.Flaps > 0 || n.Since < uptime+time.Since(began)-1100*time.Millisecond {
		t.Errorf("the session is %+v: it was not to be touched", n)
	}
}

// TestMends: a daemon that nobody can speak to, or whose history nobody knows, or whose AS number is another, is started again, and others are not.
func TestMends(t *testing.T) {
	a, _ := pair(t)
	for _, c := range []struct {
		what    string
		spoil   func()
		asn     uint32
		changes string
		again   []string
	}{
		{"a socket is gone", func() { _ = os.Remove(a.kept("bfdd.vty")) }, 65001, "start bfdd again: it does not answer", []string{"bfdd"}},
		{"nobody knows", func() { _ = os.Remove(a.toldFile()) }, 65001, "start bgpd again: nobody knows what it was told", []string{"bgpd"}},
		{"nonsense", func() { _ = os.WriteFile(a.toldFile(), []byte("x\ty\n"), 0o600) }, 65001, "start bgpd again: nobody knows what it was told", []string{"bgpd"}},
		{"another AS", func() {}, 65077, "start bgpd again: it has another AS number", []string{"bgpd"}},
		{"a process that is another's", func() { a.kill("bgpd"); _ = os.WriteFile(a.kept("bgpd.pid"), fmt.Append(nil, os.Getpid()), 0o600) }, 65077, "start bgpd", []string{"bgpd"}},
	} {
		was := map[string]int{}
		for _, name := range daemons() {
			was[name] = a.pid(name)
		}
		c.spoil()
		next := small()
		next.ASN = c.asn
		if changes := a.apply(next); len(changes) != 2 || changes[0] != c.changes {
			t.Errorf("%s: changes %q", c.what, changes)
		}
		for _, name := range daemons() {
			if again := a.pid(name) != was[name]; again != slices.Contains(c.again, name) {
				t.Errorf("%s: %s was started again: %v", c.what, name, again)
			}
			if !bgp.Ended(was[name]) && a.pid(name) != was[name] {
				t.Errorf("%s: the old %s runs still", c.what, name)
			}
		}
	}
}

// liar says that routes came from others by leaving its own AS number out, and by longer ways than may be.
const liar = `
router id 10.255.0.2;
protocol device { }
protocol static { ipv4;
	route 10.2.0.0/16 unreachable { bgp_path.prepend(65002); };
	route 10.3.0.0/16 unreachable { bgp_path.prepend(65009); bgp_path.prepend(65008); bgp_path.prepend(65002); };
	route 10.4.0.0/16 unreachable { bgp_path.prepend(65009); bgp_path.prepend(65008); bgp_path.prepend(65007); bgp_path.prepend(65002); };
	route 10.5.0.0/16 unreachable { bgp_path.prepend(65003); };
	route 10.6.0.0/16 unreachable { bgp_path.prepend(65002); bgp_path.prepend(65003); };
	route 10.7.0.0/16 unreachable { bgp_path.prepend(650021); };
}
protocol bgp { local 10.254.1.1 as 65002; neighbor 10.254.1.0 as 65001; rs client; connect delay time 1; ipv4 { import all; export all; next hop self; }; }
`

// TestPaths: of a neighbour only paths that begin with itself and are short enough are believed.
func TestPaths(t *testing.T) {
	if _, err := exec.LookPath("bird"); err != nil {
		t.Skip("needs bird")
	}
	here := nstest.Enter(t)
	there := nstest.New(t)
	nstest.Veth(t, here, "10.254.1.0/31", there, "10.254.1.1/31")
	dir := t.TempDir()
	conf := filepath.Join(dir, "conf")
	if err := os.WriteFile(conf, []byte(liar), 0o600); err != nil {
		t.Fatal(err)
	}
	bird := exec.Command("bird", "-f", "-c", conf, "-s", filepath.Join(dir, "ctl"), "-P", filepath.Join(dir, "pid"))
	nstest.In(t, there, func() {
		if err := bird.Start(); err != nil {
			t.Fatal(err)
		}
	})
	defer func() { _ = bird.Process.Kill(); _ = bird.Wait() }()
	a := newSpeaker(t, here)
	want := small()
	want.Neighbors[0].BFD, want.Neighbors[0].Prefer = nil, []plan.Preference{{Hops: 2, Metric: 22}, {Hops: 1, Metric: 11}, {Hops: 3, Metric: 33}}
	a.apply(want)
	a.until("what may be believed is", func() bool { return len(a.routes()) >= 2 })
	a.until("what was told has been heard", func() bool { return a.neighbor().Received == 2 })
	if got := a.routes(); !slices.Equal(got, []string{"10.2.0.0/16", "10.3.0.0/16"}) {
		t.Errorf("a believes %s", got)
	}
	nstest.In(t, a.ns, func() {
		state, err := a.Observe(t.Context())
		if err != nil || len(state.Routes) != 3 || state.Routes[1].Metric != 11 || state.Routes[2].Metric != 33 {
			t.Errorf("a knows %+v, %v, want one's own, and metrics 11 and 33 by the length of the path", state, err)
		}
	})
	if n := a.neighbor(); !n.Up || n.Flaps > 0 {
		t.Errorf("the session is %+v", n)
	}
}

// TestStopAfterCrash: what a crash left in the kernel is gone after Stop, though nothing ran that could be stopped.
func TestStopAfterCrash(t *testing.T) {
	a, _ := pair(t)
	a.kill("bgpd", "zebra", "bfdd")
	if got := a.routes(); len(got) == 0 {
		t.Fatal("a crash left nothing: there is nothing to see here")
	}
	nstest.In(t, a.ns, func() {
		if err := a.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
	if got := a.routes(); len(got) > 0 {
		t.Errorf("Stop left the routes %s", got)
	}
	if exists(a.dir) {
		t.Error("Stop left its directory")
	}
}

// TestBesideAnother: a zebra that starts beside ours, as Debian's does when its package is upgraded, takes our routes, and ours puts them back.
func TestBesideAnother(t *testing.T) {
	a, _ := pair(t)
	other := newSpeaker(t, a.ns)
	nstest.In(t, a.ns, func() {
		if err := other.makeDirs(); err != nil {
			t.Fatal(err)
		}
		if err := other.launch(t.Context(), "zebra", sweepRoutes); err != nil {
			t.Fatal(err)
		}
	})
	time.Sleep(500 * time.Millisecond) // for it to do what it does
	a.until("the route is back", func() bool { return slices.Equal(a.routes(), []string{"10.2.0.0/16"}) })
	if err := other.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	time.Sleep(500 * time.Millisecond)
	a.until("the route is there still", func() bool { return slices.Equal(a.routes(), []string{"10.2.0.0/16"}) })
}

// TestOwnership: what was told is root's alone, and FRR's user owns its own directory and no other.
func TestOwnership(t *testing.T) {
	a, _ := pair(t)
	uid, _, err := account()
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]struct {
		uid  int
		mode os.FileMode
	}{filepath.Dir(a.dir): {0, 0o711}, a.dir: {0, 0o711}, a.kept(""): {uid, 0o750}, a.toldFile(): {0, 0o600}} {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if owner := int(info.Sys().(*syscall.Stat_t).Uid); owner != want.uid || info.Mode().Perm() != want.mode {
			t.Errorf("%s is of %d, mode %o; want %d, %o", path, owner, info.Mode().Perm(), want.uid, want.mode)
		}
	}
}

// TestLogs: a log that has grown long makes room for another one, which the daemon goes on with.
func TestLogs(t *testing.T) {
	a, b := pair(t)
	log := a.kept("bgpd.log")
	if err := os.Truncate(log, mostLog); err != nil {
		t.Fatal(err)
	}
	if changes := a.apply(a.want); len(changes) > 0 {
		t.Errorf("changes %q", changes)
	}
	b.apply(&bgp.Config{BGP: &plan.BGP{ASN: 65002, RouterID: b.want.RouterID, MaxPaths: 1}}) // a's session is lost, and a says so
	a.until("bgpd writes into another log", func() bool {
		now, err := os.ReadFile(log)
		return err == nil && len(now) < mostLog && strings.Contains(string(now), "10.254.1.1")
	})
	if info, err := os.Stat(log + ".old"); err != nil || info.Size() < mostLog {
		t.Errorf("the old log: %v, %v", info, err)
	}
}

// TestMany: what a large place originates is told in seconds, and one prefix more at once.
func TestMany(t *testing.T) {
	a, b := pair(t)
	many := small()
	many.Own = nil
	for i := range 10_000 {
		many.Own = append(many.Own, netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 64 + byte(i>>14), byte(i >> 6), byte(i << 2)}), 30))
	}
	b.want.Neighbors[0].MaxPrefixes = 20_000
	b.apply(b.want)
	for _, own := range [][]netip.Prefix{many.Own, append(slices.Clone(many.Own), netip.MustParsePrefix("10.1.0.0/16"))} {
		next := *many.BGP
		next.Own = own
		began := time.Now()
		a.apply(&bgp.Config{BGP: &next})
		took := time.Since(began)
		b.until("they are all there", func() bool { return b.neighbor().Received == len(own) })
		t.Logf("%d prefixes: told in %d ms, learnt after %d ms", len(own), took.Milliseconds(), time.Since(began).Milliseconds())
	}
	began := time.Now()
	if n := a.neighbor(); n.Sent != 10_001 || n.Flaps > 0 {
		t.Errorf("neighbour %+v", n)
	}
	t.Logf("observed in %d ms", time.Since(began).Milliseconds())
}
