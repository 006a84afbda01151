package fabric

import (
	"fmt"
	"net/netip"
	"strings"
)

// A Selector names a set of addresses: everything, a place, a segment or a prefix.
type Selector struct {
	Any     bool
	Kind    Kind   // Region or Site, with Name
	Segment bool   // a segment, with Name
	Name    string // of the place or segment
	Prefix  netip.Prefix
}

// ParseSelector reads "any", "region/NAME", "site/NAME", "segment/NAME", a prefix or an address. A prefix may have host bits: whoever cares
// compares it with Masked.
func ParseSelector(s string) (Selector, error) {
	if s == "any" {
		return Selector{Any: true}, nil
	}
	word, name, found := strings.Cut(s, "/")
	named := Selector{Name: name}
	switch word {
	case string(Region), string(Site):
		named.Kind = Kind(word)
	case "segment":
		named.Segment = true
	default:
		return parseAddresses(s, found)
	}
	if !ValidName(name) {
		return Selector{}, fmt.Errorf("want a name of lower-case letters, digits and hyphens after %s/", word)
	}
	return named, nil
}

func parseAddresses(s string, prefixed bool) (Selector, error) {
	if prefixed {
		if p, err := ParsePrefix(s); err == nil {
			return Selector{Prefix: p}, nil
		}
	} else if addr, err := parseAddr(s); err == nil {
		return Selector{Prefix: netip.PrefixFrom(addr, addr.BitLen())}, nil
	}
	return Selector{}, fmt.Errorf("want region/NAME, site/NAME, segment/NAME, a prefix, an address or any")
}

// ParsePrefix reads "10.10.0.0/16" or "2001:db8::/32". Host bits are let through for the caller to judge; a zone, or IPv4 written as
// IPv6, is not.
func ParsePrefix(s string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(s)
	if err != nil || p.Addr().Is4In6() {
		return netip.Prefix{}, fmt.Errorf("want ADDRESS/LENGTH, as in 10.10.0.0/16 or 2001:db8::/32")
	}
	return p, nil
}

func parseAddr(s string) (netip.Addr, error) {
	addr, err := netip.ParseAddr(s)
	if err != nil || addr.Zone() != "" || addr.Is4In6() {
		return netip.Addr{}, fmt.Errorf("want an IPv4 or IPv6 address without a zone")
	}
	return addr, nil
}

// ParseTarget reads what a test aims at: a selector, or one service of one address: "10.10.4.5:5432/tcp", "[2001:db8::5]:53/udp",
// "10.10.4.5/icmp". The service is nil where none is named.
func ParseTarget(s string) (Selector, *Service, error) {
	i := strings.LastIndexByte(s, '/')
	host, proto := s[:max(i, 0)], s[i+1:]
	switch Protocol(proto) {
	case ICMP:
		addr, err := parseAddr(strings.TrimSuffix(strings.TrimPrefix(host, "["), "]"))
		if err != nil { // a segment may be called icmp
			break
		}
		return Selector{Prefix: netip.PrefixFrom(addr, addr.BitLen())}, &Service{Protocol: ICMP}, nil
	case TCP, UDP:
		at, err := netip.ParseAddrPort(host)
		if err != nil {
			break
		}
		service := &Service{Protocol(proto), at.Port(), at.Port()}
		if at.Port() == 0 || at.Addr().Zone() != "" || at.Addr().Is4In6() {
			return Selector{}, nil, fmt.Errorf("want a port from 1 to 65535, and an address without a zone")
		}
		return Selector{Prefix: netip.PrefixFrom(at.Addr(), at.Addr().BitLen())}, service, nil
	}
	sel, err := ParseSelector(s)
	if err != nil {
		err = fmt.Errorf("want a selector, ADDRESS:PORT/tcp, ADDRESS:PORT/udp or ADDRESS/icmp, with an IPv6 address in brackets")
	}
	return sel, nil, err
}
