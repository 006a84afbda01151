package firewall

import (
	"bytes"
	"errors"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"ropeway/internal/fabric"
	"ropeway/internal/nstest"
	"ropeway/internal/plan"
)

// A wire is a TUN interface of the gateway whose other end the test holds: it says exactly which packet enters, and sees exactly
// which packets leave, whatever their source.
type wire struct {
	name  string
	addr6 net.IP
	fd    int
}

// A world is a gateway in a network namespace of its own: the calling thread is in it.
type world struct {
	tb    testing.TB
	wires map[string]*wire
	fw    *Client
	seen  map[uint32]string // mark → the interface by which the packet left
	sent  map[uint32]packet
	last  map[string][]byte // the last packet that left each interface
	mark  uint32
}

// newWorld makes the gateway with an interface eth0 to its place, rw0 and rw1 of the fabric, and wan0 where everything else goes.
func newWorld(tb testing.TB) *world {
	tb.Helper()
	nstest.Enter(tb)
	w := &world{tb: tb, wires: map[string]*wire{}, fw: New(), seen: map[uint32]string{}, sent: map[uint32]packet{}, last: map[string][]byte{}}
	tb.Cleanup(func() { _ = w.fw.Close() })
	for _, key := range []string{"ipv4/ip_forward", "ipv6/conf/all/forwarding"} {
		w.sysctl(key, "1")
	}
	for _, key := range []string{"ipv4/conf/all/rp_filter", "ipv4/conf/default/rp_filter"} {
		w.sysctl(key, "0")
	}
	w.sysctl("ipv6/conf/default/accept_dad", "0")
	w.sysctl("ipv4/conf/all/send_redirects", "0")
	w.sysctl("ipv4/conf/default/send_redirects", "0")
	for i, name := range []string{"eth0", "rw0", "rw1", "wan0"} {
		w.addWire(name, byte(i+1))
	}
	for i := range w.wires {
		w.awaitLocal(w.wires[i].addr6)
	}
	w.route("eth0", "10.1.0.0/16", "fd01::/48")
	w.route("rw0", "10.2.0.0/16", "fd02::/48")
	w.route("rw1", "10.3.0.0/16", "fd03::/48")
	w.route("wan0", "0.0.0.0/0", "::/0")
	return w
}

func (w *world) sysctl(key, value string) {
	w.tb.Helper()
	if err := os.WriteFile("/proc/sys/net/"+key, []byte(value), 0o644); err != nil {
		w.tb.Fatalf("set %s: %v", key, err)
	}
}

// addWire makes an interface with the addresses 192.0.2.N and 2001:db8::N.
func (w *world) addWire(name string, n byte) {
	w.tb.Helper()
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		w.tb.Skipf("no TUN devices here: %v", err)
	}
	w.tb.Cleanup(func() { _ = unix.Close(fd) })
	request, err := unix.NewIfreq(name)
	if err == nil {
		request.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
		err = unix.IoctlIfreq(fd, unix.TUNSETIFF, request)
	}
	if err != nil {
		w.tb.Fatalf("make the TUN device %s: %v", name, err)
	}
	link, err := netlink.LinkByName(name)
	if err != nil {
		w.tb.Fatal(err)
	}
	for _, cidr := range []string{netip.AddrFrom4([4]byte{192, 0, 2, n}).String() + "/32", "2001:db8::" + string('0'+n) + "/128"} {
		addr, err := netlink.ParseAddr(cidr)
		if err == nil {
			addr.Flags = unix.IFA_F_NODAD // usable at once
			err = netlink.AddrAdd(link, addr)
		}
		if err != nil {
			w.tb.Fatalf("add %s to %s: %v", cidr, name, err)
		}
	}
	if err := netlink.LinkSetUp(link); err != nil {
		w.tb.Fatal(err)
	}
	w.wires[name] = &wire{name, net.ParseIP("2001:db8::" + string('0'+n)), fd}
}

// awaitLocal waits until the kernel, which does it in the background, takes an IPv6 address for its own.
func (w *world) awaitLocal(address net.IP) {
	w.tb.Helper()
	for range 2000 {
		routes, err := netlink.RouteGet(address)
		if err == nil && len(routes) == 1 && routes[0].Type == unix.RTN_LOCAL {
			return
		}
		time.Sleep(time.Millisecond)
	}
	w.tb.Fatalf("%s does not become an address of the gateway", address)
}

func (w *world) route(name string, cidrs ...string) {
	w.tb.Helper()
	link, err := netlink.LinkByName(name)
	if err != nil {
		w.tb.Fatal(err)
	}
	for _, cidr := range cidrs {
		_, dst, _ := net.ParseCIDR(cidr)
		if err := netlink.RouteReplace(&netlink.Route{LinkIndex: link.Attrs().Index, Dst: dst, Scope: netlink.SCOPE_LINK}); err != nil {
			w.tb.Fatalf("route %s to %s: %v", cidr, name, err)
		}
	}
}

// send puts a packet into the gateway by an interface, and returns its mark.
func (w *world) send(from string, p packet) uint32 {
	w.tb.Helper()
	w.mark++
	p.mark = w.mark
	w.sent[p.mark] = p
	w.inject(from, p.bytes())
	return p.mark
}

