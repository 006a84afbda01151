package firewall

import (
	"bytes"
	"encoding/binary"
	"errors"
	"iter"

	"golang.org/x/sys/unix"
)

// Numbers of the kernel's interface that golang.org/x/sys/unix lacks; from linux/netfilter/nf_tables.h and nfnetlink.h.
const (
	objectCounter   = 1  // NFT_OBJECT_COUNTER
	attrChainFlags  = 10 // NFTA_CHAIN_FLAGS
	attrSetUserdata = 13 // NFTA_SET_USERDATA
	groupNFTables   = 7  // NFNLGRP_NFTABLES
	genSize         = 4  // of struct nfgenmsg
	attrMask        = 0x3fff
)

// An attr is a netlink attribute: its data, or the attributes within.
type attr struct {
	id     uint16
	data   []byte
	nested []attr
}

func u8(id uint16, v uint8) attr       { return attr{id: id, data: []byte{v}} }
func u32(id uint16, v uint32) attr     { return attr{id: id, data: binary.BigEndian.AppendUint32(nil, v)} }
func raw(id uint16, data []byte) attr  { return attr{id: id, data: data} }
func text(id uint16, s string) attr    { return attr{id: id, data: append([]byte(s), 0)} }
func nest(id uint16, a ...attr) attr   { return attr{id: id, nested: a} }
func value(id uint16, key []byte) attr { return nest(id, raw(unix.NFTA_DATA_VALUE, key)) }

// appendAttr writes an attribute: its length, its number, what it holds, and zeros up to a multiple of four.
func appendAttr(b []byte, a attr) []byte {
	start := len(b)
	id := a.id
	if a.nested != nil {
		id |= unix.NLA_F_NESTED
	}
	b = binary.NativeEndian.AppendUint16(b, 0)
	b = binary.NativeEndian.AppendUint16(b, id)
	b = append(b, a.data...)
	for _, n := range a.nested {
		b = appendAttr(b, n)
	}
	return closeAttr(b, start)
}

// openAttr begins an attribute that holds others, and closeAttr ends the one that begins at start.
func openAttr(b []byte, id uint16) []byte {
	b = binary.NativeEndian.AppendUint16(b, 0)
	return binary.NativeEndian.AppendUint16(b, id|unix.NLA_F_NESTED)
}

func closeAttr(b []byte, start int) []byte {
	binary.NativeEndian.PutUint16(b[start:], uint16(len(b)-start))
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	return b
}

// attrs yields the number and the content of each attribute in b, and stops at one that is cut.
func attrs(b []byte) iter.Seq2[uint16, []byte] {
	return func(yield func(uint16, []byte) bool) {
		for len(b) >= unix.SizeofNlAttr {
			size := int(binary.NativeEndian.Uint16(b))
			if size < unix.SizeofNlAttr || size > len(b) {
				return
			}
			if !yield(binary.NativeEndian.Uint16(b[2:])&attrMask, b[unix.SizeofNlAttr:size]) {
				return
			}
			b = b[min((size+3)&^3, len(b)):]
		}
	}
}

// find returns the content of the attribute at the end of the path, or nil.
func find(b []byte, path ...uint16) []byte {
	for _, id := range path {
		var next []byte
		for got, data := range attrs(b) {
			if got == id {
				next = data
				break
			}
		}
		if b = next; b == nil {
			return nil
		}
	}
	return b
}

func findText(b []byte, path ...uint16) string {
	return string(bytes.TrimRight(find(b, path...), "\x00"))
}

// findUint reads a number of four or eight bytes; it is 0 where there is none.
func findUint(b []byte, path ...uint16) uint64 {
	switch data := find(b, path...); len(data) {
	case 4:
		return uint64(binary.BigEndian.Uint32(data))
	case 8:
		return binary.BigEndian.Uint64(data)
	}
	return 0
}

// sameList reports whether have, a list of elements as the kernel tells it, holds the elements of want and no other.
func sameList(have []byte, want []attr) bool {
	i := 0
	for _, data := range attrs(have) {
		if i == len(want) || !covers(data, want[i]) {
			return false
		}
		i++
	}
	return i == len(want)
}

// covers reports whether have, the content of an attribute as the kernel tells it, says all that want says. It may say more: a
// newer kernel spells out what was left to its default.
func covers(have []byte, want attr) bool {
	if want.nested == nil {
		return bytes.Equal(have, want.data)
	}
	for _, w := range want.nested {
		if data := find(have, w.id); data == nil || !covers(data, w) {
			return false
		}
	}
	return true
}

// A batch is a transaction: messages that the kernel takes all or none.
type batch struct {
	buf  []byte
	what []string // each message in words, for errors
	open int      // where the message under way begins
}

