package world

import (
	"net/netip"
	"slices"

	"ropeway/internal/intent"
	"ropeway/internal/prefixes"
)

// Representatives returns, for one prefix of a place, an address of every set of addresses that the fabric file tells apart: that
// is in one of them and not in another of the prefixes which segments, access and tests name. Sorted. None is one of taken, which
// other machines carry: a set that holds nothing else has no representative.
func Representatives(in *intent.Fabric, prefix netip.Prefix, taken ...netip.Addr) []netip.Addr {
	starts := map[netip.Addr]bool{prefix.Addr(): true}
	cut := func(list []netip.Prefix) {
		for _, p := range list {
			if !prefixes.Covers(prefix, p) {
				continue
			}
			starts[p.Addr()] = true
			if next := prefixes.Last(p).Next(); prefix.Contains(next) {
				starts[next] = true
			}
		}
	}
	for _, s := range in.Segments {
		cut(s.Prefixes)
	}
	for _, a := range in.Access {
		cut(a.From.Prefixes)
		cut(a.To.Prefixes)
	}
	for _, t := range in.Tests {
		cut(t.From.Prefixes)
		cut(t.To.Prefixes)
	}
	sorted := make([]netip.Addr, 0, len(starts))
	for a := range starts {
		sorted = append(sorted, a)
	}
	slices.SortFunc(sorted, netip.Addr.Compare)
	out := make([]netip.Addr, 0, len(sorted))
	for i, start := range sorted {
		end := prefixes.Last(prefix)
		if i+1 < len(sorted) {
			end = sorted[i+1].Prev()
		}
		if a := free(start, end, taken); a.IsValid() {
			out = append(out, a)
		}
	}
	return out
}

// free chooses the address of a run that stands for it, out of those that are not taken; the zero Addr where all are.
func free(start, end netip.Addr, taken []netip.Addr) netip.Addr {
	if a := within(start, end); !slices.Contains(taken, a) {
		return a
	}
	for a := start; ; a = a.Next() {
		if !slices.Contains(taken, a) {
			return a
		}
		if a == end {
			return netip.Addr{}
		}
	}
}

// within chooses the address of a run that stands for it: the second where there are at least four, since people give that one to
// machines and keep the first and the last for the subnet itself.
func within(start, end netip.Addr) netip.Addr {
	at := start
	for range 3 {
		if at == end {
			return start
		}
		at = at.Next()
	}
	return start.Next()
}
