package intent

import (
	"iter"
	"slices"

	"ropeway/internal/fabric"
)

// Bytes that WireGuard and the outer headers add to an inner packet: 8 for UDP, 16 for the message header, 16 for the tag, and 20 for
// IPv4 or 40 for IPv6 (WireGuard whitepaper, section 5.4.6).
const (
	overhead4 = 60
	overhead6 = 80
)

// Overhead returns the bytes that a packet grows by on the link between two gateways: 60 where the path is known to be IPv4,
// because at least one end has an endpoint and every endpoint is an IPv4 address; 80 otherwise, since a DNS name may be IPv6.
func Overhead(a, b *Gateway) int {
	if ipv4Only(a, b) {
		return overhead4
	}
	return overhead6
}

// ipv4Only reports whether the outer packets between two gateways are known to be IPv4: at least one end has an endpoint and
// every endpoint is an IPv4 address.
func ipv4Only(a, b *Gateway) bool {
	known := false
	for _, g := range [2]*Gateway{a, b} {
		if g.Endpoint.IsZero() {
			continue
		}
		if addr, ok := g.Endpoint.Addr(); !ok || !addr.Is4() {
			return false
		}
		known = true
	}
	return known
}

// CarriesIPv6 reports whether a place owns an IPv6 prefix.
func (f *Fabric) CarriesIPv6() bool {
	for _, p := range f.Places {
		for _, prefix := range p.Prefixes {
			if prefix.Addr().Is6() {
				return true
			}
		}
	}
	return false
}

// Joined returns every pair of places that have tunnels between them, A before B in file order, sorted by A then B. UnderlayMTU
// is never 0: it is the link's own figure, or the smaller of both places'; nor is Tunnels. Position is zero where the topology alone joins the two.
func (f *Fabric) Joined() iter.Seq[Link] {
	return func(yield func(Link) bool) {
		explicit := f.explicit()
		for i, a := range f.Places {
			written := explicit[a]
			for _, b := range f.Places[i+1:] {
				link, ok := written[b] // a nil map is cheap to ask
				if !ok {
					if !f.joins(a, b) {
						continue
					}
					link = Link{A: a, B: b}
				}
				if link.Tunnels == 0 {
					link.Tunnels = max(1, f.Routing.Tunnels)
				}
				if link.UnderlayMTU == 0 {
					link.UnderlayMTU = min(a.UnderlayMTU, b.UnderlayMTU)
				}
				if !yield(link) {
					return
				}
			}
		}
	}
}

// joins reports whether the topology by itself joins two places.
func (f *Fabric) joins(a, b *Place) bool {
	if f.Topology == fabric.Mesh || a.Hub && b.Hub {
		return true
	}
	return slices.Contains(a.Hubs, b) || slices.Contains(b.Hubs, a)
}

// explicit returns the links of the file by both ends, the one that comes first in it before the other.
func (f *Fabric) explicit() map[*Place]map[*Place]Link {
	order := make(map[*Place]int, len(f.Places))
	for i, p := range f.Places {
		order[p] = i
	}
	byEnds := map[*Place]map[*Place]Link{}
	for _, l := range f.Links {
		if order[l.A] > order[l.B] {
			l.A, l.B = l.B, l.A
		}
		if byEnds[l.A] == nil {
			byEnds[l.A] = map[*Place]Link{}
		}
		byEnds[l.A][l.B] = l
	}
	return byEnds
}
