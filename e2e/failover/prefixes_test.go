package failover

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	vns "github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"ropeway/bench"
)

// BenchmarkTenThousandPrefixes gives a region 10,000 prefixes, and takes the time from the moment when one of its gateways is given its plan with them until the kernel of
// every gateway elsewhere has a route to each. Those have their plans before, so that they believe it. The bar is 2 s.
//
// Theirs is what a configuration with a line for each of them, as a prefix list has, takes in vtysh: the first thousand are timed at one gateway, and all are reckoned to take ten times
// that. They take longer: a line takes 18 ms where 400 are there, 50 where 1,000 are and 127 where 2,600 are.
func BenchmarkTenThousandPrefixes(b *testing.B) {
	const n, rounds, sample, most, ratio = 10_000, 3, 1000, 2 * time.Second, 100
	f := up(b, "prefixes", pair(b))
	few, many := f.compile(pair(b)), f.compile(pair(b, "[10.10.0.0/16]", "["+strings.Join(numbered(n), ", ")+"]"))
	last := netip.MustParsePrefix(numbered(n)[n-1]).Addr()
	far := []*kernel{f.kernel("west-a"), f.kernel("west-b")}
	for b.Loop() {
		us, them := bench.Compare(b, rounds, func() (time.Duration, error) {
			f.bringTo(many, "west-a", "west-b")
			begun := time.Now()
			f.bring(only(many, "east-a"))
			f.until("all routes are there", func() bool {
				return far[0].has(last) && far[1].has(last) && far[0].routes() >= n && far[1].routes() >= n
			})
			took := time.Since(begun)
			f.bringTo(few, f.gateways()...)
			f.until("the routes are gone again", func() bool { return far[0].routes() < n/2 && far[1].routes() < n/2 })
			return took, nil
		}, func() (time.Duration, error) { return f.listed(sample) * n / sample, nil })
		b.Logf("theirs is reckoned from %d lines", sample)
		bench.Report(b, us, them, most, ratio)
	}
}

// numbered returns prefixes no two of which are one together: each second /30 from 10.64.0.0 on, and the region's own.
func numbered(n int) []string {
	out := []string{"10.10.0.0/16"}
	for i := range n - 1 {
		out = append(out, netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 64 + byte(i>>13), byte(i >> 5), byte(i << 3)}), 30).String())
	}
	return out
}

// only returns the documents of some gateways.
func only(documents map[string][]byte, names ...string) map[string][]byte {
	out := map[string][]byte{}
	for _, name := range names {
		out[name] = documents[name]
	}
	return out
}

// bringTo brings some gateways their plans, and waits until they follow them.
func (f *rig) bringTo(documents map[string][]byte, names ...string) {
	f.b.Helper()
	f.bring(only(documents, names...))
	f.awaitPlans(names...)
}

// A kernel is that of a gateway.
type kernel struct {
	b       *testing.B
	handle  *netlink.Handle
	devices map[int]bool // of the fabric, by index
}

func (f *rig) kernel(gateway string) *kernel {
	f.b.Helper()
	handle, err := netlink.NewHandleAt(vns.NsHandle(f.space(gateway).FD()), unix.NETLINK_ROUTE)
	if err != nil {
		f.b.Fatal(err)
	}
	f.b.Cleanup(handle.Close)
	links, err := handle.LinkList()
	if err != nil {
		f.b.Fatal(err)
	}
	k := &kernel{f.b, handle, map[int]bool{}}
	for _, l := range links {
		k.devices[l.Attrs().Index] = strings.HasPrefix(l.Attrs().Name, "rw")
	}
	return k
}

// has reports whether a routing daemon put a route to an address there. It costs less than to count all.
func (k *kernel) has(a netip.Addr) bool {
	routes, err := k.handle.RouteGet(a.AsSlice())
	return err == nil && len(routes) == 1 && routes[0].Gw != nil && k.devices[routes[0].LinkIndex]
}

// routes counts those that a routing daemon put there.
func (k *kernel) routes() int {
	k.b.Helper()
	n := 0
	for _, protocol := range []netlink.RouteProtocol{unix.RTPROT_BGP, unix.RTPROT_BIRD} {
		list, err := k.handle.RouteListFiltered(unix.AF_INET, &netlink.Route{Protocol: protocol}, netlink.RT_FILTER_PROTOCOL)
		if err != nil {
			k.b.Fatal(err)
		}
		n += len(list)
	}
	return n
}

// listed times how long vtysh takes for the first lines of a prefix list that nothing uses.
func (f *rig) listed(lines int) time.Duration {
	f.b.Helper()
	var told strings.Builder
	for i, p := range numbered(lines) {
		fmt.Fprintf(&told, "ip prefix-list SAMPLE seq %d permit %s\n", 5*(i+1), p)
	}
	begun := time.Now()
	f.vtysh("east-a", told.String())
	took := time.Since(begun)
	f.vtysh("east-a", "no ip prefix-list SAMPLE\n")
	return took
}
