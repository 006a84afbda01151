package reach

import (
	"net/netip"
	"slices"

	"ropeway/internal/fabric"
	"ropeway/internal/prefixes"
)

// A question is what to ask about one ordered pair of places: every combination of a source, a destination and a service.
type question struct {
	source       int // of its batch
	from, to     string
	sources      []group
	destinations []group
	services     []sort
	complete     bool // the services are all there are
	changed      bool // the files do not say the same of the pair
}

// A piece is addresses that no access entry tells apart, and one of them.
type piece struct {
	prefixes []netip.Prefix
	at       netip.Addr
}

// A sort is a kind of traffic that no access entry tells apart, and an example of it.
type sort struct {
	name    string
	example fabric.Service
	was, is int // what each plan has the example for
}

// A group is pieces of a place that neither plan tells apart, by what each plan has them for.
type group struct {
	prefixes []netip.Prefix
	four     bool  // of IPv4
	was, is  int32 // their class
}

// size returns how many pairs of groups there are. None is of two families.
func (q *question) size() int {
	from4, to4 := count4(q.sources), count4(q.destinations)
	return from4*to4 + (len(q.sources)-from4)*(len(q.destinations)-to4)
}

// count4 returns how many groups are of IPv4: they come first.
func count4(groups []group) int {
	if n := slices.IndexFunc(groups, func(g group) bool { return !g.four }); n >= 0 {
		return n
	}
	return len(groups)
}

// firsts returns the first group of each family.
func firsts(groups []group) []group {
	if n := count4(groups); n > 0 && n < len(groups) {
		return []group{groups[0], groups[n]}
	}
	return groups[:min(1, len(groups))]
}

// meets reports whether two groups are of one family.
func (g group) meets(o group) bool { return g.four == o.four }

// mention is what access says of the traffic between two places.
type mention struct {
	services []fabric.Service
	any      bool // some entry has no services, and so means every protocol
}

func (m *mention) add(services []fabric.Service) {
	m.services = append(m.services, services...)
	m.any = m.any || len(services) == 0
}

// anyProtocol is what an entry without services means.
const anyProtocol = "any protocol"

// cut returns, for each prefix of the list, what of it no longer prefix of the list is more precise about.
func cut(list []netip.Prefix) []piece {
	list = slices.Clone(list)
	slices.SortFunc(list, netip.Prefix.Compare) // what covers comes first
	list = slices.Compact(list)
	var out []piece
	for i, p := range list {
		end := i + 1
		for end < len(list) && prefixes.Covers(p, list[end]) {
			end++
		}
		rest := []netip.Prefix{p}
		if end > i+1 {
			rest = prefixes.Subtract(rest, prefixes.Normal(list[i+1:end]))
		}
		if len(rest) > 0 {
			out = append(out, piece{rest, rest[0].Addr()})
		}
	}
	return out
}

// sorts cuts the ports of all services at each other's ends, and adds what is left where some entry means every protocol.
func (m *mention) sorts() []sort {
	var out []sort
	for _, proto := range []fabric.Protocol{fabric.ICMP, fabric.TCP, fabric.UDP} {
		for _, s := range elementary(m.services, proto) {
			out = append(out, sort{name: s.String(), example: fabric.Service{Protocol: proto, First: s.First, Last: s.First}})
		}
	}
	if m.any {
		name := "other protocols"
		if len(out) == 0 {
			name = anyProtocol
		}
		out = append(out, sort{name: name, example: m.unnamed()})
	}
	return out
}

// elementary returns the ranges of one protocol, cut so that none overlaps another.
func elementary(services []fabric.Service, proto fabric.Protocol) []fabric.Service {
	var ends []int // where a range begins, and where the next one could
	for _, s := range services {
		if s.Protocol == proto {
			ends = append(ends, int(s.First), int(s.Last)+1)
		}
	}
	slices.Sort(ends)
	ends = slices.Compact(ends)
	var out []fabric.Service
	for i := 0; i+1 < len(ends); i++ {
		piece := fabric.Service{Protocol: proto, First: uint16(ends[i]), Last: uint16(ends[i+1] - 1)}
		if slices.ContainsFunc(services, func(s fabric.Service) bool { return s.Contains(piece) }) {
			out = append(out, piece)
		}
	}
	return out
}

// unnamed returns a service that no entry names: a port of UDP, or of TCP where they name all of UDP's, or else a ping.
func (m *mention) unnamed() fabric.Service {
	for _, proto := range []fabric.Protocol{fabric.UDP, fabric.TCP} {
		port := 1
		for _, s := range elementary(m.services, proto) { // ascending
			if port < int(s.First) {
				break
			}
			port = int(s.Last) + 1
		}
		if port <= 65535 {
			return fabric.Service{Protocol: proto, First: uint16(port), Last: uint16(port)}
		}
	}
	return fabric.Service{Protocol: fabric.ICMP}
}