// header is a netlink header followed by nfgenmsg, 20 bytes.
const headerSize = unix.SizeofNlMsghdr + genSize

func appendHeader(b []byte, kind, flags uint16, family byte, resource uint16) []byte {
	b = binary.NativeEndian.AppendUint32(b, 0) // length
	b = binary.NativeEndian.AppendUint16(b, kind)
	b = binary.NativeEndian.AppendUint16(b, unix.NLM_F_REQUEST|flags)
	b = append(b, 0, 0, 0, 0, 0, 0, 0, 0) // sequence and port
	b = append(b, family, unix.NFNETLINK_V0)
	return binary.BigEndian.AppendUint16(b, resource)
}

// nft is the number of a message of the nftables subsystem.
func nft(message uint16) uint16 { return unix.NFNL_SUBSYS_NFTABLES<<8 | message }

// begin opens a message about our table. Its first attribute names the table: in every message of nftables that is number 1.
func (t *batch) begin(message, flags uint16, what string) {
	t.open = len(t.buf)
	t.what = append(t.what, what)
	t.buf = appendHeader(t.buf, nft(message), flags, unix.NFPROTO_INET, 0)
	t.buf = appendAttr(t.buf, text(1, TableName))
}

func (t *batch) end() {
	binary.NativeEndian.PutUint32(t.buf[t.open:], uint32(len(t.buf)-t.open))
}

func (t *batch) add(message, flags uint16, what string, attrs ...attr) {
	t.begin(message, flags, what)
	for _, a := range attrs {
		t.buf = appendAttr(t.buf, a)
	}
	t.end()
}

// seal returns the bytes to send: the messages between the marks of a batch, numbered from seq, the last of ours to be
// acknowledged. The kernel answers for every message that fails besides.
func (t *batch) seal(seq uint32) []byte {
	out := make([]byte, 0, len(t.buf)+2*headerSize)
	out = appendHeader(out, unix.NFNL_MSG_BATCH_BEGIN, 0, unix.AF_UNSPEC, unix.NFNL_SUBSYS_NFTABLES)
	binary.NativeEndian.PutUint32(out, headerSize)
	binary.NativeEndian.PutUint32(out[8:], seq)
	last := 0
	out = append(out, t.buf...)
	for at := headerSize; at < len(out); at += int(binary.NativeEndian.Uint32(out[at:])) {
		seq++
		binary.NativeEndian.PutUint32(out[at+8:], seq)
		last = at
	}
	flags := binary.NativeEndian.Uint16(out[last+6:])
	binary.NativeEndian.PutUint16(out[last+6:], flags|unix.NLM_F_ACK)
	at := len(out)
	out = appendHeader(out, unix.NFNL_MSG_BATCH_END, 0, unix.AF_UNSPEC, unix.NFNL_SUBSYS_NFTABLES)
	binary.NativeEndian.PutUint32(out[at:], headerSize)
	binary.NativeEndian.PutUint32(out[at+8:], seq+1)
	return out
}

// A message is one that the kernel sent.
type message struct {
	kind, flags uint16
	seq, port   uint32
	family      byte
	attrs       []byte // of a message of nftables
	body        []byte // after the netlink header
}

var errShort = errors.New("a netlink message that is cut")

// messages yields what is in a datagram.
func messages(b []byte) iter.Seq2[message, error] {
	return func(yield func(message, error) bool) {
		for len(b) > 0 {
			if len(b) < unix.SizeofNlMsghdr {
				yield(message{}, errShort)
				return
			}
			size := int(binary.NativeEndian.Uint32(b))
			if size < unix.SizeofNlMsghdr || size > len(b) {
				yield(message{}, errShort)
				return
			}
			m := message{
				kind: binary.NativeEndian.Uint16(b[4:]), flags: binary.NativeEndian.Uint16(b[6:]),
				seq: binary.NativeEndian.Uint32(b[8:]), port: binary.NativeEndian.Uint32(b[12:]),
				body: b[unix.SizeofNlMsghdr:size],
			}
			if m.kind>>8 == unix.NFNL_SUBSYS_NFTABLES && len(m.body) >= genSize {
				m.family, m.attrs = m.body[0], m.body[genSize:]
			}
			if !yield(m, nil) {
				return
			}
			b = b[min((size+3)&^3, len(b)):]
		}
	}
}

// errno is the error that a message reports, or nil.
func (m message) errno() error {
	if len(m.body) < 4 {
		return errShort
	}
	if code := int32(binary.NativeEndian.Uint32(m.body)); code != 0 {
		return unix.Errno(-code)
	}
	return nil
}
