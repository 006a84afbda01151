package verify

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"

	"ropeway/internal/diag"
	"ropeway/internal/plan"
)

// A Learnt is a route that a gateway's daemon was seen to use: one of those that carry packets for the prefix.
type Learnt struct {
	Prefix netip.Prefix
	Device string // that packets leave by
	Path   []uint32
	Metric uint32
}

// WithRoutes returns the plan with the routes that gateways were seen to have, in place of those that BGP should lead to, and what keeps a proof of it from being certain.
// New takes the result as it is. A gateway of which nothing was seen (it is not among the keys) has what the plan promises of it under the facts. What a place's router
// chooses is worked out from what its gateways have, in either case.
func WithRoutes(p *plan.Fabric, facts Facts, seen map[string][]Learnt) (*plan.Fabric, diag.List) {
	if !speaks(p) {
		return p, nil
	}
	c := newConvergence(p, facts)
	promised := c.playAll()
	kinds, choices := c.observed(promised, seen)
	t := newTables(c, kinds, choices, noLoss())
	return t.plan(), slices.Concat(c.problems, t.problems())
}

// observed returns a kind for each prefix that is promised or was seen, and who has what of it.
func (c *convergence) observed(promised []choice, seen map[string][]Learnt) (kinds []*kind, choices []choice) {
	byPrefix := map[netip.Prefix]int{}
	at := func(p netip.Prefix, origins []origin) int {
		n, known := byPrefix[p]
		if !known {
			n = len(kinds)
			byPrefix[p] = n
			kinds = append(kinds, &kind{prefixes: []netip.Prefix{p}, origins: origins, v4: p.Addr().Is4()})
			choices = append(choices, make(choice, len(c.speakers)))
		}
		return n
	}
	watched := make([]bool, len(c.speakers))
	for i := range c.m.gateways {
		_, watched[i] = seen[c.m.gateways[i].Name]
	}
	for i, k := range c.kinds {
		for _, p := range k.prefixes {
			n := at(p, k.origins)
			for g := range promised[i] { // none where gateways come to no choice
				if have := promised[i][g]; !watched[g] || len(have) > 0 && have[0].session < 0 {
					choices[n][g] = have
				}
			}
		}
	}
	for i := range c.m.gateways {
		for _, x := range seen[c.m.gateways[i].Name] {
			if !x.Prefix.IsValid() {
				continue
			}
			n := at(x.Prefix.Masked(), nil)
			if have := choices[n][i]; len(have) == 0 || have[0].session >= 0 { // what is the place's own goes there
				s := c.session(int32(i), x.Device)
				choices[n][i] = append(have, learnt{session: s, path: x.Path, worth: worth{hops: len(x.Path), metric: x.Metric}, spoke: c.speakers[i].sessions[s].Spoke})
			}
		}
	}
	return kinds, choices
}

// session returns the number of a gateway's session over a device. Where none should be up but a route was seen, it makes one that nobody is at the other end of:
// packets leave by that device, whatever becomes of them.
func (c *convergence) session(g int32, name string) int {
	s := &c.speakers[g]
	if n := slices.IndexFunc(s.sessions, func(x exchange) bool { return x.Device == name }); n >= 0 {
		return n
	}
	x := exchange{Neighbor: &plan.Neighbor{Device: name}, far: nobody, back: -1, device: c.m.deviceNamed(g, name)}
	if x.device != nobody && len(c.m.devices[x.device].sessions) > 0 {
		x.far = c.m.devices[x.device].sessions[0].farGateway(c.m)
	}
	s.sessions = append(s.sessions, x)
	return len(s.sessions) - 1
}

// A Deviation is how a route that was seen differs from the promise.
type Deviation string

const (
	Missing    Deviation = "missing"    // it is promised, and the gateway does not have it
	Unexpected Deviation = "unexpected" // the gateway has it, and it is not promised
	Elsewhere  Deviation = "elsewhere"  // it leads over other devices than promised
)

// A Difference is one prefix of one gateway that is not as the plan promises.
type Difference struct {
	Gateway  string       `json:"gateway"`
	Prefix   netip.Prefix `json:"prefix"`
	What     Deviation    `json:"what"`
	Promised []string     `json:"promised,omitempty"` // devices, sorted
	Seen     []string     `json:"seen,omitempty"`
}

// Differences compares the routes that gateways were seen to have with those that BGP leads to under the facts, gateway by gateway and prefix by prefix. Of parallel tunnels
// it wants as many as the gateway shares packets between. Gateways of which nothing was seen are left out.
func Differences(p *plan.Fabric, facts Facts, seen map[string][]Learnt) []Difference {
	if !speaks(p) {
		return nil
	}
	c := newConvergence(p, facts)
	promised := c.devices(c.playAll())
	var out []Difference
	for i := range c.m.gateways {
		name := c.m.gateways[i].Name
		routes, watched := seen[name]
		if !watched {
			continue
		}
		have := map[netip.Prefix][]string{}
		for _, x := range routes {
			have[x.Prefix] = append(have[x.Prefix], x.Device)
		}
		for prefix, devices := range have {
			if promised[i][prefix] == nil {
				out = append(out, Difference{Gateway: name, Prefix: prefix, What: Unexpected, Seen: sortedNames(devices)})
			}
		}
		for prefix, devices := range promised[i] {
			d := Difference{Gateway: name, Prefix: prefix, What: Missing, Promised: sortedNames(devices), Seen: sortedNames(have[prefix])}
			if len(d.Seen) > 0 {
				d.What = Elsewhere
			}
			if !asPromised(d.Promised, d.Seen, c.speakers[i].MaxPaths) {
				out = append(out, d)
			}
		}
	}
	slices.SortFunc(out, func(a, b Difference) int {
		return cmp.Or(strings.Compare(a.Gateway, b.Gateway), a.Prefix.Compare(b.Prefix))
	})
	return out
}

// Promised returns, by gateway, to how many prefixes BGP gives it a route over a device of the fabric under the facts. It is far less work than to name them.
func Promised(p *plan.Fabric, facts Facts) map[string]int {
	out := map[string]int{}
	if !speaks(p) {
		return out
	}
	c := newConvergence(p, facts)
	for i, have := range c.playAll() {
		for g, best := range have {
			if len(best) > 0 && best[0].session >= 0 {
				out[c.m.gateways[g].Name] += len(c.kinds[i].prefixes)
			}
		}
	}
	return out
}

// asPromised reports whether a gateway uses as many of the devices that it may choose from as it shares packets between, and no other.
func asPromised(promised, seen []string, paths int) bool {
	for _, d := range seen {
		if !slices.Contains(promised, d) {
			return false
		}
	}
	return len(seen) == min(len(promised), max(1, paths))
}

// devices returns, for every gateway, the devices that packets for each prefix may leave by.
func (c *convergence) devices(choices []choice) []map[netip.Prefix][]string {
	out := make([]map[netip.Prefix][]string, len(c.speakers))
	for g := range out {
		out[g] = map[netip.Prefix][]string{}
	}
	for i, have := range choices {
		for g, best := range have {
			for _, r := range best {
				if r.session < 0 {
					continue
				}
				for _, p := range c.kinds[i].prefixes {
					out[g][p] = append(out[g][p], c.speakers[g].sessions[r.session].Device)
				}
			}
		}
	}
	return out
}

func sortedNames(list []string) []string { return slices.Compact(slices.Sorted(slices.Values(list))) }
