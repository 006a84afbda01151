package adopt

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	"ropeway/internal/intent"
	"ropeway/internal/prefixes"
)

// A claim says that packets for a prefix are sent to a machine.
type claim struct {
	prefix netip.Prefix
	of     *machine
	by     []*machine
}

// leastBits6 is the length of the widest IPv6 prefix that is taken for a place's.
const leastBits6 = 16

// divide gives every machine the prefixes that lie behind it, so that no two overlap.
func (m *maker) divide() {
	var kept []claim
	for _, c := range m.claims() {
		if m.believes(c) {
			kept = append(kept, c)
		}
	}
	kept = slices.DeleteFunc(kept, func(c claim) bool { // a part of what the machine has anyway
		return slices.ContainsFunc(kept, func(o claim) bool { return o.of == c.of && o.prefix != c.prefix && prefixes.Covers(o.prefix, c.prefix) })
	})
	// The narrowest first, as packets would go; of the same the one that most believe in.
	slices.SortStableFunc(kept, func(a, b claim) int {
		return cmp.Or(cmp.Compare(b.prefix.Bits(), a.prefix.Bits()), a.prefix.Compare(b.prefix), cmp.Compare(len(b.by), len(a.by)), cmp.Compare(a.of.name, b.of.name))
	})
	var given []claim
	for _, c := range kept {
		if i := slices.IndexFunc(given, func(g claim) bool { return g.prefix.Overlaps(c.prefix) }); i >= 0 {
			m.note(c.of, fmt.Sprintf("%s is sent to it, and %s to %s, so it is left out here", c.prefix, given[i].prefix, given[i].of.name), "an address belongs to one place; name what this one really has")
			continue
		}
		given = append(given, c)
		c.of.prefixes = append(c.of.prefixes, c.prefix)
	}
	for _, of := range m.machines {
		m.fallBack(of, &given)
		slices.SortFunc(of.prefixes, netip.Prefix.Compare)
	}
}

// claims returns what is sent to whom and can be a place's prefix. Addresses inside the tunnels are noted with their machine instead.
func (m *maker) claims() []claim {
	nets := m.tunnels()
	var out []claim
	for _, of := range m.machines {
		all := make([]netip.Prefix, 0, len(of.claims))
		for p := range of.claims {
			all = append(all, p)
		}
		slices.SortFunc(all, netip.Prefix.Compare)
		for _, p := range all {
			switch why := intent.Unusable(p); {
			case p.Bits() == 0:
				m.note(of, "others send everything to it ("+p.String()+")", "a way out to the Internet is not part of this version; name the prefixes that it really has")
			case why != "" || p.Addr().Is6() && p.Bits() < leastBits6:
				if why == "" {
					why = "is wider than any place"
				}
				m.note(of, fmt.Sprintf("others send %s to it, which %s", p, why), "it is left out")
			case slices.Contains(of.tunnel, p):
			case p.IsSingleIP() && slices.ContainsFunc(nets, func(n netip.Prefix) bool { return n.Contains(p.Addr()) }):
				of.tunnel = append(of.tunnel, p)
			case slices.ContainsFunc(nets, func(n netip.Prefix) bool { return n.Overlaps(p) && n.Bits() <= p.Bits() }):
				// a part of the tunnels' own network: Ropeway gives addresses of its own there
			default:
				out = append(out, claim{p, of, of.claims[p]})
			}
		}
	}
	return out
}

// tunnels returns the networks that the tunnels' addresses are of.
func (m *maker) tunnels() []netip.Prefix {
	var out []netip.Prefix
	for _, of := range m.machines {
		for _, c := range of.configs {
			for _, a := range c.Addresses {
				out = append(out, a.Masked())
			}
		}
	}
	return out
}

// believes reports whether a claim says what lies behind a machine. What a machine itself sends on to somebody else lies behind that one.
func (m *maker) believes(c claim) bool {
	for _, config := range c.of.configs {
		for _, p := range config.Peers {
			next := m.byKey[p.Public]
			if next == nil || next == c.of {
				continue
			}
			for _, a := range p.Allowed {
				if a.Bits() == 0 || !a.Overlaps(c.prefix) {
					continue
				}
				if a.Bits() > c.prefix.Bits() {
					m.note(c.of, fmt.Sprintf("others send %s to it, and it sends %s of that on to %s, so what of it is its own is not told", c.prefix, a, next.name), "name the prefixes that it has itself")
				}
				return false
			}
		}
	}
	return true
}

// fallBack gives a machine of which no prefix was told its own addresses, which others reached until now.
func (m *maker) fallBack(of *machine, given *[]claim) {
	if len(of.prefixes) > 0 {
		return
	}
	for _, p := range of.tunnel {
		taken := slices.ContainsFunc(*given, func(g claim) bool { return g.prefix.Overlaps(p) })
		if taken || intent.Unusable(p) != "" || slices.Contains(of.prefixes, p) {
			continue
		}
		of.prefixes = append(of.prefixes, p)
		*given = append(*given, claim{prefix: p, of: of})
	}
	if len(of.prefixes) > 0 {
		m.note(of, "no prefix behind it is told, so its address in the tunnels stands for it", "name what lies behind it")
	}
}
