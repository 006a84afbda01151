package wireguard

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"ropeway/internal/key"
	"ropeway/internal/nstest"
	"ropeway/internal/plan"
	"ropeway/internal/rtnl"
)

// strings of changes, for comparison.
func lines(changes []Change) string {
	var out []string
	for _, c := range changes {
		out = append(out, c.String())
	}
	return strings.Join(out, "\n")
}

func TestTunnelCarriesPackets(t *testing.T) {
	a, b := pair(t)
	got := lines(a.apply())
	for _, want := range []string{"rw0: create device", "rw0: set key", "rw0: add address 100.64.0.1/32", "rw0: add peer b endpoint 192.0.2.2:51820 +100.64.0.2/32", "rw0: set up"} {
		if !strings.Contains(got, want) {
			t.Errorf("changes miss %q:\n%s", want, got)
		}
	}
	b.apply()
	a.route("100.64.0.2/32")
	b.route("100.64.0.1/32")
	b.listen(tunnelAddr(2))
	if took, ok := reaches(a.dial(tunnelAddr(2)), 5*time.Second); !ok {
		t.Fatal("no packet came back")
	} else {
		t.Logf("first packet came back after %s", took)
	}
	if again := a.apply(); len(again) > 0 {
		t.Errorf("a second Apply changed something: %v", again)
	}
	d := a.observe()
	if d.Backend != tested() {
		t.Errorf("the backend is %s", d.Backend)
	}
	if d.Peers[0].LastHandshake.IsZero() || d.Peers[0].Received == 0 || d.Peers[0].Stale {
		t.Errorf("the session does not show: %+v", d.Peers[0])
	}
}

func TestProcess(t *testing.T) {
	userspaceOnly(t)
	a, _ := pair(t)
	a.apply()
	if got := a.observe().Offload; got != "tun udp-send udp-receive" {
		t.Errorf("offload is %q, want all", got)
	}
	info, err := os.Stat(filepath.Join(a.opts.SocketDir, "rw0.sock"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("control socket: %v %v, want mode 0600", info.Mode(), err)
	}
	if sid, err := unix.Getsid(a.pid()); err != nil || sid != a.pid() {
		t.Errorf("session %d of process %d: %v", sid, a.pid(), err)
	}
}

// TestDrift changes a device behind the client's back in every way there is, and wants it back as planned.
func TestDrift(t *testing.T) {
	a, b := pair(t)
	a.apply()
	stranger, _ := key.NewPrivate()
	planned := b.private.Public()
	for name, damage := range map[string]func(){
		"peer removed":   func() { a.set(section{PublicKey: planned, Remove: true}) },
		"stranger added": func() { a.set(section{PublicKey: stranger.Public()}) },
		"prefix stolen":  func() { a.set(section{PublicKey: stranger.Public(), AllowedIPs: b.device.Addresses}) },
		"prefix added": func() {
			a.set(section{PublicKey: planned, AllowedIPs: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}})
		},
		"keepalive changed": func() { a.set(section{PublicKey: planned, Keepalive: new(7)}) },
		"key changed":       func() { a.write(config{Private: &stranger}) },
		"port changed":      func() { a.write(config{Port: new(uint16(4711))}) },
		"link down":         func() { a.link(netlink.LinkSetDown) },
		"mtu":               func() { a.link(func(l netlink.Link) error { return netlink.LinkSetMTU(l, 1300) }) },
		"address removed": func() {
			a.link(func(l netlink.Link) error { return netlink.AddrDel(l, address(a.device.Addresses[0])) })
		},
		"address added": func() {
			a.link(func(l netlink.Link) error { return netlink.AddrAdd(l, address(netip.MustParsePrefix("10.9.9.9/32"))) })
		},
		"interface deleted":  func() { a.link(netlink.LinkDel) },
		"process killed":     func() { a.kill() },
		"socket taken away":  func() { _ = os.Remove(filepath.Join(a.opts.SocketDir, "rw0.sock")); a.gone() },
		"nothing (no drift)": func() {},
	} {
		t.Run(name, func(t *testing.T) {
			if strings.Contains(name, "process") || strings.Contains(name, "socket") {
				userspaceOnly(t)
			}
			damage()
			changes := a.apply()
			if len(changes) == 0 != strings.HasPrefix(name, "nothing") {
				t.Errorf("changes: %v", changes)
			}
			if changes = a.apply(); len(changes) > 0 {
				t.Errorf("the second Apply changed something: %v", changes)
			}
			d := a.observe()
			if left := Diff([]plan.Device{a.device}, []Device{d}); len(left) > 0 || len(d.Peers) != 1 || d.PublicKey != a.private.Public() {
				t.Errorf("not as planned: %v", left)
			}
		})
	}
}

