// Package fabric holds the words of the fabric file: what a person may write, valid once made, with the place in the file where
// it was written. File is the document; package intent gives it its meaning.
package fabric

import (
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
)

// DefaultPort is WireGuard's customary UDP port.
const DefaultPort uint16 = 51820

// DefaultUnderlayMTU is Ethernet's, and the Internet's, in bytes.
const DefaultUnderlayMTU = 1500

// A TopologyMode says which places are joined by links.
type TopologyMode string

const (
	Mesh        TopologyMode = "mesh"          // every place with every other
	HubAndSpoke TopologyMode = "hub-and-spoke" // spokes with their hubs, hubs with each other
	Hybrid      TopologyMode = "hybrid"        // hub-and-spoke plus explicit links
)

// A RoutingMode says how routes come about.
type RoutingMode string

const (
	Static RoutingMode = "static" // they are part of the plan
	BGP    RoutingMode = "bgp"    // gateways learn them of each other
)

// A Daemon is a program that speaks BGP.
type Daemon string

const (
	FRR  Daemon = "frr"
	BIRD Daemon = "bird"
)

// A PathPreference says what somebody thinks of the way between two places.
type PathPreference string

const (
	PreferPath PathPreference = "prefer" // before any other
	AvoidPath  PathPreference = "avoid"  // only where there is no other
)

// MaxTunnels bounds the parallel tunnels between two gateways: more only help where there are more cores and more limits per flow.
const MaxTunnels = 16

// MaxCores is what Linux runs on at most, by far (NR_CPUS of distributions: 8192).
const MaxCores = 8192

// MaxPrepend bounds how many times a place's AS number is put before a path once more: paths on the Internet have some five ASes, and none wins with ten more.
const MaxPrepend = 10

// ParseInterval reads an interval of BFD, such as "300ms" or "1s", and returns milliseconds: from 50, below which a lost packet or two is a lost neighbour on any
// machine that is not idle, to 10 s.
func ParseInterval(s string) (int, error) {
	const want = "want 50ms to 10s, as 100ms, 300ms or 1s"
	number, scale := "", 1
	if n, ok := strings.CutSuffix(s, "ms"); ok {
		number = n
	} else if n, ok := strings.CutSuffix(s, "s"); ok {
		number, scale = n, 1000
	}
	if number == "" || number[0] < '1' || number[0] > '9' || len(number) > 5 {
		return 0, errors.New(want)
	}
	n, err := strconv.Atoi(number)
	if err != nil || n*scale < 50 || n*scale > 10000 {
		return 0, errors.New(want)
	}
	return n * scale, nil
}

// A Kind says what sort of place it is.
type Kind string

const (
	Region Kind = "region" // a cloud region
	Site   Kind = "site"   // anything else
)

// A Protocol is what a service speaks. ICMP means ICMPv6 where the packet is IPv6.
type Protocol string

const (
	TCP  Protocol = "tcp"
	UDP  Protocol = "udp"
	ICMP Protocol = "icmp"
)

// A Service is a protocol and, for TCP and UDP, an inclusive range of destination ports. For ICMP both ends are 0.
type Service struct {
	Protocol    Protocol
	First, Last uint16
}

// ParseService reads "tcp/443", "tcp/8000-8100", "udp/53" or "icmp".
func ParseService(s string) (Service, error) {
	proto, ports, found := strings.Cut(s, "/")
	switch p := Protocol(proto); p {
	case ICMP:
		if found {
			return Service{}, fmt.Errorf("icmp takes no port")
		}
		return Service{Protocol: ICMP}, nil
	case TCP, UDP:
		first, last, ranged := strings.Cut(ports, "-")
		a, errA := parsePort(first)
		b := a
		var errB error
		if ranged {
			b, errB = parsePort(last)
		}
		if errA != nil || errB != nil || b < a {
			return Service{}, fmt.Errorf("ports go from 1 to 65535, the lower first")
		}
		return Service{p, a, b}, nil
	}
	return Service{}, fmt.Errorf("want tcp/PORT, tcp/FIRST-LAST, udp/PORT or icmp")
}

