package bgptest

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"ropeway/internal/bgp"
	"ropeway/internal/fabric"
	"ropeway/internal/nstest"
	"ropeway/internal/plan"
)

// A world is gateways and the cables between them.
type world struct {
	*testing.T
	dir   string
	open  func(dir string) bgp.Daemon
	nodes []*gateway
	links int
}

// A gateway is a namespace with a daemon. Gateway number N of a world has the tunnel addresses 10.255.0.N and fd00:255::N.
type gateway struct {
	w      *world
	name   string
	ns     netns.NsHandle
	dir    string
	daemon bgp.Daemon
	want   bgp.Config
}

func newWorld(t *testing.T, open func(dir string) bgp.Daemon) *world {
	t.Helper()
	nstest.Enter(t)
	dir, err := os.MkdirTemp("", "bgp") //nolint:usetesting // a directory of the test's no other user may enter, and its name is long
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return &world{T: t, dir: dir, open: open}
}

// gateway makes a gateway of the place with this AS number that originates prefixes. Its daemon ends with the test.
func (w *world) gateway(name string, asn uint32, own ...string) *gateway {
	w.Helper()
	n := len(w.nodes) + 1
	g := &gateway{w: w, name: name, ns: nstest.New(w.T), dir: filepath.Join(w.dir, name)}
	g.daemon = w.open(g.dir)
	sources := []netip.Addr{netip.AddrFrom4([4]byte{10, 255, 0, byte(n)}), netip.MustParseAddr(fmt.Sprintf("fd00:255::%x", n))}
	g.want.BGP = &plan.BGP{Daemon: fabric.BIRD, ASN: asn, RouterID: sources[0], Sources: sources, Own: prefixes(own...), MaxPaths: 8}
	for _, a := range sources {
		g.address("lo", netip.PrefixFrom(a, a.BitLen()))
	}
	w.nodes = append(w.nodes, g)
	w.Cleanup(func() {
		if w.Failed() {
			g.lastWords()
		}
		g.in(func() {
			if err := g.daemon.Stop(context.WithoutCancel(w.Context())); err != nil {
				w.Errorf("stop %s: %v", name, err)
			}
		})
		for _, pid := range g.processes() {
			w.Errorf("%s left process %d", name, pid)
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	})
	return g
}

// join lays a cable between two gateways, and makes each the other's neighbour in both families: each is told what the other originates and believes it all.
func (w *world) join(a, b *gateway) {
	w.Helper()
	w.links++
	w.cable(a, b)
	four := func(n byte) netip.Addr { return netip.AddrFrom4([4]byte{10, 254, byte(w.links), n}) }
	six := func(n int) netip.Addr { return netip.MustParseAddr(fmt.Sprintf("fd00:254:%x::%x", w.links, n)) }
	for _, ends := range [][2]netip.Addr{{four(0), four(1)}, {six(0), six(1)}} {
		bits := ends[0].BitLen() - 1
		a.address("to-"+b.name, netip.PrefixFrom(ends[0], bits))
		b.address("to-"+a.name, netip.PrefixFrom(ends[1], bits))
		a.neighbor(b, ends[0], ends[1])
		b.neighbor(a, ends[1], ends[0])
	}
}

func (w *world) cable(a, b *gateway) {
	w.Helper()
	nstest.Join(w.T, nstest.Plug{NS: a.ns, Name: "to-" + b.name}, nstest.Plug{NS: b.ns, Name: "to-" + a.name})
}

func (g *gateway) neighbor(other *gateway, here, there netip.Addr) {
	g.want.Neighbors = append(g.want.Neighbors, &plan.Neighbor{
		Name: other.name, Device: "to-" + other.name, Address: there, Local: here, ASN: other.want.ASN,
		Tell: plan.TellOwn, Accept: prefixes("10.0.0.0/8", "fd00::/8"), MaxHops: 5, MaxPrefixes: 100,
	})
}

// address puts an address on an interface, usable at once.
func (g *gateway) address(device string, p netip.Prefix) {
	g.w.Helper()
	g.in(func() {
		link, err := netlink.LinkByName(device)
		if err == nil {
			ipnet := &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
			err = netlink.AddrAdd(link, &netlink.Addr{IPNet: ipnet, Flags: unix.IFA_F_NODAD})
		}
		if err != nil {
			g.w.Fatalf("give %s of %s the address %s: %v", device, g.name, p, err)
		}
	})
}

// with changes what a gateway thinks of a neighbour, in both families. Neighbours are changed in copies, as a daemon may keep what it was given.
func (g *gateway) with(neighbor string, change func(*plan.Neighbor)) {
	next := *g.want.BGP
	next.Neighbors = nil
	for _, n := range g.want.Neighbors {
		changed := *n
		if n.Name == neighbor {
			change(&changed)
		}
		next.Neighbors = append(next.Neighbors, &changed)
	}
	g.want.BGP = &next
}

func (g *gateway) in(f func()) { nstest.In(g.w.T, g.ns, f) }

// apply makes daemons what their gateways want, and returns what the last one changed.
func (w *world) apply(gateways ...*gateway) (changes []string) {
	w.Helper()
	for _, g := range gateways {
		slices.SortFunc(g.want.Neighbors, func(a, b *plan.Neighbor) int {
			return cmp.Or(strings.Compare(a.Name, b.Name), a.Address.Compare(b.Address))
		})
		mine, given := *g.want.BGP, g.want // the daemon may keep what it is given, and we go on changing ours
		given.BGP, mine.Neighbors = &mine, slices.Clone(mine.Neighbors)
		g.in(func() {
			var err error
			if changes, err = g.daemon.Apply(w.Context(), &given); err != nil {
				w.Fatalf("apply to %s: %v", g.name, err)
			}
		})
	}
	return changes
}

// observe asks a daemon.
func (g *gateway) observe() *bgp.State {
	g.w.Helper()
	var state *bgp.State
	g.in(func() {
		var err error
		if state, err = g.daemon.Observe(g.w.Context()); err != nil {
			g.w.Fatalf("observe %s: %v", g.name, err)
		}
	})
	return state
}

// patience is how long daemons may take to agree.
const patience = 20 * time.Second

// until waits until look finds nothing wrong, and returns how long that took.
func (w *world) until(look func() (wrong string)) time.Duration {
	w.Helper()
	began := time.Now()
	for {
		wrong := look()
		if wrong == "" {
			return time.Since(began)
		}
		if time.Since(began) > patience {
			w.Fatalf("still after %s: %s", patience, wrong)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// established waits until all sessions of gateways are up.
func (w *world) established(gateways ...*gateway) {
	w.Helper()
	for _, g := range gateways {
		w.until(func() string {
			state := g.observe()
			if !state.Running || len(state.Neighbors) != len(g.want.Neighbors) {
				return fmt.Sprintf("%s knows of %d neighbours, running: %v", g.name, len(state.Neighbors), state.Running)
			}
			for _, n := range state.Neighbors {
				if !n.Up {
					return fmt.Sprintf("%s: session with %s at %s is %s: %s", g.name, n.Name, n.Address, n.State, n.LastError)
				}
			}
			return ""
		})
	}
}

// sends waits until a gateway's kernel sends what is for a prefix this way: "NEIGHBOR", or several in order with "+" between them, or "" where it has no route. The
// route has to have the gateway's tunnel address as its preferred source.
func (g *gateway) sends(prefix, way string) time.Duration {
	g.w.Helper()
	return g.w.until(func() string {
		if got := g.way(netip.MustParsePrefix(prefix)); got != way {
			return fmt.Sprintf("%s sends %s by %q, want %q", g.name, prefix, got, way)
		}
		return ""
	})
}

// way tells which neighbours the kernel's route to a prefix leads to.
func (g *gateway) way(prefix netip.Prefix) string {
	g.w.Helper()
	var ways []string
	g.in(func() {
		for _, r := range g.kernelRoutes() {
			if r.Dst == nil || r.Dst.String() != prefix.String() {
				continue
			}
			if !slices.ContainsFunc(g.want.Sources, func(a netip.Addr) bool { return net.IP(a.AsSlice()).Equal(r.Src) }) {
				ways = append(ways, fmt.Sprintf("(source %s)", r.Src))
			}
			for _, hop := range r.MultiPath {
				ways = append(ways, device(hop.LinkIndex))
			}
			if len(r.MultiPath) == 0 {
				ways = append(ways, device(r.LinkIndex))
			}
		}
	})
	slices.Sort(ways)
	return strings.Join(ways, "+")
}

// kernelRoutes lists the main tables of the thread's namespace, without what the kernel itself put there.
func (g *gateway) kernelRoutes() (routes []netlink.Route) {
	for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
		list, err := netlink.RouteList(nil, family)
		if err != nil {
			g.w.Fatalf("list the routes of %s: %v", g.name, err)
		}
		for _, r := range list {
			if r.Protocol != unix.RTPROT_KERNEL && r.Protocol != unix.RTPROT_BOOT {
				routes = append(routes, r)
			}
		}
	}
	return routes
}

func device(index int) string {
	link, err := netlink.LinkByIndex(index)
	if err != nil {
		return fmt.Sprintf("(device %d)", index)
	}
	return strings.TrimPrefix(link.Attrs().Name, "to-")
}

// route finds what a daemon knows of a prefix by a neighbour.
func (g *gateway) route(prefix, neighbor string) (bgp.Route, bool) {
	g.w.Helper()
	routes := g.observe().Routes
	i := slices.IndexFunc(routes, func(r bgp.Route) bool { return r.Prefix == netip.MustParsePrefix(prefix) && r.Neighbor == neighbor })
	if i < 0 {
		return bgp.Route{}, false
	}
	return routes[i], true
}

// hears waits until a gateway has learnt these prefixes and no others of a neighbour, and that this stays so for a moment.
func (g *gateway) hears(neighbor string, want ...string) {
	g.w.Helper()
	slices.Sort(want)
	heard := func() string {
		var got []string
		for _, r := range g.observe().Routes {
			if r.Neighbor == neighbor {
				got = append(got, r.Prefix.String())
			}
		}
		if slices.Sort(got); !slices.Equal(got, want) {
			return fmt.Sprintf("%s hears %s of %s, want %s", g.name, got, neighbor, want)
		}
		return ""
	}
	g.w.until(heard)
	time.Sleep(100 * time.Millisecond) // what must not come would have come with the rest or soon after
	if wrong := heard(); wrong != "" {
		g.w.Fatal(wrong)
	}
}

// processes lists the processes in a gateway's namespace; the test is in none.
func (g *gateway) processes() (pids []int) {
	g.w.Helper()
	var want unix.Stat_t
	if err := unix.Fstat(int(g.ns), &want); err != nil {
		g.w.Fatal(err)
	}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		g.w.Fatal(err)
	}
	for _, e := range entries {
		var pid int
		var is unix.Stat_t
		if _, err := fmt.Sscanf(e.Name(), "%d", &pid); err != nil || unix.Stat("/proc/"+e.Name()+"/ns/net", &is) != nil {
			continue // no process, or one that has ended
		}
		if is.Dev == want.Dev && is.Ino == want.Ino && pid != os.Getpid() {
			pids = append(pids, pid)
		}
	}
	return pids
}

// kill ends a gateway's daemon as a crash does, all its processes at once.
func (g *gateway) kill() {
	g.w.Helper()
	pids := g.processes()
	if len(pids) == 0 {
		g.w.Fatalf("%s runs nothing that could be killed", g.name)
	}
	for _, pid := range pids {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			g.w.Fatalf("kill %s: %v", g.name, err)
		}
	}
	g.w.until(func() string {
		if left := g.processes(); len(left) > 0 {
			return fmt.Sprintf("%s still has processes %v", g.name, left)
		}
		return ""
	})
}

// lastWords logs what a daemon knew when a test failed.
func (g *gateway) lastWords() {
	g.in(func() {
		state, err := g.daemon.Observe(context.WithoutCancel(g.w.Context()))
		if err != nil {
			g.w.Logf("observe %s: %v", g.name, err)
			return
		}
		g.w.Logf("%s: running %v", g.name, state.Running)
		for _, n := range state.Neighbors {
			g.w.Logf("%s: neighbor %+v", g.name, n)
		}
		for _, r := range state.Routes {
			g.w.Logf("%s: route %+v", g.name, r)
		}
		for _, r := range g.kernelRoutes() {
			g.w.Logf("%s: kernel %s", g.name, r)
		}
	})
}

func prefixes(texts ...string) (list []netip.Prefix) {
	for _, s := range texts {
		list = append(list, netip.MustParsePrefix(s))
	}
	return list
}
