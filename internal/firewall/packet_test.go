package firewall

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"

	"ropeway/internal/fabric"
)

// A packet is one that a test sends: the first of a flow, unless flags say otherwise.
type packet struct {
	src, dst     netip.Addr
	proto        byte // IPPROTO_ICMP and IPPROTO_ICMPV6 alike mean ICMP of the packet's family
	sport, dport uint16
	flags        byte // of TCP; 0: SYN
	seq, ack     uint32
	mss          uint16
	icmpType     byte   // 0: an echo request
	about        []byte // for ICMP errors: the packet that they quote
	mark         uint32 // tells packets apart, in the payload
}

const (
	tcpFin = 0x01
	tcpSyn = flagSYN
	tcpRst = flagRST
	tcpPsh = 0x08
	tcpAck = flagACK
)

func (p packet) String() string {
	return fmt.Sprintf("%s → %s proto %d port %d", p.src, p.dst, p.proto, p.dport)
}

// answer is what the other end sends back.
func (p packet) answer() packet {
	p.src, p.dst, p.sport, p.dport = p.dst, p.src, p.dport, p.sport
	p.flags, p.icmpType = tcpSyn|tcpAck, 0
	if p.isICMP() {
		p.icmpType, p.sport, p.dport = 255, p.dport, p.sport // an echo reply has the same identifier
	}
	return p
}

// question is what an answer answers.
func (p packet) question() packet {
	p.src, p.dst, p.sport, p.dport = p.dst, p.src, p.dport, p.sport
	return p
}

func (p packet) isEchoReply() bool { return p.isICMP() && p.icmpType == 255 }

// isInvalid reports whether connection tracking can begin nothing with it (tcp_conntracks in nf_conntrack_proto_tcp.c; valid_new in nf_conntrack_proto_icmp.c).
func (p packet) isInvalid() bool {
	if p.proto == unix.IPPROTO_TCP {
		return p.flags != 0 && p.flags != tcpSyn && p.flags != tcpAck && p.flags != tcpAck|tcpPsh
	}
	return p.isEchoReply()
}

func (p packet) isICMP() bool { return p.proto == unix.IPPROTO_ICMP || p.proto == unix.IPPROTO_ICMPV6 }

// bytes returns the packet as it goes over a wire without a link layer, with every checksum right.
func (p packet) bytes() []byte {
	payload := binary.BigEndian.AppendUint32(nil, p.mark)
	body := p.transport(payload)
	proto := p.proto
	if p.src.Is4() {
		if p.isICMP() {
			proto = unix.IPPROTO_ICMP
		}
		head := make([]byte, 20)
		head[0], head[8], head[9] = 0x45, 64, proto
		binary.BigEndian.PutUint16(head[2:], uint16(20+len(body)))
		copy(head[12:], p.src.AsSlice())
		copy(head[16:], p.dst.AsSlice())
		binary.BigEndian.PutUint16(head[10:], ^sum(0, head))
		return append(head, body...)
	}
	if p.isICMP() {
		proto = unix.IPPROTO_ICMPV6
	}
	head := make([]byte, 40)
	head[0], head[6], head[7] = 0x60, proto, 64
	binary.BigEndian.PutUint16(head[4:], uint16(len(body)))
	copy(head[8:], p.src.AsSlice())
	copy(head[24:], p.dst.AsSlice())
	return append(head, body...)
}

func (p packet) transport(payload []byte) []byte {
	switch {
	case p.isICMP():
		return p.icmp(payload)
	case p.proto == unix.IPPROTO_UDP:
		b := make([]byte, 8, 8+len(payload))
		binary.BigEndian.PutUint16(b, p.sport)
		binary.BigEndian.PutUint16(b[2:], p.dport)
		binary.BigEndian.PutUint16(b[4:], uint16(8+len(payload)))
		b = append(b, payload...)
		binary.BigEndian.PutUint16(b[6:], ^sum(p.pseudo(len(b)), b))
		return b
	case p.proto == unix.IPPROTO_TCP:
		size := 20
		if p.mss != 0 {
			size = 24
		}
		b := make([]byte, size, size+len(payload))
		binary.BigEndian.PutUint16(b, p.sport)
		binary.BigEndian.PutUint16(b[2:], p.dport)
		binary.BigEndian.PutUint32(b[4:], p.seq)
		binary.BigEndian.PutUint32(b[8:], p.ack)
		b[12] = byte(size / 4 << 4)
		if b[13] = p.flags; p.flags == 0 {
			b[13] = tcpSyn
		}
		binary.BigEndian.PutUint16(b[14:], 65535)
		if p.mss != 0 {
			b[20], b[21] = 2, 4
			binary.BigEndian.PutUint16(b[22:], p.mss)
		}
		b = append(b, payload...)
		binary.BigEndian.PutUint16(b[16:], ^sum(p.pseudo(len(b)), b))
		return b
	}
	return payload
}

func (p packet) icmp(payload []byte) []byte {
	b := make([]byte, 8, 64)
	b[0] = 8
	if p.src.Is6() {
		b[0] = 128
	}
	switch {
	case p.icmpType == 255 && p.src.Is4():
		b[0] = 0
	case p.icmpType == 255:
		b[0] = 129
	case p.icmpType != 0:
		b[0] = p.icmpType
	}
	if p.about != nil {
		payload = append(slices.Clone(p.about), payload...)
		binary.BigEndian.PutUint16(b[6:], 1300) // the MTU, where the type has one
	} else {
		binary.BigEndian.PutUint16(b[4:], p.sport) // identifier
	}
	b = append(b, payload...)
	seed := uint32(0)
	if p.src.Is6() {
		seed = p.pseudo(len(b))
	}
	binary.BigEndian.PutUint16(b[2:], ^sum(seed, b))
	return b
}

// pseudo is the sum over the pseudo header (RFC 9293, RFC 8200).
func (p packet) pseudo(size int) uint32 {
	proto := p.proto
	if p.isICMP() {
		proto = unix.IPPROTO_ICMPV6
	}
	head := append(p.src.AsSlice(), p.dst.AsSlice()...)
	head = append(head, 0, 0, byte(size>>8), byte(size), 0, 0, 0, proto)
	return uint32(sum(0, head))
}

// sum is the Internet checksum (RFC 1071), not inverted.
func sum(seed uint32, b []byte) uint16 {
	for i := 0; i < len(b); i += 2 {
		word := uint32(b[i]) << 8
		if i+1 < len(b) {
			word |= uint32(b[i+1])
		}
		seed += word
	}
	for seed > 0xffff {
		seed = seed&0xffff + seed>>16
	}
	return uint16(seed)
}

// service is what a rule would have to name to let the packet in.
func (p packet) service() (fabric.Service, bool) {
	switch {
	case p.isICMP():
		return fabric.Service{Protocol: fabric.ICMP}, true
	case p.proto == unix.IPPROTO_TCP:
		return fabric.Service{Protocol: fabric.TCP, First: p.dport, Last: p.dport}, true
	case p.proto == unix.IPPROTO_UDP:
		return fabric.Service{Protocol: fabric.UDP, First: p.dport, Last: p.dport}, true
	}
	return fabric.Service{}, false
}
