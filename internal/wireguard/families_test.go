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

func addAddress(link netlink.Link, address string) error {
	a, err := netlink.ParseAddr(address)
	if err != nil {
		return err
	}
	a.Flags = unix.IFA_F_NODAD
	return netlink.AddrAdd(link, a)
}