func (w *world) inject(from string, data []byte) {
	w.tb.Helper()
	for range 1000 {
		_, err := unix.Write(w.wires[from].fd, data)
		if err == nil {
			return
		}
		if !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.ENOBUFS) {
			w.tb.Fatalf("send by %s: %v", from, err)
		}
		time.Sleep(time.Millisecond)
	}
	w.tb.Fatalf("send by %s: no room", from)
}

// collect notes what has left the gateway.
func (w *world) collect() {
	buf := make([]byte, 65536)
	for _, wire := range w.wires {
		for {
			n, err := unix.Read(wire.fd, buf)
			if err != nil {
				break
			}
			if n < 24 || buf[0]>>4 == 6 && n < 44 {
				continue
			}
			if buf[0]>>4 == 6 && buf[24] == 0xff || buf[0]>>4 == 4 && buf[16]>>4 == 0xe {
				continue // multicast: the kernel's own, such as router solicitations, at a time of its own
			}
			data := bytes.Clone(buf[:n])
			w.last[wire.name] = data
			mark := uint32(data[n-4])<<24 | uint32(data[n-3])<<16 | uint32(data[n-2])<<8 | uint32(data[n-1])
			if p, ok := w.sent[mark]; ok && bytes.Contains(data[:min(n, 40)], append(p.src.AsSlice(), p.dst.AsSlice()...)) { // no error that quotes it
				w.seen[mark] = wire.name
			}
		}
	}
}

// settle waits until the gateway has dealt with all that was sent: a packet that belongs to nobody, sent last, has gone through.
func (w *world) settle() {
	w.tb.Helper()
	through := packet{src: netip.MustParseAddr("198.51.100.1"), dst: netip.MustParseAddr("198.51.100.2"), proto: unix.IPPROTO_UDP, sport: 9, dport: 9}
	mark := w.send("eth0", through)
	for range 2000 {
		if w.collect(); w.seen[mark] == "wan0" {
			return
		}
		time.Sleep(time.Millisecond)
	}
	w.tb.Fatal("the gateway forwards nothing")
}

// passes sends a packet and reports by which interface it left; "" means that it did not.
func (w *world) passes(from string, p packet) string {
	w.tb.Helper()
	mark := w.send(from, p)
	w.settle()
	return w.seen[mark]
}

func (w *world) apply(g *plan.Gateway) *Change {
	w.tb.Helper()
	change, err := w.fw.Apply(w.tb.Context(), g)
	if err != nil {
		w.tb.Fatalf("apply: %v", err)
	}
	return change
}

// nftText runs the real nft on a text.
func nftText(tb testing.TB, text []byte, args ...string) {
	tb.Helper()
	cmd := exec.CommandContext(tb.Context(), "nft", append(args, "-f", "-")...)
	cmd.Stdin = bytes.NewReader(text)
	if out, err := cmd.CombinedOutput(); err != nil {
		tb.Fatalf("nft %v: %v\n%s\nof\n%s", args, err, out, text)
	}
}

// nftRun runs nft with one command and returns what it prints.
func nftRun(tb testing.TB, command string) string {
	tb.Helper()
	out, err := exec.CommandContext(tb.Context(), "nft", strings.Fields(command)...).CombinedOutput()
	if err != nil {
		tb.Fatalf("nft %s: %v\n%s", command, err, out)
	}
	return string(out)
}

// list is what nft says that the kernel holds, without the figures of counters.
func list(tb testing.TB) string {
	tb.Helper()
	return nftRun(tb, "-s list table inet ropeway")
}

func pfx(list ...string) (out []netip.Prefix) {
	for _, s := range list {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

func svc(tb testing.TB, list ...string) (out []fabric.Service) {
	tb.Helper()
	for _, text := range list {
		s, err := fabric.ParseService(text)
		if err != nil {
			tb.Fatal(err)
		}
		out = append(out, s)
	}
	return out
}

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

// gateway returns the plan of a gateway with two devices, whose place owns 10.1/16 and fd01::/48.
func gateway(rules ...plan.Rule) *plan.Gateway {
	return &plan.Gateway{
		Name: "use1-a", Place: "use1",
		Devices: []plan.Device{{Name: "rw0", ListenPort: 51820, MTU: 1420}, {Name: "rw1", ListenPort: 51821, MTU: 1420}},
		Firewall: plan.Firewall{
			Own:    pfx("10.1.0.0/16", "fd01::/48"),
			Fabric: pfx("10.1.0.0/16", "10.2.0.0/16", "10.3.0.0/16", "fd01::/48", "fd02::/48", "fd03::/48"),
			Rules:  rules,
		},
	}
}

func mtu(tb testing.TB, name string, size int) {
	tb.Helper()
	link, err := netlink.LinkByName(name)
	if err == nil {
		err = netlink.LinkSetMTU(link, size)
	}
	if err != nil {
		tb.Fatalf("set the MTU of %s: %v", name, err)
	}
}

func slicesSorted(list []string) []string {
	slices.Sort(list)
	return list
}

func setReceiveBuffer(s *socket, size int) error {
	return unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_RCVBUF, size)
}
