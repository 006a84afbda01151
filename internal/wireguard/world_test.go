package wireguard

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"

	"ropeway/internal/fabric"
	"ropeway/internal/key"
	"ropeway/internal/nstest"
	"ropeway/internal/plan"
)

// TestMain lets the test binary be the process of a device, "device SOCKETDIR NAME", and one side of a benchmark, "turns DIR".
func TestMain(m *testing.M) {
	if len(os.Args) == 4 && os.Args[1] == "device" {
		if err := RunDevices(context.Background(), os.Args[3], RunOptions{SocketDir: os.Args[2]}); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	if len(os.Args) == 3 && os.Args[1] == "turns" {
		if err := takeTurns(os.Args[2]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// An end is one gateway of a test: a namespace, a client and the plan of its device.
type end struct {
	t       testing.TB
	ns      netns.NsHandle
	client  *Client
	opts    Options
	private key.Private
	device  plan.Device
	pause   time.Duration // between two passes of its agent, where that is not a second
}

// tested is the backend that the tests are about: Userspace, or Kernel where ROPEWAY_TEST_BACKEND says so and the kernel has it.
func tested() Backend {
	if b := Backend(os.Getenv("ROPEWAY_TEST_BACKEND")); b != "" {
		return b
	}
	return Userspace
}

// userspaceOnly skips a test that is about the process of a device.
func userspaceOnly(t testing.TB) {
	t.Helper()
	if tested() != Userspace {
		t.Skip("about the process of a userspace device")
	}
}

// newEnd makes a gateway with the tunnel address 100.64.0.N/32 and the device rw0, which nothing has applied yet.
func newEnd(t testing.TB, ns netns.NsHandle, n int) *end {
	t.Helper()
	dir := t.TempDir()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	private, err := key.NewPrivate()
	if err != nil {
		t.Fatal(err)
	}
	e := &end{t: t, ns: ns, private: private}
	sockets := filepath.Join(dir, "s")
	e.opts = Options{SocketDir: sockets, LogDir: filepath.Join(dir, "log"), Command: []string{self, "device", sockets}, Backend: tested()}
	e.client = New(e.opts)
	e.device = plan.Device{
		Name: "rw0", ListenPort: 51820, MTU: 1420,
		Addresses: []netip.Prefix{netip.PrefixFrom(tunnelAddr(n), 32)},
	}
	t.Cleanup(func() {
		nstest.In(t, ns, func() {
			if _, err := e.client.Remove(context.Background()); err != nil {
				t.Errorf("remove what the test made: %v", err)
			}
		})
		if t.Failed() {
			log, _ := os.ReadFile(filepath.Join(dir, "log", "devices.log"))
			t.Logf("log of the device %d:\n%s", n, log)
		}
	})
	return e
}

func tunnelAddr(n int) netip.Addr { return netip.AddrFrom4([4]byte{100, 64, byte(n >> 8), byte(n)}) }

// peer returns e as a peer in somebody's plan; endpoint may be empty.
func (e *end) peer(name, endpoint string, keepalive int, more ...string) *plan.Peer {
	p := &plan.Peer{Gateway: name, PublicKey: e.private.Public(), MTU: 1420, Keepalive: keepalive}
	p.AllowedIPs = append(p.AllowedIPs, e.device.Addresses...)
	for _, m := range more {
		p.AllowedIPs = append(p.AllowedIPs, netip.MustParsePrefix(m))
	}
	if endpoint != "" {
		ep, err := fabric.ParseEndpoint(endpoint)
		if err != nil {
			e.t.Fatal(err)
		}
		p.Endpoint = ep
	}
	return p
}

func (e *end) keys(string) (key.Private, error) { return e.private, nil }

// try applies the plan.
func (e *end) try() (changes []Change, err error) {
	nstest.In(e.t, e.ns, func() {
		changes, err = e.client.Apply(context.Background(), []plan.Device{e.device}, e.keys)
	})
	return changes, err
}

func (e *end) apply() []Change {
	e.t.Helper()
	changes, err := e.try()
	if err != nil {
		e.t.Fatalf("Apply: %v", err)
	}
	return changes
}

func (e *end) observe() Device {
	e.t.Helper()
	var list []Device
	nstest.In(e.t, e.ns, func() {
		var err error
		if list, err = e.client.Observe(context.Background()); err != nil {
			e.t.Fatalf("Observe: %v", err)
		}
	})
	if len(list) != 1 {
		e.t.Fatalf("Observe found %d devices, want 1", len(list))
	}
	return list[0]
}

// route sends a prefix into the device.
func (e *end) route(prefix string) {
	e.t.Helper()
	nstest.In(e.t, e.ns, func() {
		l, err := netlink.LinkByName("rw0")
		if err == nil {
			err = netlink.RouteReplace(&netlink.Route{LinkIndex: l.Attrs().Index, Dst: ipNet(netip.MustParsePrefix(prefix)), Scope: netlink.SCOPE_LINK})
		}
		if err != nil {
			e.t.Fatalf("route %s: %v", prefix, err)
		}
	})
}

// listen echoes datagrams that come to port 7 of an address of e until the test ends.
func (e *end) listen(addr netip.Addr) {
	e.t.Helper()
	var conn *net.UDPConn
	nstest.In(e.t, e.ns, func() {
		var err error
		conn, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(addr, 7)))
		if err != nil {
			e.t.Fatal(err)
		}
	})
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, 2048)
		for {
			n, from, err := conn.ReadFromUDPAddrPort(buf)
			if err != nil {
				return
			}
			_, _ = conn.WriteToUDPAddrPort(buf[:n], from)
		}
	}()
	e.t.Cleanup(func() { _ = conn.Close(); <-done })
}

// dial opens a socket in e to port 7 of an address.
func (e *end) dial(to netip.Addr) *net.UDPConn {
	e.t.Helper()
	var conn *net.UDPConn
	nstest.In(e.t, e.ns, func() {
		var err error
		conn, err = net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(netip.AddrPortFrom(to, 7)))
		if err != nil {
			e.t.Fatal(err)
		}
	})
	e.t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// reaches sends datagrams until one comes back, for as long as it may take, and tells how long it took.
func reaches(conn *net.UDPConn, within time.Duration) (time.Duration, bool) {
	start := time.Now()
	buf := make([]byte, 2048)
	for time.Since(start) < within {
		if _, err := conn.Write([]byte("rope")); err != nil {
			time.Sleep(10 * time.Millisecond) // refused or unreachable
			continue
		}
		_ = conn.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
		if _, err := conn.Read(buf); err == nil {
			return time.Since(start), true
		}
	}
	return 0, false
}

// pair is two gateways on one wire, 192.0.2.1 and 192.0.2.2, each in the other's plan.
func pair(t testing.TB) (a, b *end) {
	t.Helper()
	nsA := nstest.Enter(t)
	nsB := nstest.New(t)
	nstest.Veth(t, nsA, "192.0.2.1/24", nsB, "192.0.2.2/24")
	a, b = newEnd(t, nsA, 1), newEnd(t, nsB, 2)
	a.device.Peers = []*plan.Peer{b.peer("b", "192.0.2.2:51820", 0)}
	b.device.Peers = []*plan.Peer{a.peer("a", "192.0.2.1:51820", 0)}
	return a, b
}

func wantEndpoint(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }
