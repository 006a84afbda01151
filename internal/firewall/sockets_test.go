package firewall

import (
	"errors"
	"net"
	"runtime"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"ropeway/internal/nstest"
	"ropeway/internal/plan"
)

// A net of three namespaces: a client in the place, the gateway, and a server beyond the fabric. The calling thread is in the
// gateway, whose way to the server is an interface that is called rw0.
type three struct{ client, gateway, server netns.NsHandle }

func newThree(t *testing.T) three {
	t.Helper()
	w := three{gateway: nstest.Enter(t), client: nstest.New(t), server: nstest.New(t)}
	join := func(here, mine, mine6 string, there netns.NsHandle, theirs, theirs6 string) {
		pair := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: here, MTU: 1500}, PeerName: "eth0", PeerNamespace: netlink.NsFd(there)}
		must(t, netlink.LinkAdd(pair))
		var other net.HardwareAddr
		nstest.In(t, there, func() {
			other = raise(t, "eth0", theirs, theirs6)
		})
		own := raise(t, here, mine, mine6)
		neighbour(t, here, theirs6, other)
		nstest.In(t, there, func() {
			neighbour(t, "eth0", mine6, own)
			link, err := netlink.LinkByName("eth0")
			must(t, err)
			for _, route := range [][2]string{{"0.0.0.0/0", mine}, {"::/0", mine6}} {
				_, dst, _ := net.ParseCIDR(route[0])
				via, _, _ := net.ParseCIDR(route[1])
				must(t, netlink.RouteAdd(&netlink.Route{LinkIndex: link.Attrs().Index, Dst: dst, Gw: via}))
			}
		})
	}
	join("eth0", "10.1.0.1/24", "fd01::1/64", w.client, "10.1.0.5/24", "fd01::5/64")
	join("rw0", "10.2.0.1/24", "fd02::1/64", w.server, "10.2.0.5/24", "fd02::5/64")
	for _, key := range []string{"ipv4/ip_forward", "ipv6/conf/all/forwarding"} {
		(&world{tb: t}).sysctl(key, "1")
	}
	return w
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func raise(t *testing.T, name string, cidrs ...string) net.HardwareAddr {
	t.Helper()
	link, err := netlink.LinkByName(name)
	must(t, err)
	must(t, netlink.LinkSetUp(link))
	for _, cidr := range cidrs {
		a, err := netlink.ParseAddr(cidr)
		must(t, err)
		a.Flags = unix.IFA_F_NODAD
		must(t, netlink.AddrAdd(link, a))
		if a.IP.To4() == nil {
			(&world{tb: t}).awaitLocal(a.IP)
		}
	}
	return link.Attrs().HardwareAddr
}

// neighbour spares an interface the discovery that a WireGuard device does not know, and which the firewall does not let in.
func neighbour(t *testing.T, name, cidr string, mac net.HardwareAddr) {
	t.Helper()
	link, err := netlink.LinkByName(name)
	must(t, err)
	ip, _, _ := net.ParseCIDR(cidr)
	must(t, netlink.NeighSet(&netlink.Neigh{LinkIndex: link.Attrs().Index, State: netlink.NUD_PERMANENT, IP: ip, HardwareAddr: mac}))
}

// connect tries to open a TCP connection from one namespace to a server in another, and to hear what it says.
func connect(t *testing.T, from, to netns.NsHandle, address string, patience time.Duration) error {
	t.Helper()
	var listener net.Listener
	nstest.In(t, to, func() {
		var err error
		listener, err = net.Listen("tcp", address)
		must(t, err)
	})
	served := make(chan struct{})
	go func() {
		defer close(served)
		if conn, err := listener.Accept(); err == nil {
			_, _ = conn.Write([]byte("hello"))
			_ = conn.Close()
		}
	}()
	defer func() {
		_ = listener.Close()
		<-served
	}()
	dialled := make(chan error, 1)
	go func() { // on a thread of its own, which is in the namespace for good and ends with the goroutine
		runtime.LockOSThread()
		if err := netns.Set(from); err != nil {
			dialled <- err
			return
		}
		conn, err := net.DialTimeout("tcp", address, patience)
		if err == nil {
			err = conn.SetDeadline(time.Now().Add(patience))
			word := make([]byte, 5)
			if _, e := conn.Read(word); e != nil || string(word) != "hello" {
				err = errors.Join(err, e, errors.New("no word from the server"))
			}
			_ = conn.Close()
		}
		dialled <- err
	}()
	return <-dialled
}

// TestSockets opens real connections through the gateway, there and back.
func TestSockets(t *testing.T) {
	w := newThree(t)
	fw := New()
	defer func() { _ = fw.Close() }()
	_, err := fw.Apply(t.Context(), gateway(both(t, "tcp/443", "tcp/8000-8001"), plan.Rule{
		ID: 2, Direction: plan.In, From: pfx("fd02::/64"), To: pfx("fd01::/64"), Services: svc(t, "tcp/22"),
	}))
	must(t, err)
	for _, tt := range []struct {
		from, to netns.NsHandle
		address  string
		want     bool
	}{
		{w.client, w.server, "10.2.0.5:443", true},
		{w.client, w.server, "[fd02::5]:443", true},
		{w.client, w.server, "[fd02::5]:8001", true},
		{w.client, w.server, "10.2.0.5:444", false},
		{w.client, w.server, "[fd02::5]:8002", false},
		{w.server, w.client, "[fd01::5]:22", true},
		{w.server, w.client, "10.1.0.5:22", false},
		{w.server, w.client, "[fd01::5]:443", false},
		{w.server, w.gateway, "10.2.0.1:443", false},
		{w.server, w.gateway, "10.1.0.1:443", false},
		{w.client, w.gateway, "10.1.0.1:443", true},
	} {
		patience := 400 * time.Millisecond // before the kernel tries again
		if tt.want {
			patience = 20 * time.Second
		}
		if err := connect(t, tt.from, tt.to, tt.address, patience); (err == nil) != tt.want {
			t.Errorf("%s: %v, want success %v", tt.address, err, tt.want)
		}
	}
}
