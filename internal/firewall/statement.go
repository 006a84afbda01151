package firewall

import (
	"encoding/binary"
	"fmt"

	"golang.org/x/sys/unix"
)

// A statement is one part of a rule: a match, a count or a verdict. It has two renderings, text for people and nft, expressions
// for the kernel, that mean the same; the tests compare what the kernel lists of each.
type statement interface {
	text() string
	encode(e *encoder)
}

// An encoder makes the expressions of one rule. Like nft it puts a check of the family or the protocol before the first
// statement that reads a header of it.
type encoder struct {
	names  map[*set]string // names that differ from the set's own
	exprs  []attr
	family byte
	proto  byte
}

// register is where a value stands between two expressions: NFT_REG_1, 16 bytes, enough for everything that is matched alone. What is looked up
// together goes on behind it.
const register = unix.NFT_REG_1

func (e *encoder) add(name string, attrs ...attr) {
	e.exprs = append(e.exprs, nest(unix.NFTA_LIST_ELEM, text(unix.NFTA_EXPR_NAME, name), nest(unix.NFTA_EXPR_DATA, attrs...)))
}

func (e *encoder) meta(key uint32) {
	e.add("meta", u32(unix.NFTA_META_KEY, key), u32(unix.NFTA_META_DREG, register))
}

func (e *encoder) compare(op uint32, data []byte) {
	e.add("cmp", u32(unix.NFTA_CMP_SREG, register), u32(unix.NFTA_CMP_OP, op), value(unix.NFTA_CMP_DATA, data))
}

func (e *encoder) payload(base, offset, size uint32) { e.payloadAt(0, base, offset, size) }

// payloadAt puts a part of the packet so many bytes behind the beginning of the register, beside what stands there. The kernel tells pieces of
// 16 bytes as registers of that size, and others as ones of 4.
func (e *encoder) payloadAt(at, base, offset, size uint32) {
	to := unix.NFT_REG32_00 + at/unix.NFT_REG32_SIZE
	if at%unix.NFT_REG_SIZE == 0 {
		to = register + at/unix.NFT_REG_SIZE
	}
	e.add("payload", u32(unix.NFTA_PAYLOAD_DREG, to), u32(unix.NFTA_PAYLOAD_BASE, base),
		u32(unix.NFTA_PAYLOAD_OFFSET, offset), u32(unix.NFTA_PAYLOAD_LEN, size))
}

func (e *encoder) mask(mask []byte) {
	e.add("bitwise", u32(unix.NFTA_BITWISE_SREG, register), u32(unix.NFTA_BITWISE_DREG, register),
		u32(unix.NFTA_BITWISE_LEN, uint32(len(mask))), value(unix.NFTA_BITWISE_MASK, mask),
		value(unix.NFTA_BITWISE_XOR, make([]byte, len(mask))))
}

func (e *encoder) lookup(s *set, not bool) {
	name, ok := e.names[s]
	if !ok {
		name = s.name
	}
	flags := uint32(0)
	if not {
		flags = unix.NFT_LOOKUP_F_INV
	}
	e.add("lookup", text(unix.NFTA_LOOKUP_SET, name), u32(unix.NFTA_LOOKUP_SREG, register), u32(unix.NFTA_LOOKUP_FLAGS, flags))
}

func (e *encoder) needFamily(family byte) {
	if e.family != family {
		e.meta(unix.NFT_META_NFPROTO)
		e.compare(unix.NFT_CMP_EQ, []byte{family})
		e.family = family
	}
}

func (e *encoder) needProto(proto byte) {
	if e.proto != proto {
		e.meta(unix.NFT_META_L4PROTO)
		e.compare(unix.NFT_CMP_EQ, []byte{proto})
		e.proto = proto
	}
}

// device matches where the packet comes from or goes to: a device of the fabric, or none.
type device struct {
	out, not bool
	set      *set
}

func (d device) text() string {
	word := "iifname"
	if d.out {
		word = "oifname"
	}
	return word + " " + in(d.set, d.not)
}

func (d device) encode(e *encoder) {
	key := uint32(unix.NFT_META_IIFNAME)
	if d.out {
		key = unix.NFT_META_OIFNAME
	}
	e.meta(key)
	e.lookup(d.set, d.not)
}

// address matches the source or the destination. The kind of its set says the family.
type address struct {
	dst, not bool
	set      *set
}

func (a address) text() string {
	word := "ip"
	if a.set.kind == ipv6 {
		word = "ip6"
	}
	if a.dst {
		return word + " daddr " + in(a.set, a.not)
	}
	return word + " saddr " + in(a.set, a.not)
}

func (a address) encode(e *encoder) {
	family, offset, size := byte(unix.NFPROTO_IPV4), uint32(12), uint32(4) // RFC 791
	if a.set.kind == ipv6 {
		family, offset, size = unix.NFPROTO_IPV6, 8, 16 // RFC 8200
	}
	if a.dst {
		offset += size
	}
	e.needFamily(family)
	e.payload(unix.NFT_PAYLOAD_NETWORK_HEADER, offset, size)
	e.lookup(a.set, a.not)
}

// in writes membership in a set.
func in(s *set, not bool) string {
	if not {
		return "!= @" + s.name
	}
	return "@" + s.name
}

// protocol matches all of a protocol.
type protocol struct {
	number byte
	name   string
}

func (p protocol) text() string      { return "meta l4proto " + p.name }
func (p protocol) encode(e *encoder) { e.needProto(p.number) }

// service matches the destination port of TCP or UDP, or the source port: one of a set where there is one, else one of a range.
type service struct {
	src   bool
	proto protocol
	ports portRange
	set   *set
}

func (s service) text() string {
	word := " dport "
	if s.src {
		word = " sport "
	}
	if s.set != nil {
		return s.proto.name + word + in(s.set, false)
	}
	return s.proto.name + word + s.ports.String()
}

