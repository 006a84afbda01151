package bgptest

import (
	"bytes"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"

	"ropeway/internal/bgp"
	"ropeway/internal/nstest"
	"ropeway/internal/plan"
)

// A coreRouter is a router of a place that nobody here configured: a BIRD with a configuration by hand. It lies about everything that it can lie about.
type coreRouter struct {
	w   *world
	ns  netns.NsHandle
	dir string
}

const coreConfig = `
router id 10.1.0.2;
protocol device { }
protocol bfd { }
protocol static { ipv4;
	route 10.1.64.0/18 unreachable { bgp_community.add((65100, 1)); bgp_community.add((65535, 666)); bgp_ext_community.add((rt, 65100, 1)); bgp_large_community.add((114, 1, 9)); bgp_large_community.add((114, 2, 1)); bgp_large_community.add((115, 1, 1)); bgp_med = 77; };
	route 10.66.0.0/16 unreachable;
	route 10.1.192.0/18 unreachable { bgp_path.prepend(65200); };
	# more
}
protocol bgp toward {
	local 10.1.0.2 as 65100;
	neighbor 10.1.0.1 as 65001;
	direct;
	bfd;
	connect delay time 1; connect retry time 1; error wait time 1,2;
	ipv4 { import all; export all; };
}
`

// coreRouter makes the router, which announces some more routes, and puts it on a gateway's LAN, as 10.1.0.2 beside 10.1.0.1, and the gateway makes it its neighbour.
func (w *world) coreRouter(g *gateway, bits int, more ...string) *coreRouter {
	w.Helper()
	needs(w.T, "bird")
	needs(w.T, "birdc")
	r := &coreRouter{w, nstest.New(w.T), filepath.Join(w.dir, "core")}
	nstest.Join(w.T, nstest.Plug{NS: g.ns, Name: "lan"}, nstest.Plug{NS: r.ns, Name: "place", Addr: "10.1.0.2/24"})
	g.address("lan", netip.PrefixFrom(netip.MustParseAddr("10.1.0.1"), bits))
	if err := os.Mkdir(r.dir, 0o700); err != nil {
		w.Fatal(err)
	}
	if err := os.WriteFile(r.path("conf"), []byte(strings.Replace(coreConfig, "# more", strings.Join(more, "\n\t"), 1)), 0o600); err != nil {
		w.Fatal(err)
	}
	nstest.In(w.T, r.ns, func() { command(w, "bird", "-c", r.path("conf"), "-s", r.path("ctl"), "-P", r.path("pid")) })
	w.Cleanup(func() { r.ask("down") })
	g.want.Neighbors = append(g.want.Neighbors, &plan.Neighbor{
		Name: "core", Address: netip.MustParseAddr("10.1.0.2"), ASN: 65100, Tell: plan.TellLearnt, Spoke: true,
		Accept: prefixes("10.1.0.0/16"), MaxHops: 1, MaxPrefixes: 10,
	})
	return r
}

func (r *coreRouter) path(name string) string { return filepath.Join(r.dir, name) }

// ask has birdc, which knows nothing of us, ask the router.
func (r *coreRouter) ask(words ...string) string {
	out, err := exec.Command("birdc", append([]string{"-s", r.path("ctl")}, words...)...).CombinedOutput()
	if err != nil {
		r.w.Errorf("ask the router: %v: %s", err, out)
	}
	return string(out)
}

var (
	announced = regexp.MustCompile(`(?m)^(\S+)\s+unicast \[toward `)
	med       = regexp.MustCompile(`BGP\.med: (\d+)`)
)

// hears waits until the router was told place 2's prefix alone, with this metric.
func (r *coreRouter) hears(metric int) {
	r.w.Helper()
	r.w.until(func() string {
		out := r.ask("show", "route", "all", "protocol", "toward")
		told, m := announced.FindAllStringSubmatch(out, -1), med.FindStringSubmatch(out)
		if len(told) != 1 || told[0][1] != "10.2.0.0/16" || m == nil || m[1] != fmt.Sprint(metric) {
			return fmt.Sprintf("the router was told %s, want %s with metric %d", strings.TrimSpace(out), "10.2.0.0/16", metric)
		}
		return ""
	})
}

