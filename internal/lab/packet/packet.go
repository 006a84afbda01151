// Package packet writes the probes of a lab byte by byte and reads what comes back. It knows just enough of IPv4, IPv6, ICMP, UDP
// and TCP: every probe forbids fragmentation, has exactly the size asked for, and carries a token by which it, its answer, and an
// error about it are known again.
package packet

import (
	"encoding/binary"
	"errors"
	"net/netip"
)

// Smallest sizes of a probe, in bytes of IP packet: header, 8 bytes of ICMP or UDP, 8 bytes of token.
const (
	Least4 = 20 + 8 + tokenSize
	Least6 = 40 + 8 + tokenSize
)

const tokenSize = 8

// ErrUnknown is returned for a packet that is none of those this package knows.
var ErrUnknown = errors.New("not a packet of a kind that the lab reads")

// A Kind is what a packet is.
type Kind string

// The kinds that the lab tells apart.
const (
	EchoRequest Kind = "echo request"
	EchoReply   Kind = "echo reply"
	UDP         Kind = "udp"
	TCP         Kind = "tcp"
	TooBig      Kind = "too big"     // ICMP: fragmentation needed, or packet too big
	Unreachable Kind = "unreachable" // ICMP: any other error
)

// Flags of TCP that the lab looks at (RFC 9293, section 3.1).
const (
	SYN = 0x02
	RST = 0x04
	ACK = 0x10
)

// A Packet is what the lab sees of one.
type Packet struct {
	Kind             Kind
	Src, Dst         netip.Addr
	SrcPort, DstPort uint16  // of UDP and TCP; of an echo both are its identifier
	Token            uint64  // of an echo and of UDP; 0 where there is no room for one
	Flags            byte    // of TCP
	MTU              int     // of TooBig
	About            *Packet // of an ICMP error
}

// Numbers of protocols (IANA).
const (
	protoICMP   = 1
	protoTCP    = 6
	protoUDP    = 17
	protoICMPv6 = 58
)

// Types of ICMP (RFC 792, RFC 4443).
const (
	icmp4Reply, icmp4Unreachable, icmp4Request, icmp4Exceeded = 0, 3, 8, 11
	icmp6Unreachable, icmp6TooBig, icmp6Param                 = 1, 2, 4
	icmp6Request, icmp6Reply                                  = 128, 129
	icmp4FragmentationNeeded                                  = 4 // a code
)

// Echo returns an ICMP echo request of exactly size bytes, or the least that there is.
func Echo(src, dst netip.Addr, id uint16, token uint64, size int) []byte {
	b, body := frame(src, dst, protoICMP, size)
	body[0] = icmp4Request
	if src.Is6() {
		body[0] = icmp6Request
	}
	binary.BigEndian.PutUint16(body[4:], id)
	binary.BigEndian.PutUint64(body[8:], token)
	binary.BigEndian.PutUint16(body[2:], checksum(src, dst, protocol(src, protoICMP), body))
	return b
}

// Datagram returns a UDP packet of exactly size bytes, or the least that there is.
func Datagram(src, dst netip.AddrPort, token uint64, size int) []byte {
	b, body := frame(src.Addr(), dst.Addr(), protoUDP, size)
	binary.BigEndian.PutUint16(body[0:], src.Port())
	binary.BigEndian.PutUint16(body[2:], dst.Port())
	binary.BigEndian.PutUint16(body[4:], uint16(len(body)))
	binary.BigEndian.PutUint64(body[8:], token)
	sum := checksum(src.Addr(), dst.Addr(), protoUDP, body)
	if sum == 0 { // 0 says that there is none (RFC 768)
		sum = 0xffff
	}
	binary.BigEndian.PutUint16(body[6:], sum)
	return b
}

func protocol(src netip.Addr, proto byte) byte {
	if proto == protoICMP && src.Is6() {
		return protoICMPv6
	}
	return proto
}

// frame returns a packet with its IP header written, and the part after it.
func frame(src, dst netip.Addr, proto byte, size int) (b, body []byte) {
	const hops = 64
	if src.Is4() {
		b = make([]byte, max(size, Least4))
		b[0], b[8], b[9] = 0x45, hops, proto
		binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
		b[6] = 0x40 // do not fragment
		copy(b[12:], src.AsSlice())
		copy(b[16:], dst.AsSlice())
		binary.BigEndian.PutUint16(b[10:], fold(sum(0, b[:20])))
		return b, b[20:]
	}
	b = make([]byte, max(size, Least6))
	b[0], b[6], b[7] = 0x60, protocol(src, proto), hops
	binary.BigEndian.PutUint16(b[4:], uint16(len(b)-40))
	copy(b[8:], src.AsSlice())
	copy(b[24:], dst.AsSlice())
	return b, b[40:]
}

// checksum is the Internet checksum (RFC 1071), with a pseudo-header where the protocol has one.
func checksum(src, dst netip.Addr, proto byte, body []byte) uint16 {
	var acc uint32
	if proto != protoICMP {
		acc = sum(sum(acc, src.AsSlice()), dst.AsSlice()) + uint32(len(body)) + uint32(proto)
	}
	return fold(sum(acc, body))
}

func sum(acc uint32, b []byte) uint32 {
	for ; len(b) >= 2; b = b[2:] {
		acc += uint32(b[0])<<8 | uint32(b[1])
	}
	if len(b) == 1 {
		acc += uint32(b[0]) << 8
	}
	return acc
}

func fold(acc uint32) uint16 {
	for acc > 0xffff {
		acc = acc>>16 + acc&0xffff
	}
	return ^uint16(acc)
}