// write configures the device behind the client's back.
func (e *end) write(c config) {
	e.t.Helper()
	e.link(func(l netlink.Link) error {
		kind := l.Type()
		if kind == "tuntap" {
			kind = "tun"
		}
		ctl, _, err := e.client.open(context.Background(), link{Link: rtnl.Link{Name: "rw0", Kind: kind}})
		if err != nil {
			return err
		}
		return errors.Join(ctl.write(c), ctl.close())
	})
}

func (e *end) set(s ...section) { e.t.Helper(); e.write(config{Peers: s}) }

func (e *end) link(f func(netlink.Link) error) {
	e.t.Helper()
	nstest.In(e.t, e.ns, func() {
		l, err := netlink.LinkByName("rw0")
		if err == nil {
			err = f(l)
		}
		if err != nil {
			e.t.Fatal(err)
		}
	})
}

// pid returns the process that serves the control socket.
func (e *end) pid() int {
	e.t.Helper()
	s, err := openSocket(context.Background(), e.opts.SocketDir, "rw0")
	if err != nil {
		e.t.Fatal(err)
	}
	defer func() { _ = s.close() }()
	cred, err := unix.GetsockoptUcred(s.fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
	if err != nil {
		e.t.Fatal(err)
	}
	return int(cred.Pid)
}

// kill ends the process of the device the hard way and waits until its interface is gone.
func (e *end) kill() {
	e.t.Helper()
	if err := unix.Kill(e.pid(), syscall.SIGKILL); err != nil {
		e.t.Fatal(err)
	}
	e.gone()
}

func (e *end) gone() {
	e.t.Helper()
	nstest.In(e.t, e.ns, func() {
		for range 500 {
			if _, err := netlink.LinkByName("rw0"); err != nil {
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
		e.t.Fatal("the interface is still there")
	})
}

// TestAdoption has a second client, as after a restart of the agent, take the device over without a packet lost.
func TestAdoption(t *testing.T) {
	a, b := pair(t)
	a.apply()
	b.apply()
	a.route("100.64.0.2/32")
	b.route("100.64.0.1/32")
	b.listen(tunnelAddr(2))
	conn := a.dial(tunnelAddr(2))
	if _, ok := reaches(conn, 5*time.Second); !ok {
		t.Fatal("no packet came back")
	}
	handshake := a.observe().Peers[0].LastHandshake
	a.client = New(a.opts)
	if changes := a.apply(); len(changes) > 0 {
		t.Errorf("the second client changed something: %v", changes)
	}
	if d := a.observe(); !d.Peers[0].LastHandshake.Equal(handshake) {
		t.Error("the session is another one")
	}
	if took, ok := reaches(conn, time.Second); !ok || took > 50*time.Millisecond {
		t.Errorf("a packet was lost: %v %v", took, ok)
	}
}

// TestRestartBeginsHandshakes kills a device that the other side has a session with, and measures how long packets from the other side, whose
// session looks alive, are lost after the device is back.
func TestRestartBeginsHandshakes(t *testing.T) {
	for name, keepalive := range map[string]int{"without keepalive": 0, "with keepalive": 25} {
		t.Run(name, func(t *testing.T) {
			a, b := pair(t)
			a.device.Peers[0].Keepalive = keepalive
			a.apply()
			b.apply()
			a.route("100.64.0.2/32")
			b.route("100.64.0.1/32")
			a.listen(tunnelAddr(1))
			conn := b.dial(tunnelAddr(1))
			if _, ok := reaches(conn, 5*time.Second); !ok {
				t.Fatal("no packet came back")
			}
			if tested() == Userspace {
				a.kill()
			} else {
				a.link(netlink.LinkDel)
			}
			start := time.Now()
			a.apply()
			up := time.Since(start)
			a.route("100.64.0.2/32")
			took, ok := reaches(conn, 20*time.Second)
			if !ok || took > time.Second {
				t.Errorf("packets came through %v after the restart (%v), want at most 1 s", took, ok)
			}
			t.Logf("device made again in %s, packets pass %s later", up, took)
		})
	}
}

// TestPrefixPassesWithoutGap moves a prefix from one peer to another and drops one of two prefixes of a third, while datagrams flow for the
// prefix that stays. None may be lost.
func TestPrefixPassesWithoutGap(t *testing.T) {
	a, b := pair(t)
	a.device.Peers[0].AllowedIPs = append(a.device.Peers[0].AllowedIPs, netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("10.2.0.0/16"))
	a.apply()
	b.apply()
	a.route("100.64.0.2/32")
	b.route("100.64.0.1/32")
	b.listen(tunnelAddr(2))
	conn := a.dial(tunnelAddr(2))
	if _, ok := reaches(conn, 5*time.Second); !ok {
		t.Fatal("no packet came back")
	}
	stop, lost := make(chan struct{}), make(chan int)
	go func() {
		sent, got, buf := 0, 0, make([]byte, 16)
		for {
			select {
			case <-stop:
				lost <- sent - got
				return
			default:
			}
			sent++
			_, _ = conn.Write([]byte("rope"))
			_ = conn.SetReadDeadline(time.Now().Add(2 * time.Second))
			if _, err := conn.Read(buf); err == nil {
				got++
			}
		}
	}()
	other, _ := key.NewPrivate()
	first := a.device.Peers[0]
	for i := range 100 {
		changed := *first
		changed.AllowedIPs = first.AllowedIPs[:1] // both others go …
		a.device.Peers = []*plan.Peer{&changed}
		if i%2 == 0 { // … or one to another peer
			a.device.Peers = append(a.device.Peers, &plan.Peer{Gateway: "c", PublicKey: other.Public(), MTU: 1420, AllowedIPs: first.AllowedIPs[1:2]})
		}
		a.apply()
		a.device.Peers = []*plan.Peer{first}
		a.apply()
	}
	close(stop)
	if n := <-lost; n != 0 {
		t.Errorf("%d datagrams were lost", n)
	}
}

func TestForeignInterfacesAreLeftAlone(t *testing.T) {
	a, _ := pair(t)
	for _, l := range []netlink.Link{
		&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "rw0"}, PeerName: "rw1"},
		&netlink.Tuntap{LinkAttrs: netlink.LinkAttrs{Name: "rw0"}, Mode: netlink.TUNTAP_MODE_TUN},
	} {
		t.Run(l.Type(), func(t *testing.T) {
			nstest.In(t, a.ns, func() { leftAlone(t, a, l) })
		})
	}
}

func leftAlone(t *testing.T, a *end, l netlink.Link) {
	if err := netlink.LinkAdd(l); err != nil {
		t.Fatal(err)
	}
	if _, err := a.try(); !errors.Is(err, errForeign) {
		t.Errorf("Apply: %v, want errForeign", err)
	}
	if changes, err := a.client.Remove(context.Background()); err != nil || len(changes) > 0 {
		t.Errorf("Remove: %v %v", changes, err)
	}
	if list, err := a.client.Observe(context.Background()); err != nil || len(list) > 0 {
		t.Errorf("Observe: %v %v", list, err)
	}
	got, err := netlink.LinkByName("rw0")
	if err != nil {
		t.Fatal("the interface is gone")
	}
	_ = netlink.LinkDel(got)
}

func TestPlansThatAreRefused(t *testing.T) {
	a, b := pair(t)
	a.apply()
	good := a.device
	twice := b.peer("b2", "", 0)
	twice.AllowedIPs = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	same := *good.Peers[0]
	same.Gateway, same.PublicKey = "c", mustKey(t).Public()
	for name, c := range map[string]struct {
		change func(d *plan.Device)
		want   string
	}{
		"own key as peer":  {func(d *plan.Device) { d.Peers = []*plan.Peer{a.peer("self", "", 0)} }, "of this device itself"},
		"one key, 2 peers": {func(d *plan.Device) { d.Peers = append(d.Peers[:1:1], twice) }, "same public key"},
		"prefix twice":     {func(d *plan.Device) { d.Peers = append(d.Peers[:1:1], &same) }, "both have the prefix 100.64.0.2/32"},
		"another key":      {func(d *plan.Device) { d.PublicKey = mustKey(t).Public() }, "another public key"},
		"hostile name":     {func(d *plan.Device) { d.Name = "rw/../x" }, "name of a device"},
	} {
		t.Run(name, func(t *testing.T) {
			a.device = good
			c.change(&a.device)
			changes, err := a.try()
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %q", err, c.want)
			}
			for _, c := range changes {
				if c.Op != DeleteDevice { // the plan does not name rw0 any more
					t.Errorf("changed something: %v", changes)
				}
			}
			a.device = good
			a.apply()
		})
	}
}