// router: a router of the place tells its gateway prefixes of the place, which is all that is believed of it and is passed on as the place's, and is told what
// was learnt, with what it costs from there.
func router(w *world) {
	a, b := w.pair()
	core := w.coreRouter(a, 24)
	a.with("b", func(n *plan.Neighbor) { n.Tell, n.Prefer = plan.TellSpokes, []plan.Preference{{Metric: 40}} })
	a.with("core", func(n *plan.Neighbor) { n.BFD = &plan.BFD{Interval: 300, Multiplier: 3} })
	w.apply(a, b)
	w.established(a, b)
	a.hears("core", "10.1.64.0/18")
	w.until(func() string {
		for _, n := range a.observe().Neighbors {
			if want := map[string]string{"core": "up"}[n.Name]; n.BFD != want {
				return fmt.Sprintf("BFD with %s is %q, want %q", n.Name, n.BFD, want)
			}
		}
		return ""
	})
	a.sends("10.1.64.0/18", "lan")
	got, _ := a.route("10.1.64.0/18", "core")
	if len(got.Path) > 0 || len(got.Tags) > 0 || len(got.Communities) > 0 || got.LocalPreference != 100 || got.Metric != 0 || !got.Best || got.NextHop != netip.MustParseAddr("10.1.0.2") {
		w.Errorf("of the router's prefix a knows %+v: want no path, no tags, no communities, local preference 100 and no metric", got)
	}
	b.hears("a", "10.1.0.0/16", "10.1.64.0/18", "fd00:1::/32")
	if got, _ = b.route("10.1.64.0/18", "a"); fmt.Sprint(got.Path) != "[65001]" || len(got.Tags) > 0 {
		w.Errorf("b was told of the router's prefix %+v, want it to look as if a's place had originated it", got)
	}
	core.hears(40)
	a.want.Drained = true
	w.apply(a)
	core.hears(40 + plan.DrainMetric)
	a.want.Drained = false
	w.apply(a)
	core.hears(40)

	// What a router's prefixes are worth goes by the path as it told it.
	a.with("core", func(n *plan.Neighbor) { n.Prefer = []plan.Preference{{Hops: 1, Metric: 3}, {Metric: 9}}; n.MaxHops = 2 })
	w.apply(a)
	a.hears("core", "10.1.192.0/18", "10.1.64.0/18")
	w.until(func() string {
		near, _ := a.route("10.1.64.0/18", "core")
		far, _ := a.route("10.1.192.0/18", "core")
		if near.Metric != 3 || far.Metric != 9 || fmt.Sprint(far.Path) != "[65200]" {
			return fmt.Sprintf("the router's prefixes are %+v and %+v, want metric 3, and 9 with path 65200", near, far)
		}
		return ""
	})
	a.with("b", func(n *plan.Neighbor) { n.Tell = plan.TellOwn })
	w.apply(a)
	b.hears("a", "10.1.0.0/16", "10.1.192.0/18", "10.1.64.0/18", "fd00:1::/32") // what the router told is the place's own
	w.established(a, b)
}

// routerOnLink: in some clouds a machine's LAN is one address, and a route to its gateway that says that it is on the link. A router there has no prefix in common
// with us, and its session comes up all the same.
func routerOnLink(w *world) {
	a, b := w.pair()
	core := w.coreRouter(a, 32)
	a.in(func() {
		link, err := netlink.LinkByName("lan")
		if err == nil {
			to, _ := netlink.ParseIPNet("10.1.0.2/32")
			err = netlink.RouteAdd(&netlink.Route{LinkIndex: link.Attrs().Index, Dst: to, Scope: netlink.SCOPE_LINK, Protocol: 3})
		}
		if err != nil {
			w.Fatal(err)
		}
	})
	w.apply(a, b)
	w.established(a, b)
	a.sends("10.1.64.0/18", "lan")
	core.hears(0)
}

// routerMisses: a router that watches its gateway by BGP's own timers alone misses a gateway that is dead once their time is over, and keeps no route of it any longer.
func routerMisses(w *world) {
	needs(w.T, "nft")
	a, b := w.pair()
	core := w.coreRouter(a, 24)
	w.apply(a, b)
	w.established(a, b)
	core.hears(0)
	a.run("nft", "add table inet cut; add chain inet cut in { type filter hook input priority 0; iifname lan drop; }; add chain inet cut out { type filter hook output priority 0; oifname lan drop; }")
	took := w.until(func() string {
		if out := core.ask("show", "route", "all", "protocol", "toward"); announced.MatchString(out) {
			return "the router keeps the routes of a dead gateway: " + strings.TrimSpace(out)
		}
		return ""
	})
	w.Logf("a router without BFD missed its gateway after %d ms", took.Milliseconds())
	if took > (bgp.Hold+2)*time.Second {
		w.Errorf("that is %s, want %d s and a little", took, bgp.Hold)
	}
}

// command runs a program in the thread's namespace. Whatever it starts in the background holds nothing of ours open.
func command(w *world, program string, args ...string) {
	w.Helper()
	var said bytes.Buffer
	cmd := exec.Command(program, args...)
	cmd.Stderr = &said
	if err := cmd.Run(); err != nil {
		w.Fatalf("%s %s: %v: %s", program, strings.Join(args, " "), err, said.String())
	}
}
