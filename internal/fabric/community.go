package fabric

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// A Community is a mark on routes that routers match: a standard one (RFC 1997), as "64512:100", or a large one (RFC 8092), as "4200000001:1:2". The zero value is none.
type Community struct {
	parts [3]uint32
	count int // parts that it has: 2 or 3
}

// TagASN begins the large communities that are Ropeway's own: what gateways tell each other of a route.
const TagASN = 114

// ParseCommunity reads a community in the one spelling that it has: decimal numbers without leading zeros.
func ParseCommunity(s string) (Community, error) {
	const want = "want two numbers up to 65535, as 64512:100, or three up to 4294967295, as 4200000001:1:2"
	words := strings.Split(s, ":")
	c, bits := Community{count: len(words)}, 32
	switch c.count {
	case 2:
		bits = 16
	case 3:
	default:
		return Community{}, errors.New(want)
	}
	for i, word := range words {
		n, err := strconv.ParseUint(word, 10, bits)
		if err != nil {
			return Community{}, errors.New(want)
		}
		c.parts[i] = uint32(n)
	}
	if c.String() != s {
		return Community{}, fmt.Errorf("write %s", c)
	}
	return c, nil
}

// Large reports whether it is a large community.
func (c Community) Large() bool { return c.count == 3 }

// Reserved returns what a community stands for that is an order to routers or belongs to somebody, so that it marks nothing; "" where it is free.
func (c Community) Reserved() string {
	first := c.parts[0]
	switch {
	case c.count == 0:
		return "none"
	case c.Large() && first == TagASN:
		return "what Ropeway's gateways tell each other"
	case c.Large() && (first == 0 || first == math.MaxUint16 || first == math.MaxUint32):
		return "reserved (RFC 8092, section 5)"
	case c.Large():
		return ""
	case first == 0:
		return "reserved (RFC 1997)"
	case first == math.MaxUint16:
		return order(c.parts[1])
	}
	return ""
}

// order names a community that begins with 65535 (IANA, Border Gateway Protocol (BGP) Well-known Communities).
func order(n uint32) string {
	switch n {
	case 0:
		return "GRACEFUL_SHUTDOWN (RFC 8326)"
	case 1:
		return "ACCEPT_OWN (RFC 7611)"
	case 6:
		return "LLGR_STALE (RFC 9494)"
	case 7:
		return "NO_LLGR (RFC 9494)"
	case 666:
		return "BLACKHOLE (RFC 7999)"
	case 0xff01:
		return "NO_EXPORT (RFC 1997)"
	case 0xff02:
		return "NO_ADVERTISE (RFC 1997)"
	case 0xff03:
		return "NO_EXPORT_SUBCONFED (RFC 1997)"
	case 0xff04:
		return "NOPEER (RFC 3765)"
	}
	return "reserved (RFC 1997)"
}

// Compare orders communities: standard ones first, then by their numbers.
func (c Community) Compare(o Community) int {
	return cmp.Or(c.count-o.count, slices.Compare(c.parts[:], o.parts[:]))
}

// String returns what ParseCommunity reads; "" for none.
func (c Community) String() string {
	words := make([]string, c.count)
	for i := range words {
		words[i] = strconv.FormatUint(uint64(c.parts[i]), 10)
	}
	return strings.Join(words, ":")
}

// MarshalText implements encoding.TextMarshaler.
func (c Community) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (c *Community) UnmarshalText(text []byte) (err error) {
	*c, err = ParseCommunity(string(text))
	return err
}