func mustKey(t testing.TB) key.Private {
	t.Helper()
	k, err := key.NewPrivate()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// TestManyPrefixes gives one peer more prefixes than a message to the kernel holds, then takes most of them away.
func TestManyPrefixes(t *testing.T) {
	a, b := pair(t)
	peer := *a.device.Peers[0]
	for i := range 2000 {
		peer.AllowedIPs = append(peer.AllowedIPs, netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), 0}), 24))
		if i%2 == 0 {
			raw := [16]byte{0x20, 1, 0xd, 0xb8, byte(i >> 8), byte(i)}
			peer.AllowedIPs = append(peer.AllowedIPs, netip.PrefixFrom(netip.AddrFrom16(raw), 48))
		}
	}
	a.device.Peers = []*plan.Peer{&peer}
	a.apply()
	if n := len(a.observe().Peers[0].AllowedIPs); n != 3001 {
		t.Errorf("%d prefixes, want 3001", n)
	}
	a.device.Peers = []*plan.Peer{b.peer("b", "192.0.2.2:51820", 0)}
	a.apply()
	if n := len(a.observe().Peers[0].AllowedIPs); n != 1 {
		t.Errorf("%d prefixes, want 1", n)
	}
}

func TestPortInUse(t *testing.T) {
	a, _ := pair(t)
	var taken int
	nstest.In(t, a.ns, func() {
		taken, _ = unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		if err := unix.Bind(taken, &unix.SockaddrInet4{Port: 51820}); err != nil {
			t.Fatal(err)
		}
	})
	if _, err := a.try(); !errors.Is(err, syscall.EADDRINUSE) || !strings.Contains(err.Error(), "51820") {
		t.Errorf("error %v, want EADDRINUSE and the port", err)
	}
	_ = unix.Close(taken)
	a.apply()
	if d := a.observe(); d.ListenPort != 51820 {
		t.Errorf("port %d", d.ListenPort)
	}
}

