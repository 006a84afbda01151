// Package prefixes is the algebra of address sets written as lists of prefixes.
//
// A list is normal when it is sorted by netip.Prefix.Compare (family, address, length) and no prefix lies within another. Prefixes are never merged: what a person wrote
// stays recognisable in a plan, and changing one prefix changes nothing else.
package prefixes

import (
	"net/netip"
	"slices"
)

// Covers reports whether every address of inner is in outer.
func Covers(outer, inner netip.Prefix) bool {
	return outer.Bits() <= inner.Bits() && outer.Contains(inner.Addr())
}

// Normal returns the list in normal form. The argument is left alone.
func Normal(list []netip.Prefix) []netip.Prefix { return normalize(slices.Clone(list)) }

// normalize brings a list into normal form, where it lies.
func normalize(sorted []netip.Prefix) []netip.Prefix {
	slices.SortFunc(sorted, netip.Prefix.Compare) // what covers comes before what is covered, and nothing else between
	out := sorted[:0]
	for _, p := range sorted {
		if n := len(out); n == 0 || !Covers(out[n-1], p) {
			out = append(out, p)
		}
	}
	return slices.Clip(out)
}

// Union returns what is in any of the lists, in normal form.
func Union(lists ...[]netip.Prefix) []netip.Prefix {
	return normalize(slices.Concat(lists...))
}

// Merge returns what is in a or in b, in normal form; a and b are normal. Where one is short the other is copied, not compared.
func Merge(a, b []netip.Prefix) []netip.Prefix {
	out := make([]netip.Prefix, 0, len(a)+len(b))
	for len(a) > 0 && len(b) > 0 {
		if b[0].Compare(a[0]) < 0 {
			a, b = b, a
		}
		n, _ := slices.BinarySearchFunc(a, b[0], netip.Prefix.Compare)
		out, a = append(out, a[:max(n, 1)]...), a[max(n, 1):]
		for len(b) > 0 && Covers(out[len(out)-1], b[0]) {
			b = b[1:]
		}
	}
	return append(append(out, a...), b...)
}

// Intersect returns what is in both a and b, in normal form; a and b are normal.
func Intersect(a, b []netip.Prefix) []netip.Prefix {
	var out []netip.Prefix
	for i, j := 0, 0; i < len(a) && j < len(b); {
		switch p, q := a[i], b[j]; {
		case Covers(p, q):
			out = append(out, q)
			j++
		case Covers(q, p):
			out = append(out, p)
			i++
		case p.Compare(q) < 0:
			i++
		default: // a place has few prefixes, and a fabric many
			next, _ := slices.BinarySearchFunc(b[j:], p, netip.Prefix.Compare)
			j += max(1, next-1) // the one before may cover p
		}
	}
	return out
}

// Overlaps reports whether a and b, both normal, share an address.
func Overlaps(a, b []netip.Prefix) bool {
	for i, j := 0, 0; i < len(a) && j < len(b); {
		switch p, q := a[i], b[j]; {
		case p.Overlaps(q):
			return true
		case p.Compare(q) < 0:
			i++
		default:
			j++
		}
	}
	return false
}

// Subtract returns what is in a and not in b, in normal form; a and b are normal. Where b takes a piece out of a prefix, the
// rest is split into the fewest prefixes.
func Subtract(a, b []netip.Prefix) []netip.Prefix {
	var out []netip.Prefix
	for _, p := range a {
		for len(b) > 0 && b[0].Compare(p) < 0 && !Covers(b[0], p) {
			b = b[1:] // nor does it touch what follows
		}
		out = subtractOne(out, p, b)
	}
	return out
}

func subtractOne(out []netip.Prefix, p netip.Prefix, b []netip.Prefix) []netip.Prefix {
	if b = touching(b, p); len(b) == 0 {
		return append(out, p)
	} else if Covers(b[0], p) {
		return out
	}
	low, high := halves(p)
	return subtractOne(subtractOne(out, low, b), high, b)
}

// touching returns the part of a normal list that shares addresses with a prefix: one that covers it, or all that lie in it.
func touching(list []netip.Prefix, p netip.Prefix) []netip.Prefix {
	from := 0
	for from < len(list) && list[from].Compare(p) < 0 && !Covers(list[from], p) {
		from++
	}
	to := from
	for to < len(list) && list[to].Overlaps(p) {
		to++
	}
	return list[from:to]
}

// halves splits a prefix that is not a single address.
func halves(p netip.Prefix) (low, high netip.Prefix) {
	low = netip.PrefixFrom(p.Addr(), p.Bits()+1)
	bytes := p.Addr().AsSlice()
	bytes[p.Bits()/8] |= 0x80 >> (p.Bits() % 8)
	upper, _ := netip.AddrFromSlice(bytes)
	return low, netip.PrefixFrom(upper, p.Bits()+1)
}

// Last returns the last address of a prefix.
func Last(p netip.Prefix) netip.Addr {
	bytes := p.Addr().AsSlice()
	for i := p.Bits(); i < len(bytes)*8; i++ {
		bytes[i/8] |= 0x80 >> (i % 8)
	}
	last, _ := netip.AddrFromSlice(bytes)
	return last
}