func parsePort(s string) (uint16, error) {
	if s == "" || s[0] < '1' || s[0] > '9' { // no sign, no leading zero
		return 0, strconv.ErrSyntax
	}
	n, err := strconv.ParseUint(s, 10, 16)
	return uint16(n), err
}

// Contains reports whether other is part of s.
func (s Service) Contains(other Service) bool {
	return s.Protocol == other.Protocol && s.First <= other.First && other.Last <= s.Last
}

// String returns what ParseService reads.
func (s Service) String() string {
	switch {
	case s.Protocol == ICMP:
		return string(ICMP)
	case s.First == s.Last:
		return fmt.Sprintf("%s/%d", s.Protocol, s.First)
	}
	return fmt.Sprintf("%s/%d-%d", s.Protocol, s.First, s.Last)
}

// MarshalText implements encoding.TextMarshaler.
func (s Service) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *Service) UnmarshalText(text []byte) (err error) {
	*s, err = ParseService(string(text))
	return err
}

var label = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)

// ValidName reports whether s is a DNS label in lower case (RFC 1123, section 2.1): the only form a name of anything may have,
// so that no name ever needs escaping.
func ValidName(s string) bool { return label.MatchString(s) }

// An Endpoint is where a gateway's WireGuard port is reached: a canonical IP address or a DNS name, and a UDP port.
// The zero value means that it cannot be reached and dials out.
type Endpoint struct {
	Host string
	Port uint16
}

// IsZero reports whether there is no endpoint.
func (e Endpoint) IsZero() bool { return e.Host == "" }

// Addr returns the host as an address; ok is false where it is a DNS name or empty.
func (e Endpoint) Addr() (addr netip.Addr, ok bool) {
	addr, err := netip.ParseAddr(e.Host)
	return addr, err == nil
}

// String returns "203.0.113.10:51820", "[2001:db8::1]:51820", "gw.example.net:51820", or "" for no endpoint.
func (e Endpoint) String() string {
	if e.IsZero() {
		return ""
	}
	if strings.Contains(e.Host, ":") {
		return fmt.Sprintf("[%s]:%d", e.Host, e.Port)
	}
	return fmt.Sprintf("%s:%d", e.Host, e.Port)
}

// ParseEndpoint reads what Endpoint.String returns; an empty text is no endpoint.
func ParseEndpoint(s string) (Endpoint, error) {
	if s == "" {
		return Endpoint{}, nil
	}
	i := strings.LastIndexByte(s, ':')
	if i < 0 {
		return Endpoint{}, fmt.Errorf("want HOST:PORT")
	}
	port, err := parsePort(s[i+1:])
	if err != nil {
		return Endpoint{}, fmt.Errorf("want a port from 1 to 65535")
	}
	host := s[:i]
	if bracketed := strings.HasPrefix(host, "[") && strings.HasSuffix(host, "]"); bracketed {
		host = host[1 : len(host)-1]
	} else if strings.Contains(host, ":") {
		return Endpoint{}, fmt.Errorf("an IPv6 address stands in brackets")
	}
	if !ValidHost(host) {
		return Endpoint{}, fmt.Errorf("want an IP address or a DNS name")
	}
	return Endpoint{host, port}, nil
}

// ValidHost reports whether s is a canonical IP address without a zone, or a DNS name of lower-case labels with at most 253
// bytes. A last label of digits only is an address gone wrong, and refused (RFC 3696, section 2).
func ValidHost(s string) bool {
	if addr, err := netip.ParseAddr(s); err == nil {
		return addr.Zone() == "" && !addr.Is4In6() && addr.String() == s
	}
	labels := strings.Split(s, ".")
	for _, l := range labels {
		if !ValidName(l) {
			return false
		}
	}
	last := labels[len(labels)-1]
	return len(s) <= 253 && strings.Trim(last, "0123456789") != ""
}

// MarshalText implements encoding.TextMarshaler.
func (e Endpoint) MarshalText() ([]byte, error) { return []byte(e.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (e *Endpoint) UnmarshalText(text []byte) (err error) {
	*e, err = ParseEndpoint(string(text))
	return err
}