// A device that went up by itself while its port was taken tells so when it is started, and takes no other port.
func TestPortIsNotForgotten(t *testing.T) {
	userspaceOnly(t)
	a, _ := pair(t)
	var taken int
	nstest.In(t, a.ns, func() {
		taken, _ = unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		if err := unix.Bind(taken, &unix.SockaddrInet4{Port: 51820}); err != nil {
			t.Fatal(err)
		}
		j := &job{want: a.device, private: a.private, known: a.client.settledOf("rw0")}
		if err := a.client.create(context.Background(), j); err != nil {
			t.Fatal(err)
		}
		defer func() { _ = j.control.close() }()
		_ = j.write(config{Private: &a.private, Port: &a.device.ListenPort}) // it may be up already, and say that the port is taken
		if err := changeLink(j.link.Index, Change{Op: SetUp, Device: "rw0"}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(200 * time.Millisecond) // else it hears of its interface now
		for range 2 {
			if err := j.control.start(); !errors.Is(err, syscall.EADDRINUSE) {
				t.Errorf("start: %v, want EADDRINUSE", err)
			}
		}
		_ = unix.Close(taken)
		if err := j.control.start(); err != nil {
			t.Errorf("start on a free port: %v", err)
		}
	})
	if d := a.observe(); d.ListenPort != 51820 {
		t.Errorf("port %d", d.ListenPort)
	}
}

// TestWgReadsUs has the reference tool read and change a device.
func TestWgReadsUs(t *testing.T) {
	userspaceOnly(t)
	if _, err := exec.LookPath("wg"); err != nil {
		t.Skip("wg is not installed")
	}
	a, b := pair(t)
	a.apply()
	// wg looks into /var/run/wireguard only: show it our directory there, in a mount namespace of its own
	out, err := exec.Command("unshare", "-m", "sh", "-c", `mkdir -p /run/wireguard && mount --bind "$0" /run/wireguard && wg show rw0 dump && wg set rw0 peer "$1" persistent-keepalive 9`,
		a.opts.SocketDir, b.private.Public().String()).CombinedOutput()
	if err != nil || !strings.Contains(string(out), b.private.Public().String()) {
		t.Fatalf("wg: %v\n%s", err, out)
	}
	if got := lines(a.apply()); got != "rw0: update peer b keepalive 0 s" {
		t.Errorf("after wg set: %s", got)
	}
}
