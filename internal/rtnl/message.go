package rtnl

import (
	"encoding/binary"

	"golang.org/x/sys/unix"
)

// A Builder appends messages to a buffer.
type Builder struct{ buf []byte }

func (b *Builder) reset() { b.buf = b.buf[:0] }

// Message begins a message of that type (RTM_…) and flags (NLM_F_…; NLM_F_REQUEST comes by itself) with a fixed part, whose length must be a
// multiple of 4.
func (b *Builder) Message(kind, flags uint16, fixed []byte) {
	var h [headerLen]byte
	binary.NativeEndian.PutUint16(h[4:], kind)
	binary.NativeEndian.PutUint16(h[6:], flags|unix.NLM_F_REQUEST)
	b.buf = append(append(b.buf, h[:]...), fixed...)
}

// Attr appends an attribute.
func (b *Builder) Attr(kind uint16, data []byte) {
	b.buf = binary.NativeEndian.AppendUint16(b.buf, uint16(attrLen+len(data)))
	b.buf = append(binary.NativeEndian.AppendUint16(b.buf, kind), data...)
	for len(b.buf)%4 != 0 {
		b.buf = append(b.buf, 0)
	}
}

// Uint32 appends an attribute that is a number.
func (b *Builder) Uint32(kind uint16, n uint32) {
	var raw [4]byte
	binary.NativeEndian.PutUint32(raw[:], n)
	b.Attr(kind, raw[:])
}

// Nest appends an attribute of attributes, which inside appends.
func (b *Builder) Nest(kind uint16, inside func()) {
	start := len(b.buf)
	b.Attr(kind|unix.NLA_F_NESTED, nil)
	inside()
	binary.NativeEndian.PutUint16(b.buf[start:], uint16(len(b.buf)-start))
}

const attrLen = 4 // struct rtattr

// attrMask takes NLA_F_NESTED and NLA_F_NET_BYTEORDER from the type of an attribute.
const attrMask = 0x3fff

// Attrs hands on the attributes of a message, without its fixed part, or of a nested attribute. It stops at one that is cut short.
func Attrs(data []byte, each func(kind uint16, value []byte)) {
	for len(data) >= attrLen {
		n := int(binary.NativeEndian.Uint16(data))
		if n < attrLen || n > len(data) {
			return
		}
		each(binary.NativeEndian.Uint16(data[2:])&attrMask, data[attrLen:n])
		data = data[min(align(n), len(data)):]
	}
}

// Uint32 returns the number that an attribute holds, or 0.
func Uint32(value []byte) uint32 {
	if len(value) < 4 {
		return 0
	}
	return binary.NativeEndian.Uint32(value)
}

func align(n int) int { return (n + 3) &^ 3 }
