package packet

import (
	"encoding/binary"
	"net/netip"
)

// Parse reads an IP packet. It returns ErrUnknown for one that the lab has nothing to do with, a fragment for example.
func Parse(b []byte) (Packet, error) { return parse(b, true) }

// parse reads a packet, and where it is an ICMP error also the one that it is about, once.
func parse(b []byte, deep bool) (Packet, error) {
	var p Packet
	var proto byte
	switch {
	case len(b) >= 20 && b[0]>>4 == 4:
		header := int(b[0]&15) * 4
		fragment := binary.BigEndian.Uint16(b[6:]) & 0x3fff // more fragments, or an offset
		if header < 20 || header > len(b) || fragment != 0 {
			return Packet{}, ErrUnknown
		}
		p.Src, p.Dst, proto = netip.AddrFrom4([4]byte(b[12:])), netip.AddrFrom4([4]byte(b[16:])), b[9]
		b = b[header:]
	case len(b) >= 40 && b[0]>>4 == 6:
		p.Src, p.Dst, proto = netip.AddrFrom16([16]byte(b[8:])), netip.AddrFrom16([16]byte(b[24:])), b[6]
		b = b[40:]
	default:
		return Packet{}, ErrUnknown
	}
	if len(b) < 8 {
		return Packet{}, ErrUnknown
	}
	switch proto {
	case protoUDP, protoTCP:
		return p.ports(proto, b)
	case protoICMP, protoICMPv6:
		return p.icmp(proto, b, deep)
	}
	return Packet{}, ErrUnknown
}

func (p Packet) ports(proto byte, b []byte) (Packet, error) {
	p.Kind = UDP
	p.SrcPort, p.DstPort = binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:])
	if proto == protoTCP {
		p.Kind = TCP
		if len(b) >= 14 {
			p.Flags = b[13]
		}
		return p, nil
	}
	p.Token = token(b)
	return p, nil
}

func (p Packet) icmp(proto byte, b []byte, deep bool) (Packet, error) {
	kind, code, four := b[0], b[1], proto == protoICMP
	switch {
	case four && kind == icmp4Request, !four && kind == icmp6Request:
		p.Kind = EchoRequest
	case four && kind == icmp4Reply, !four && kind == icmp6Reply:
		p.Kind = EchoReply
	case four && kind == icmp4Unreachable && code == icmp4FragmentationNeeded:
		p.Kind, p.MTU = TooBig, int(binary.BigEndian.Uint16(b[6:]))
	case !four && kind == icmp6TooBig:
		p.Kind, p.MTU = TooBig, int(binary.BigEndian.Uint32(b[4:]))
	case four && (kind == icmp4Unreachable || kind == icmp4Exceeded), !four && kind <= icmp6Param && kind >= icmp6Unreachable:
		p.Kind = Unreachable
	default:
		return Packet{}, ErrUnknown
	}
	if p.Kind == EchoRequest || p.Kind == EchoReply {
		p.SrcPort = binary.BigEndian.Uint16(b[4:])
		p.DstPort, p.Token = p.SrcPort, token(b)
		return p, nil
	}
	if !deep {
		return p, nil
	}
	about, err := parse(b[8:], false)
	if err != nil {
		return Packet{}, ErrUnknown
	}
	p.About = &about
	return p, nil
}

// token reads the token after eight bytes of ICMP or UDP header. An ICMP error may have cut it off.
func token(b []byte) uint64 {
	if len(b) < 8+tokenSize {
		return 0
	}
	return binary.BigEndian.Uint64(b[8:])
}
