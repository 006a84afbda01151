package firewall

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
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
)

// kinds are the properties of each kind. The codes are nft's own numbers for its data types (datatype.h, enum datatypes): the
// kernel only keeps them, so that nft can print a set.
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
	}
	return "", 0, 0
}

// interval reports whether sets of this kind hold intervals; the others hold single keys.
func (k kind) interval() bool { return k != names }

func (k kind) size() int {
	_, _, size := k.properties()
	return int(size)
}

// A span is an element: the keys from lo to hi, both included. A key is as long as its kind says, in network byte order.
type span struct{ lo, hi [16]byte }

func compareSpans(a, b span) int {
	if c := bytes.Compare(a.lo[:], b.lo[:]); c != 0 {
		return c
	}
	return bytes.Compare(a.hi[:], b.hi[:])
}

// after returns the key that follows hi; ok is false where hi is the last key there is.
func (s span) after(size int) (next [16]byte, ok bool) {
	next = s.hi
	for i := size - 1; i >= 0; i-- {
		if next[i]++; next[i] != 0 {
			return next, true
		}
	}
	return next, false
}

// before returns the key that precedes key, which is not the first.
func before(key [16]byte, size int) [16]byte {
	for i := size - 1; i >= 0; i-- {
		if key[i]--; key[i] != 0xff {
			break
		}
	}
	return key
}

// text writes an element as nft does: an address, a prefix or a range.
func (s span) text(k kind) string {
	switch k {
	case names:
		return `"` + strings.TrimRight(string(s.lo[:]), "\x00") + `"`
	case ports:
		return portText(binary.BigEndian.Uint16(s.lo[:]), binary.BigEndian.Uint16(s.hi[:]))
	}
	lo, _ := netip.AddrFromSlice(s.lo[:k.size()])
	hi, _ := netip.AddrFromSlice(s.hi[:k.size()])
	if lo == hi {
		return lo.String()
	}
	for bits := 0; bits < lo.BitLen(); bits++ {
		if p := netip.PrefixFrom(lo, bits); p == p.Masked() && prefixes.Last(p) == hi {
			return p.String()
		}
	}
	return lo.String() + "-" + hi.String()
}

func portText(lo, hi uint16) string {
	if lo == hi {
		return strconv.Itoa(int(lo))
	}
	return fmt.Sprintf("%d-%d", lo, hi)
}

// A set is an nftables set. Once it is sealed nobody changes it, so that a Ruleset and a State can share it.
type set struct {
	name   string
	kind   kind
	spans  []span // sorted, apart
	digest [sha256.Size]byte
}

// newSet returns a set with a digest of its kind and elements.
func newSet(name string, k kind, spans []span) *set {
	h := sha256.New()
	h.Write([]byte{byte(k)})
	buf := make([]byte, 0, 4096)
	for _, s := range spans {
		if buf = append(append(buf, s.lo[:]...), s.hi[:]...); len(buf) == cap(buf) {
			h.Write(buf)
			buf = buf[:0]
		}
	}
	h.Write(buf)
	out := &set{name: name, kind: k, spans: spans}
	h.Sum(out.digest[:0])
	return out
}

// prefixSpans returns the prefixes of one family as elements. Lists in a plan are in normal form; one that is not is brought
// into it, since the kernel refuses intervals that overlap.
func prefixSpans(list []netip.Prefix, k kind) []span {
	if !slices.IsSortedFunc(list, netip.Prefix.Compare) || hasOverlap(list) {
		list = prefixes.Normal(list)
	}
	var out []span
	for _, p := range list {
		if p.Addr().Is4() != (k == ipv4) {
			continue
		}
		if out == nil {
			out = make([]span, 0, len(list))
		}
		var s span
		last := prefixes.Last(p)
		copy(s.lo[:], p.Addr().AsSlice())
		copy(s.hi[:], last.AsSlice())
		out = append(out, s)
	}
	return out
}

func hasOverlap(sorted []netip.Prefix) bool {
	for i := 1; i < len(sorted); i++ {
		if sorted[i-1].Overlaps(sorted[i]) {
			return true
		}
	}
	return false
}

// portSpan returns the ports from lo to hi as an element.
func portSpan(lo, hi uint16) (s span) {
	binary.BigEndian.PutUint16(s.lo[:], lo)
	binary.BigEndian.PutUint16(s.hi[:], hi)
	return s
}

// nameSpan returns the name of an interface as an element.
func nameSpan(name string) (s span) {
	copy(s.lo[:15], name) // IFNAMSIZ is 16 with the final NUL
	s.hi = s.lo
	return s
}

// merged returns the elements sorted, with those joined that overlap or touch.
func merged(spans []span, size int) []span {
	sorted := slices.SortedFunc(slices.Values(spans), compareSpans)
	out := sorted[:0]
	for _, s := range sorted {
		if n := len(out); n > 0 {
			next, ok := out[n-1].after(size)
			if !ok || bytes.Compare(s.lo[:], next[:]) <= 0 {
				if bytes.Compare(s.hi[:], out[n-1].hi[:]) > 0 {
					out[n-1].hi = s.hi
				}
				continue
			}
		}
		out = append(out, s)
	}
	return out
}

// delta returns what has to be taken from have, and added, to make want; both are sorted.
func delta(have, want []span) (add, del []span) {
	i, j := 0, 0
	for i < len(have) && j < len(want) {
		switch c := compareSpans(have[i], want[j]); {
		case c == 0:
			i++
			j++
		case c < 0:
			del = append(del, have[i])
			i++
		default:
			add = append(add, want[j])
			j++
		}
	}
	return append(add, want[j:]...), append(del, have[i:]...)
}

// distance is how many elements delta would move.
func distance(have, want []span) int {
	shared := 0
	for i, j := 0, 0; i < len(have) && j < len(want); {
		c := compareSpans(have[i], want[j])
		if c <= 0 {
			i++
		}
		if c >= 0 {
			j++
		}
		if c == 0 {
			shared++
		}
	}
	return len(have) + len(want) - 2*shared
}

// ports are the ends of an element of kind ports.
func (s span) ports() (first, last uint16) {
	return binary.BigEndian.Uint16(s.lo[:]), binary.BigEndian.Uint16(s.hi[:])
}
