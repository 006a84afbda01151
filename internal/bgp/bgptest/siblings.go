package bgptest

import (
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"time"

	"github.com/vishvananda/netlink"

	"ropeway/internal/nstest"
	"ropeway/internal/plan"
)

// siblings: two gateways of one place, with the place's router between them, see each other come, be drained and go.
func siblings(w *world) {
	a, b := w.gateway("a", 65001, "10.1.0.0/16"), w.gateway("b", 65001, "10.1.0.0/16")
	lan := nstest.New(w.T)
	nstest.In(w.T, lan, func() { command(w, "sysctl", "-qw", "net.ipv4.ip_forward=1") })
	for i, g := range []*gateway{a, b} {
		router := fmt.Sprint("to-", g.name)
		nstest.Join(w.T, nstest.Plug{NS: lan, Name: router}, nstest.Plug{NS: g.ns, Name: "lan"})
		subnet := func(n byte) netip.Prefix { return netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 1, byte(i), n}), 24) }
		nstest.In(w.T, lan, func() { command(w, "ip", "address", "add", subnet(1).String(), "dev", router) })
		g.address("lan", subnet(11))
		g.in(func() {
			route := &netlink.Route{Dst: &net.IPNet{IP: net.IPv4(10, 1, 0, 0), Mask: net.CIDRMask(16, 32)}, Gw: subnet(1).Addr().AsSlice()}
			if err := netlink.RouteAdd(route); err != nil {
				w.Fatal(err)
			}
		})
		other := 1 - byte(i)
		g.want.Table = &plan.Table{Siblings: []plan.Sibling{{
			Name: "other", Address: netip.AddrFrom4([4]byte{10, 1, other, 11}), Local: subnet(11).Addr(), BFD: plan.BFD{Interval: 300, Multiplier: 3},
		}}}
	}
	w.apply(a, b)
	a.sibling("up")
	b.sibling("up")
	if changes := w.apply(a, b); len(changes) > 0 {
		w.Errorf("a second Apply changed %q", changes)
	}

	a.want.Drained = true
	w.apply(a)
	b.sibling("down")
	a.want.Drained = false
	w.apply(a)
	b.sibling("up")

	for _, pid := range a.processes() {
		_ = syscall.Kill(pid, syscall.SIGSTOP)
	}
	took := b.sibling("down")
	w.Logf("a sibling that stands still was missed within %d ms", took.Milliseconds())
	for _, pid := range a.processes() {
		_ = syscall.Kill(pid, syscall.SIGCONT)
	}
	b.sibling("up")

	a.want.Table = nil
	w.apply(a)
	b.sibling("down")
	if s := a.watched(); len(s) > 0 {
		w.Errorf("a watches %v still", s)
	}
}

// sibling waits until a gateway says that of its only sibling: whoever is not up is down.
func (g *gateway) sibling(want string) (took time.Duration) {
	g.w.Helper()
	return g.w.until(func() string {
		states := g.watched()
		for _, s := range states {
			if len(states) == 1 && (s == "up") == (want == "up") {
				return ""
			}
		}
		return fmt.Sprintf("%s sees %v, want its sibling %s", g.name, states, want)
	})
}

func (g *gateway) watched() (states map[netip.Addr]string) {
	g.in(func() {
		var err error
		if states, err = g.daemon.Watched(g.w.Context()); err != nil {
			g.w.Errorf("%s does not say whom it watches: %v", g.name, err)
		}
	})
	return states
}
