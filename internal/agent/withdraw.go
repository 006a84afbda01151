package agent

import (
	"net/netip"

	"ropeway/internal/plan"
	"ropeway/internal/route"
)

// stillWanted returns the routes that are there and whose prefixes the plan names, as they are; all reports that every one is.
func stillWanted(want []*plan.Route, have route.State) (kept []*plan.Route, all bool) {
	wanted := map[netip.Prefix]bool{}
	for _, r := range want {
		for _, p := range r.Prefixes {
			wanted[p] = true
		}
	}
	devices := map[uint32]string{}
	for _, n := range have.Nexthops {
		devices[n.ID] = n.Device
	}
	type group struct {
		device string
		mtu    int
	}
	groups := map[group]*plan.Route{}
	all = true
	for _, r := range have.Routes {
		g := group{devices[r.Nexthop], r.MTU}
		if !wanted[r.Prefix] {
			all = false
			continue
		}
		if g.device == "" {
			continue // not as we make them: the step that follows makes it anew
		}
		if groups[g] == nil {
			groups[g] = &plan.Route{Device: g.device, MTU: g.mtu}
			kept = append(kept, groups[g])
		}
		groups[g].Prefixes = append(groups[g].Prefixes, r.Prefix)
	}
	return kept, all
}
