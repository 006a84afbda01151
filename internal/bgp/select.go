package bgp

import (
	"fmt"
	"net/netip"
	"strings"

	"ropeway/internal/fabric"
)

// Select returns the routes that somebody means: those to a prefix and what is within it, or to the longest one that has an address; all for "". What is neither is an
// error, whatever the routes.
func Select(routes []Route, of string) ([]Route, error) {
	keep := func(netip.Prefix) bool { return true }
	if of != "" {
		if addr, err := netip.ParseAddr(of); err == nil {
			longest := netip.Prefix{}
			for _, r := range routes {
				if r.Prefix.Contains(addr) && (!longest.IsValid() || r.Prefix.Bits() > longest.Bits()) {
					longest = r.Prefix
				}
			}
			keep = func(p netip.Prefix) bool { return p == longest }
		} else {
			within, err := netip.ParsePrefix(of)
			if err != nil {
				return nil, fmt.Errorf("look up routes: %w", err)
			}
			within = within.Masked()
			keep = func(p netip.Prefix) bool { return p.Bits() >= within.Bits() && within.Contains(p.Addr()) }
		}
	}
	out := []Route{}
	for _, r := range routes {
		if keep(r.Prefix) {
			out = append(out, r)
		}
	}
	return out, nil
}

// Words writes an AS path, tags or communities as people read them.
func Words[T uint32 | fabric.Community](list []T) string {
	return strings.Trim(fmt.Sprint(list), "[]")
}
