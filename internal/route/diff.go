package route

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"net/netip"
	"slices"

	"ropeway/internal/plan"
)

// An Op is what a Change does.
type Op string

const (
	AddNexthop     Op = "add nexthop"
	ReplaceNexthop Op = "replace nexthop" // moves every route that names it
	AddRoute       Op = "add route"
	ReplaceRoute   Op = "replace route"
	DeleteRoute    Op = "delete route"
	DeleteNexthop  Op = "delete nexthop"
)

// A Change is one step from what is to what is wanted.
type Change struct {
	Op      Op      `json:"op"`
	Device  string  `json:"device,omitempty"` // that packets leave by
	Nexthop Nexthop `json:"nexthop,omitzero"` // of the Ops that name it
	Route   Route   `json:"route,omitzero"`
}

// String returns a line such as "add route 10.20.0.0/16 dev rw0 mtu 1420".
func (c Change) String() string {
	switch c.Op {
	case AddRoute, ReplaceRoute:
		return fmt.Sprintf("%s %s dev %s mtu %d", c.Op, c.Route.Prefix, c.Device, c.Route.MTU)
	case DeleteRoute:
		return fmt.Sprintf("%s %s", c.Op, c.Route.Prefix)
	case DeleteNexthop:
		return fmt.Sprintf("%s %d", c.Op, c.Nexthop.ID)
	}
	return fmt.Sprintf("%s %d dev %s", c.Op, c.Nexthop.ID, c.Device)
}

// An id of a nexthop object of ours says what it is for: the highest bit, 14 bits of the device's slot, 16 of the MTU, one of the family.
//
// Routes of another MTU take another object, because the kernel remembers what it looked up with the nexthop (fib_nh_common.nhc_rth_input
// and nhc_pcpu_rth_output in net/ipv4/route.c): routes that share an object share the MTU of the one that was used first.
const (
	firstID    uint32 = 1 << 31
	slots             = 1 << 14
	deviceBits uint32 = firstID | (slots-1)<<17
)

// nexthopID returns the id of a device's object for an MTU and a family.
func nexthopID(base uint32, mtu int, is6 bool) uint32 {
	id := base | uint32(mtu)<<1
	if is6 {
		id++
	}
	return id
}

// ids gives every device a slot, by a hash of its name, so that a device keeps its ids whatever others come and go. Where two share a
// slot the later name takes the next one. What it returns is the device's part of its ids.
func ids(devices []string) map[string]uint32 {
	slices.Sort(devices)
	out, taken := map[string]uint32{}, map[uint32]bool{}
	for _, d := range slices.Compact(devices) {
		h := fnv.New32a()
		_, _ = h.Write([]byte(d))
		slot := h.Sum32() % slots
		for taken[slot] {
			slot = (slot + 1) % slots
		}
		taken[slot] = true
		out[d] = firstID | slot<<17
	}
	return out
}

// desired is what a plan makes of the routes: State, and the device of every nexthop object.
func desired(want []*plan.Route) State {
	var devices []string
	n := 0
	for _, g := range want {
		devices = append(devices, g.Device)
		n += len(g.Prefixes)
	}
	base := ids(devices)
	s := State{Routes: make([]Route, 0, n)}
	used := map[Nexthop]bool{}
	for _, g := range want {
		for _, p := range g.Prefixes {
			is6 := p.Addr().Is6()
			id := nexthopID(base[g.Device], g.MTU, is6)
			used[Nexthop{id, g.Device, is6}] = true
			s.Routes = append(s.Routes, Route{Prefix: p, Metric: metric(p), Nexthop: id, MTU: g.MTU, Locked: is6})
		}
	}
	for h := range used {
		s.Nexthops = append(s.Nexthops, h)
	}
	s.sort()
	return s
}

func (s *State) sort() {
	slices.SortFunc(s.Nexthops, func(a, b Nexthop) int { return cmp.Compare(a.ID, b.ID) })
	if !slices.IsSortedFunc(s.Routes, compareRoutes) {
		slices.SortFunc(s.Routes, compareRoutes)
	}
}

func compareRoutes(a, b Route) int {
	return cmp.Or(a.Prefix.Compare(b.Prefix), cmp.Compare(a.Metric, b.Metric))
}

// check refuses a plan that no route table can be.
func check(want []*plan.Route, routes []Route) error {
	for _, g := range want {
		if !validDevice(g.Device) {
			return fmt.Errorf("routes to %s: they leave by something that is no device of the fabric", g.Peer)
		}
	}
	for i := 1; i < len(routes); i++ {
		if routes[i].Prefix == routes[i-1].Prefix {
			return fmt.Errorf("the plan routes the prefix %s twice", routes[i].Prefix)
		}
	}
	return nil
}

// Diff returns the steps that lead from have to want, in the order in which they are safe: nexthop objects come before the routes that name them
// and go after them, and prefixes are added before others are deleted, so that what is covered by both is never without a route. have is sorted.
func Diff(want []*plan.Route, have State) []Change { return diff(desired(want), have) }

func diff(want, have State) []Change {
	device := make(map[uint32]string, len(want.Nexthops))
	var changes, last []Change
	for _, w := range want.Nexthops {
		device[w.ID] = w.Device
		at := slices.IndexFunc(have.Nexthops, func(h Nexthop) bool { return h.ID == w.ID })
		switch {
		case at < 0:
			changes = append(changes, Change{Op: AddNexthop, Device: w.Device, Nexthop: w})
		case have.Nexthops[at] != w:
			changes = append(changes, Change{Op: ReplaceNexthop, Device: w.Device, Nexthop: w})
		}
	}
	for _, h := range have.Nexthops {
		if _, wanted := device[h.ID]; !wanted {
			last = append(last, Change{Op: DeleteNexthop, Nexthop: h})
		}
	}
	var gone []Change
	for w, h := want.Routes, have.Routes; len(w) > 0 || len(h) > 0; {
		order := 1
		switch {
		case len(h) == 0:
			order = -1
		case len(w) > 0:
			order = compareRoutes(w[0], h[0])
		}
		switch {
		case order < 0:
			changes = append(changes, Change{Op: AddRoute, Device: device[w[0].Nexthop], Route: w[0]})
			w = w[1:]
		case order > 0:
			gone = append(gone, Change{Op: DeleteRoute, Route: h[0]})
			h = h[1:]
		default:
			if w[0] != h[0] {
				changes = append(changes, Change{Op: ReplaceRoute, Device: device[w[0].Nexthop], Route: w[0]})
			}
			w, h = w[1:], h[1:]
		}
	}
	return slices.Concat(changes, gone, last)
}

// prefixes of changes of one kind.
func prefixesOf(changes []Change, op Op, keep func(netip.Prefix) bool) map[netip.Prefix]bool {
	out := map[netip.Prefix]bool{}
	for _, c := range changes {
		if c.Op == op && keep(c.Route.Prefix) {
			out[c.Route.Prefix] = true
		}
	}
	return out
}
