package firewall

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"net/netip"
	"slices"
	"strings"

	"ropeway/internal/prefixes"
)

// A kind is what the elements of a set are.
type kind uint8

const (
	foreign kind = iota // a set that is none of ours
	names               // interface names, each 16 bytes filled up with NUL
	ipv4                // intervals of IPv4 addresses
	ipv6                // intervals of IPv6 addresses
	ports               // intervals of TCP or UDP ports
	ends4               // links of IPv4: an interface name, the source and the destination
	ends6               // links of IPv6
)

// properties are nft's name for the kind, nft's number for it (datatype.h, enum datatypes; the kernel only keeps it, so that nft
// can print a set), and the size of a key in bytes.
func (k kind) properties() (name string, code, size uint32) {
	switch k {
	case names:
		return "ifname", 41, 16
	case ipv4:
		return "ipv4_addr", 7, 4
	case ipv6:
		return "ipv6_addr", 8, 16
	case ports:
		return "inet_service", 13, 2
	case ends4: // nft's number of a concatenation has 6 bits of each part
		return "ifname . ipv4_addr . ipv4_addr", 41<<12 | 7<<6 | 7, 16 + 2*4
	case ends6:
		return "ifname . ipv6_addr . ipv6_addr", 41<<12 | 8<<6 | 8, 16 + 2*16
	}
	return "", 0, 0
}

// interval reports whether sets of this kind hold intervals; the others hold single keys.
func (k kind) interval() bool { return k != names && k != ends4 && k != ends6 }

func (k kind) size() int {
	_, _, size := k.properties()
	return int(size)
}

// A span is an element: the keys from lo to hi, both included, in network byte order.
type span struct{ lo, hi []byte }

// spans are elements in order. Their keys stand one after the other in one piece of memory: there may be a hundred thousand, and
// they are hashed and compared far more often than looked at.
type spans struct {
	size int // of a key in bytes
	keys []byte
}

func (s spans) len() int {
	if s.size == 0 {
		return 0
	}
	return len(s.keys) / (2 * s.size)
}

func (s spans) at(i int) span {
	b := s.keys[2*s.size*i:]
	return span{b[:s.size:s.size], b[s.size : 2*s.size : 2*s.size]}
}

func (s *spans) add(e span) { s.keys = append(append(s.keys, e.lo...), e.hi...) }

// singles returns keys of a kind that has no intervals as elements.
func singles(keys [][]byte, k kind) spans {
	out := spans{size: k.size()}
	slices.SortFunc(keys, bytes.Compare)
	for _, key := range slices.CompactFunc(keys, bytes.Equal) {
		if len(key) == out.size {
			out.add(span{key, key})
		}
	}
	return out
}

// apart reports whether each element ends before the next begins.
func (s spans) apart() bool {
	for at := s.size; at+s.size < len(s.keys); at += 2 * s.size {
		if bytes.Compare(s.keys[at:at+s.size], s.keys[at+s.size:at+2*s.size]) >= 0 {
			return false
		}
	}
	return true
}

// after returns the key that follows the last one of an element; ok is false where that is the last key there is.
func (s span) after() (next []byte, ok bool) {
	next = bytes.Clone(s.hi)
	for i := len(next) - 1; i >= 0; i-- {
		if next[i]++; next[i] != 0 {
			return next, true
		}
	}
	return nil, false
}

// before returns the key that precedes key, which is not the first.
func before(key []byte) []byte {
	previous := bytes.Clone(key)
	for i := len(key) - 1; i >= 0; i-- {
		if previous[i]--; previous[i] != 0xff {
			break
		}
	}
	return previous
}

// text writes an element as nft does: an address, a prefix or a range.
func (s span) text(k kind) string {
	switch k {
	case names:
		return `"` + strings.TrimRight(string(s.lo), "\x00") + `"`
	case ends4, ends6:
		return linkText(s.lo)
	case ports:
		return portRange{binary.BigEndian.Uint16(s.lo), binary.BigEndian.Uint16(s.hi)}.String()
	}
	lo, _ := netip.AddrFromSlice(s.lo)
	hi, _ := netip.AddrFromSlice(s.hi)
	if lo == hi {
		return lo.String()
	}
	for bits := range lo.BitLen() {
		if p := netip.PrefixFrom(lo, bits); p == p.Masked() && prefixes.Last(p) == hi {
			return p.String()
		}
	}
	return lo.String() + "-" + hi.String()
}

// A set is an nftables set. Nobody changes it, so that a Ruleset and a State can share it.
type set struct {
	name   string
	kind   kind
	spans  spans
	digest [sha256.Size]byte // of kind and elements
}

func newSet(name string, k kind, s spans) *set {
	h := sha256.New()
	h.Write([]byte{byte(k)})
	h.Write(s.keys)
	out := &set{name: name, kind: k, spans: s}
	h.Sum(out.digest[:0])
	return out
}

// prefixSpans returns the prefixes of one family as elements. Lists in a plan are in normal form; one that is not is brought
// into it, since the kernel refuses intervals that overlap.
func prefixSpans(list []netip.Prefix, k kind) spans {
	out := spans{size: k.size()}
	n := 0
	for _, p := range list {
		if p.Addr().Is4() == (k == ipv4) {
			n++
		}
	}
	out.keys = make([]byte, 0, 2*out.size*n)
	for _, p := range list {
		switch a := p.Addr(); {
		case a.Is4() != (k == ipv4):
		case a.Is4():
			key := a.As4()
			out.addPrefix(key[:], p.Bits())
		default:
			key := a.As16()
			out.addPrefix(key[:], p.Bits())
		}
	}
	if !out.apart() {
		return prefixSpans(prefixes.Normal(list), k)
	}
	return out
}

// addPrefix adds the keys that begin with so many bits of key.
func (s *spans) addPrefix(key []byte, bits int) {
	s.keys = append(append(s.keys, key...), key...)
	hi := s.keys[len(s.keys)-s.size:]
	for i := bits / 8; i < s.size; i++ {
		hi[i] |= 0xff >> max(bits-8*i, 0)
	}
}

// delta returns what has to be added to have, and taken from it, to make want.
func delta(have, want spans) (add, del spans) {
	add.size, del.size = want.size, have.size
	i, j, step := 0, 0, 2*want.size
	for i < len(have.keys) && j < len(want.keys) {
		h, w := have.keys[i:i+step], want.keys[j:j+step]
		switch c := bytes.Compare(h, w); {
		case c == 0:
			i, j = i+step, j+step
		case c < 0:
			del.keys = append(del.keys, h...)
			i += step
		default:
			add.keys = append(add.keys, w...)
			j += step
		}
	}
	add.keys = append(add.keys, want.keys[j:]...)
	del.keys = append(del.keys, have.keys[i:]...)
	return add, del
}
