package reach

import (
	"net/netip"
	"slices"

	"ropeway/internal/fabric"
	"ropeway/internal/intent"
	"ropeway/internal/prefixes"
)

// A question is what to ask about one ordered pair of places: every combination of a source, a destination and a service.
type question struct {
	from, to     string
	sources      []piece
	destinations []piece
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
}

// mention is what the access of both files says about a pair of places.
type mention struct {
	sources, destinations []netip.Prefix
	services              []fabric.Service
	any                   bool // some entry has no services, and so means every protocol
}

type pair struct{ from, to string }

// anyProtocol is what an entry without services means.
const anyProtocol = "any protocol"

// ask returns the questions that the access of both files raises; each may be nil.
func ask(before, after *intent.Fabric) []question {
	was, is := mentions(before), mentions(after)
	out := make([]question, 0, len(is))
	for p, m := range is {
		both := m
		if old := was[p]; old != nil {
			both = m.with(old)
		}
		out = append(out, both.question(p, !m.equal(was[p])))
	}
	for p, m := range was {
		if is[p] == nil {
			out = append(out, m.question(p, true))
		}
	}
	slices.SortFunc(out, byPlaces)
	return out
}

func (m *mention) question(p pair, changed bool) question {
	return question{p.from, p.to, cut(m.sources), cut(m.destinations), m.sorts(), m.any, changed}
}

func (m *mention) with(o *mention) *mention {
	return &mention{
		slices.Concat(m.sources, o.sources), slices.Concat(m.destinations, o.destinations), slices.Concat(m.services, o.services), m.any || o.any,
	}
}

func (m *mention) equal(o *mention) bool {
	return o != nil && m.any == o.any && slices.Equal(m.sources, o.sources) && slices.Equal(m.destinations, o.destinations) && slices.Equal(m.services, o.services)
}

// mentions returns what a file says of each pair of places; it may be nil.
func mentions(in *intent.Fabric) map[pair]*mention {
	out := map[pair]*mention{}
	if in != nil {
		for _, a := range in.Access {
			note(out, in, &a)
		}
	}
	return out
}

// note adds one access entry to what it says about each pair of places.
func note(mentions map[pair]*mention, in *intent.Fabric, a *intent.Access) {
	from, to := shares(in, a.From), shares(in, a.To)
	for i, src := range from {
		for j, dst := range to {
			if i == j || src == nil || dst == nil {
				continue
			}
			p := pair{in.Places[i].Name, in.Places[j].Name}
			m := mentions[p]
			if m == nil {
				m = &mention{}
				mentions[p] = m
			}
			m.sources = append(m.sources, src...)
			m.destinations = append(m.destinations, dst...)
			m.services = append(m.services, a.Services...)
			m.any = m.any || len(a.Services) == 0
		}
	}
}

// shares returns what each place, by its number, has of a selector.
func shares(in *intent.Fabric, s intent.Selector) [][]netip.Prefix {
	out := make([][]netip.Prefix, len(in.Places))
	for i, p := range in.Places {
		out[i] = prefixes.Intersect(prefixes.Normal(p.Prefixes), s.Prefixes)
	}
	return out
}

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
			out = append(out, sort{s.String(), fabric.Service{Protocol: proto, First: s.First, Last: s.First}})
		}
	}
	if m.any {
		name := "other protocols"
		if len(out) == 0 {
			name = anyProtocol
		}
		out = append(out, sort{name, m.unnamed()})
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
