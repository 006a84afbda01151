package verify

import (
	"net/netip"
	"slices"

	"ropeway/internal/prefixes"
)

// atoms cut the address space, IPv4 and then IPv6, at every boundary of a prefix: between two boundaries no prefix tells two
// addresses apart.
type atoms struct {
	starts []netip.Addr // the first address of each, in order
	spans  []span       // by number of prefix: the atoms that it covers
}

// A span is the atoms from lo to before hi, and the length of the prefix that covers them.
type span struct {
	lo, hi int32
	bits   uint8
}

// cut makes atoms of every prefix in the pool.
func cut(p *pool) *atoms {
	bounds := []netip.Addr{netip.IPv4Unspecified(), netip.IPv6Unspecified()}
	for _, prefix := range p.prefixes {
		bounds = append(bounds, prefix.Addr())
		if next := prefixes.Last(prefix).Next(); next.IsValid() { // the last of IPv4 ends where IPv6 begins
			bounds = append(bounds, next)
		}
	}
	slices.SortFunc(bounds, netip.Addr.Compare)
	a := &atoms{starts: slices.Compact(bounds)}
	for _, prefix := range p.prefixes {
		a.spans = append(a.spans, a.span(prefix))
	}
	return a
}

// span finds the atoms of a prefix whose boundaries are known.
func (a *atoms) span(p netip.Prefix) span {
	lo := a.at(p.Addr())
	last := a.at(prefixes.Last(p))
	return span{int32(lo), int32(last + 1), uint8(p.Bits())}
}

// at returns the atom that holds an address.
func (a *atoms) at(addr netip.Addr) int {
	i, exact := slices.BinarySearchFunc(a.starts, addr, netip.Addr.Compare)
	if !exact {
		i--
	}
	return i
}

// each calls f with disjoint spans that cover a list, in order, each with the longest prefix that covers it.
func (a *atoms) each(list []int32, f func(s span)) {
	var around []span // prefixes that hold the place where we are, the innermost last
	pos := int32(0)
	emit := func(to int32, bits uint8) {
		if pos < to {
			f(span{pos, to, bits})
		}
		pos = to
	}
	for _, n := range list {
		s := a.spans[n]
		for len(around) > 0 && around[len(around)-1].hi <= s.lo {
			last := around[len(around)-1]
			emit(last.hi, last.bits)
			around = around[:len(around)-1]
		}
		if len(around) > 0 {
			emit(s.lo, around[len(around)-1].bits)
		}
		around = append(around, s)
		pos = s.lo
	}
	for i := len(around) - 1; i >= 0; i-- {
		emit(around[i].hi, around[i].bits)
	}
}
