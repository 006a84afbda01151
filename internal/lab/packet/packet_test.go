package packet

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"testing"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

func TestAProbeIsReadAgain(t *testing.T) {
	for _, c := range []struct{ src, dst string }{{"10.10.0.1", "10.20.0.1"}, {"2001:db8::1", "2001:db8:1::1"}} {
		src, dst := addr(c.src), addr(c.dst)
		for _, size := range []int{0, Least4, Least6, 57, 1280, 1441, 9001} {
			for kind, b := range map[Kind][]byte{
				EchoRequest: Echo(src, dst, 4711, 0xfeedface12345678, size),
				UDP:         Datagram(netip.AddrPortFrom(src, 4711), netip.AddrPortFrom(dst, 7), 0xfeedface12345678, size),
			} {
				p, err := Parse(b)
				if err != nil || p.Kind != kind || p.Src != src || p.Dst != dst || p.SrcPort != 4711 || p.Token != 0xfeedface12345678 {
					t.Errorf("%s of %d: read %+v, %v", kind, size, p, err)
				}
				least := Least4
				if src.Is6() {
					least = Least6
				}
				if len(b) != max(size, least) {
					t.Errorf("%s of %d has %d bytes", kind, size, len(b))
				}
			}
		}
	}
}

// TestOthersReadTheProbes holds the bytes against golang.org/x/net and, for checksums, against the rule that the sum over all is 0xffff.
func TestOthersReadTheProbes(t *testing.T) {
	b := Echo(addr("10.10.0.1"), addr("10.20.0.1"), 9, 77, 101)
	h, err := ipv4.ParseHeader(b)
	if err != nil || h.TotalLen != 101 || h.Flags&ipv4.DontFragment == 0 || !h.Src.Equal(net.IP{10, 10, 0, 1}) {
		t.Errorf("header %v, %v", h, err)
	}
	if fold(sum(0, b[:20])) != 0 || fold(sum(0, b[20:])) != 0 {
		t.Error("a checksum of IPv4 or ICMP is wrong")
	}
	m, err := icmp.ParseMessage(1, b[20:])
	if e, ok := m.Body.(*icmp.Echo); err != nil || !ok || e.ID != 9 || m.Type != ipv4.ICMPTypeEcho {
		t.Errorf("message %+v, %v", m, err)
	}
	b = Echo(addr("2001:db8::1"), addr("2001:db8::2"), 9, 77, 101)
	h6, err := ipv6.ParseHeader(b)
	if err != nil || h6.PayloadLen != 61 || h6.NextHeader != 58 {
		t.Errorf("header %v, %v", h6, err)
	}
	if got := checksum(addr("2001:db8::1"), addr("2001:db8::2"), protoICMPv6, b[40:]); got != 0 {
		t.Errorf("the checksum of ICMPv6 leaves %#x", got)
	}
	b = Datagram(netip.MustParseAddrPort("10.10.0.1:5"), netip.MustParseAddrPort("10.20.0.1:7"), 77, 101)
	if got := checksum(addr("10.10.0.1"), addr("10.20.0.1"), protoUDP, b[20:]); got != 0 {
		t.Errorf("the checksum of UDP leaves %#x", got)
	}
}

func TestAnErrorSaysWhatItIsAbout(t *testing.T) {
	src, dst := addr("10.10.0.1"), addr("10.20.0.1")
	probe := Datagram(netip.AddrPortFrom(src, 5), netip.AddrPortFrom(dst, 7), 77, 1500)
	b, body := frame(addr("192.0.2.1"), src, protoICMP, 20+8+28)
	body[0], body[1] = icmp4Unreachable, icmp4FragmentationNeeded
	binary.BigEndian.PutUint16(body[6:], 1420)
	copy(body[8:], probe)
	p, err := Parse(b)
	if err != nil || p.Kind != TooBig || p.MTU != 1420 || p.About == nil || p.About.Src != src || p.About.SrcPort != 5 || p.About.DstPort != 7 {
		t.Errorf("read %+v, %v", p, err)
	}
}

func TestAFragmentIsNoPacket(t *testing.T) {
	b := Echo(addr("10.10.0.1"), addr("10.20.0.1"), 9, 77, 100)
	b[6] = 0x20
	if _, err := Parse(b); !errors.Is(err, ErrUnknown) {
		t.Errorf("got %v", err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(Echo(addr("10.10.0.1"), addr("10.20.0.1"), 1, 2, 100))
	f.Add(Datagram(netip.MustParseAddrPort("[2001:db8::1]:5"), netip.MustParseAddrPort("[2001:db8::2]:7"), 77, 101))
	nested, body := frame(addr("192.0.2.1"), addr("10.10.0.1"), protoICMP, 100)
	body[0] = icmp4Exceeded
	copy(body[8:], Echo(addr("10.10.0.1"), addr("10.20.0.1"), 1, 2, 40))
	f.Add(nested)
	f.Fuzz(func(t *testing.T, b []byte) {
		before := bytes.Clone(b)
		p, err := Parse(b)
		if !bytes.Equal(before, b) {
			t.Error("Parse changed its input")
		}
		if err != nil {
			return
		}
		if !p.Src.IsValid() || !p.Dst.IsValid() || p.Kind == "" || p.Src.Is4() != p.Dst.Is4() {
			t.Errorf("read %+v", p)
		}
		if (p.About != nil) != (p.Kind == TooBig || p.Kind == Unreachable) {
			t.Errorf("read %+v", p)
		}
	})
}
