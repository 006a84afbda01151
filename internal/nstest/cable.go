package nstest

import (
	"testing"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
)

// A Plug is one end of a cable: an interface in a namespace, and its address with the length of its prefix unless that is empty.
type Plug struct {
	NS         netns.NsHandle
	Name, Addr string
}

// Join lays a cable between two namespaces. Both ends are up.
func Join(tb testing.TB, a, b Plug) {
	tb.Helper()
	In(tb, a.NS, func() {
		must(tb, netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: a.Name}, PeerName: "peer0"}))
		other, err := netlink.LinkByName("peer0")
		must(tb, err)
		must(tb, netlink.LinkSetName(other, b.Name))
		must(tb, netlink.LinkSetNsFd(other, int(b.NS)))
		a.ready(tb)
	})
	In(tb, b.NS, func() { b.ready(tb) })
}

// ready gives an end its address and sets it up.
func (p Plug) ready(tb testing.TB) {
	if p.Addr != "" {
		addr, err := netlink.ParseAddr(p.Addr)
		must(tb, err)
		l, err := netlink.LinkByName(p.Name)
		must(tb, err)
		must(tb, netlink.AddrAdd(l, addr))
	}
	Up(tb, p.Name)
}

// Bridge makes a switch in a namespace, with a port for each of the interfaces that are there.
func Bridge(tb testing.TB, ns netns.NsHandle, name string, ports ...string) {
	tb.Helper()
	In(tb, ns, func() {
		must(tb, netlink.LinkAdd(&netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: name}}))
		Up(tb, name)
		bridge, err := netlink.LinkByName(name)
		must(tb, err)
		for _, port := range ports {
			l, err := netlink.LinkByName(port)
			must(tb, err)
			must(tb, netlink.LinkSetMaster(l, bridge))
		}
	})
}

// Up sets an interface of the thread's namespace up.
func Up(tb testing.TB, name string) {
	tb.Helper()
	l, err := netlink.LinkByName(name)
	must(tb, err)
	must(tb, netlink.LinkSetUp(l))
}

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}