func (s service) encode(e *encoder) {
	e.needProto(s.proto.number)
	offset := uint32(2) // RFC 9293, RFC 768
	if s.src {
		offset = 0
	}
	e.payload(unix.NFT_PAYLOAD_TRANSPORT_HEADER, offset, 2)
	if s.set != nil {
		e.lookup(s.set, false)
		return
	}
	e.within(s.ports)
}

// within compares a port.
func (e *encoder) within(r portRange) {
	first, last := binary.BigEndian.AppendUint16(nil, r.first), binary.BigEndian.AppendUint16(nil, r.last)
	if r.first == r.last {
		e.compare(unix.NFT_CMP_EQ, first)
		return
	}
	e.compare(unix.NFT_CMP_GTE, first)
	e.compare(unix.NFT_CMP_LTE, last)
}

// icmpType matches one type of ICMP, or of ICMPv6.
type icmpType struct {
	v6   bool
	code byte
	name string
}

func (i icmpType) text() string {
	if i.v6 {
		return "icmpv6 type " + i.name
	}
	return "icmp type " + i.name
}

func (i icmpType) encode(e *encoder) {
	family, proto := byte(unix.NFPROTO_IPV4), byte(unix.IPPROTO_ICMP)
	if i.v6 {
		family, proto = unix.NFPROTO_IPV6, unix.IPPROTO_ICMPV6
	}
	e.needFamily(family)
	e.needProto(proto)
	e.payload(unix.NFT_PAYLOAD_TRANSPORT_HEADER, 0, 1)
	e.compare(unix.NFT_CMP_EQ, []byte{i.code})
}

// state matches what connection tracking says of the packet.
type state struct {
	bits uint32
	name string
}

// Bits of `ct state` (enum ip_conntrack_info through NF_CT_STATE_BIT, in nf_conntrack_common.h).
const (
	stateInvalid     = 1
	stateEstablished = 2
	stateRelated     = 4
)

func (s state) text() string { return "ct state " + s.name }

func (s state) encode(e *encoder) {
	e.add("ct", u32(unix.NFTA_CT_KEY, unix.NFT_CT_STATE), u32(unix.NFTA_CT_DREG, register))
	e.mask(binary.NativeEndian.AppendUint32(nil, s.bits))
	e.compare(unix.NFT_CMP_NEQ, make([]byte, 4))
}

// Where the flags of TCP stand in its header, and those that are matched (RFC 9293, section 3.1).
const (
	tcpFlags = 13
	flagSYN  = 0x02
	flagRST  = 0x04
	flagACK  = 0x10
)

// clamp lowers the MSS that a TCP handshake offers to what the route's MTU carries, both ways; it never raises it.
type clamp struct{}

func (clamp) text() string { return "tcp flags syn / syn,rst tcp option maxseg size set rt mtu" }

func (clamp) encode(e *encoder) {
	const (
		mssOption, mssSize     = 2, 2
		opTCPOption, opHostNet = 1, 1 // NFT_EXTHDR_OP_TCPOPT, NFT_BYTEORDER_HTON
	)
	e.needProto(unix.IPPROTO_TCP)
	e.payload(unix.NFT_PAYLOAD_TRANSPORT_HEADER, tcpFlags, 1)
	e.mask([]byte{flagSYN | flagRST})
	e.compare(unix.NFT_CMP_EQ, []byte{flagSYN})
	e.add("rt", u32(unix.NFTA_RT_KEY, unix.NFT_RT_TCPMSS), u32(unix.NFTA_RT_DREG, register))
	e.add("byteorder", u32(unix.NFTA_BYTEORDER_SREG, register), u32(unix.NFTA_BYTEORDER_DREG, register),
		u32(unix.NFTA_BYTEORDER_OP, opHostNet), u32(unix.NFTA_BYTEORDER_LEN, mssSize), u32(unix.NFTA_BYTEORDER_SIZE, mssSize))
	e.add("exthdr", u32(unix.NFTA_EXTHDR_SREG, register), u8(unix.NFTA_EXTHDR_TYPE, mssOption),
		u32(unix.NFTA_EXTHDR_OFFSET, 2), u32(unix.NFTA_EXTHDR_LEN, mssSize), u32(unix.NFTA_EXTHDR_OP, opTCPOption))
}

// count adds the packet to a named counter. A named counter is an object of its own: it goes on when the rules around it are
// replaced.
type count struct{ name string }

func (c count) text() string { return fmt.Sprintf("counter name %q", c.name) }

func (c count) encode(e *encoder) {
	e.add("objref", u32(unix.NFTA_OBJREF_IMM_TYPE, objectCounter), text(unix.NFTA_OBJREF_IMM_NAME, c.name))
}

// verdict ends a rule.
type verdict struct {
	code  int32
	chain string // of a goto
}

// What becomes of a packet (enum nf_inet_verdicts).
const (
	drop   = 0
	accept = 1
)

func gotoChain(chain string) verdict { return verdict{unix.NFT_GOTO, chain} }

func (v verdict) text() string {
	switch v.code {
	case drop:
		return "drop"
	case accept:
		return "accept"
	}
	return "goto " + v.chain
}

func (v verdict) encode(e *encoder) {
	attrs := []attr{u32(unix.NFTA_VERDICT_CODE, uint32(v.code))}
	if v.chain != "" {
		attrs = append(attrs, text(unix.NFTA_VERDICT_CHAIN, v.chain))
	}
	e.add("immediate", u32(unix.NFTA_IMMEDIATE_DREG, unix.NFT_REG_VERDICT),
		nest(unix.NFTA_IMMEDIATE_DATA, nest(unix.NFTA_DATA_VERDICT, attrs...)))
}
