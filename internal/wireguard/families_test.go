package wireguard

import (
	"errors"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/tailscale/wireguard-go/conn"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"ropeway/internal/nstest"
)

// Packets reach whom they are for, in both families, whichever was sent to before.
func TestBothFamiliesFromOneBind(t *testing.T) {
	nstest.Enter(t)
	lo, err := netlink.LinkByName("lo")
	if err == nil {
		err = errors.Join(addAddress(lo, "fd00:1:2:3::1/128"), addAddress(lo, "fd00:5:6:7::2/128"))
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, at := range []string{"127.0.0.1", "fd00:1:2:3::1", "fd00:5:6:7::2"} {
		carriesPackets(t, netip.MustParseAddr(at))
	}
	r := newRoamer()
	if _, _, err := r.Open(0); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	for round := range 50 {
		for _, at := range []string{"127.0.0.1:0", "[fd00:1:2:3::1]:0", "127.0.0.2:0", "[fd00:5:6:7::2]:0"} {
			listener, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.MustParseAddrPort(at)))
			if err != nil {
				t.Fatal(err)
			}
			to := listener.LocalAddr().(*net.UDPAddr).AddrPort()
			err = r.Send([][]byte{[]byte("packet")}, &conn.StdNetEndpoint{AddrPort: netip.AddrPortFrom(to.Addr().Unmap(), to.Port())}, 0)
			if err == nil {
				err = listener.SetReadDeadline(time.Now().Add(2 * time.Second))
			}
			if err == nil {
				_, err = listener.Read(make([]byte, 100))
			}
			_ = listener.Close()
			if err != nil {
				t.Fatalf("round %d, to %s: %v", round, to, err)
			}
		}
	}
}

// carriesPackets waits until an address that was just added does: the kernel finishes IPv6 addresses in its own time.
func carriesPackets(t *testing.T, at netip.Addr) {
	listener, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(at, 0)))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	for range 50 {
		_, err = listener.WriteTo([]byte("packet"), listener.LocalAddr())
		_ = listener.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
		if err == nil {
			if _, err = listener.Read(make([]byte, 100)); err == nil {
				return
			}
		}
	}
	t.Fatalf("%s never carries packets: %v", at, err)
}

func addAddress(link netlink.Link, address string) error {
	a, err := netlink.ParseAddr(address)
	if err != nil {
		return err
	}
	a.Flags = unix.IFA_F_NODAD
	return netlink.AddrAdd(link, a)
}
