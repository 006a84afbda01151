package verify

import (
	"net/netip"
	"slices"

	"ropeway/internal/diag"
	"ropeway/internal/plan"
	"ropeway/internal/prefixes"
)

// Where gateways speak BGP, a plan says whom they tell what and whom they believe, and not where packets go. The prover works that out for itself: it finds the sessions
// that can be up under the facts (meet.go), plays them until nobody has anything new to say (hear.go), and puts what everybody then has into the plan as if it had been
// written there (derive.go). All that follows judges tables, and does not know where they came from.
//
// What is played is plan.BGP's own small language. Prefixes that the same gateways announce, and that the same lists accept, fare alike and are played once.

// A convergence is the sessions of a plan, and what comes of them.
type convergence struct {
	m           *Model // of the plan as it is: who is there, and which tunnels work
	speakers    []speaker
	filters     *pool          // lists that neighbours accept: they lead no packets, so they are not in the model's pool
	accepts     map[listID]int // those lists, by their number in it
	lists       [][]netip.Prefix
	opinionated bool // something else than the length of the AS path comes first somewhere
	kinds       []*kind
	problems    diag.List // of sessions
}

// A speaker is a gateway's daemon.
type speaker struct {
	*plan.BGP
	gateway  int32
	sessions []exchange
	routers  []*plan.Neighbor // of its place
	drained  bool
}

// A loss is what is lost beside what the facts say: a gateway, or all links between two; nobody where none is.
type loss struct {
	gateway int32
	link    [2]int32
}

// noLoss is what is lost while nothing is.
func noLoss() loss { return loss{nobody, [2]int32{nobody, nobody}} }

// severs reports whether a session between two gateways is lost.
func (l *loss) severs(a, b int32) bool {
	return a == l.gateway || b == l.gateway || linkOf(a, b) == l.link
}

// speaks reports whether some gateway of a plan has somebody to speak BGP with. A plan that was derived has nobody.
func speaks(p *plan.Fabric) bool {
	return slices.ContainsFunc(p.Gateways, func(g *plan.Gateway) bool { return g != nil && g.BGP != nil && len(g.BGP.Neighbors) > 0 })
}

// converged returns the plan with the routes that BGP leads to, the lists of prefixes that were read of it, and what is wrong with its sessions.
func converged(p *plan.Fabric, facts Facts) (derived *plan.Fabric, lists *pool, problems diag.List) {
	c := newConvergence(p, facts)
	t := c.tables(c.playAll(), noLoss())
	return t.plan(), c.m.pool, slices.Concat(c.problems, t.problems())
}

// newConvergence finds the sessions of a plan and what is announced over them.
func newConvergence(p *plan.Fabric, facts Facts) *convergence {
	c := &convergence{m: bare(p, facts), filters: newPool(), accepts: map[listID]int{}}
	c.speakers = make([]speaker, len(c.m.gateways))
	for i := range c.m.gateways {
		g := &c.m.gateways[i]
		s := speaker{BGP: g.BGP, gateway: int32(i), drained: slices.Contains(facts.Drained, g.Name)}
		if s.BGP == nil {
			s.BGP = &plan.BGP{}
		}
		c.opinionated = c.opinionated || s.drained
		c.speakers[i] = s
	}
	c.meet()
	c.kinds = c.sortPrefixes()
	return c
}

// bare returns a model that knows who is there and which sessions of WireGuard there are, and nothing of what they carry.
func bare(p *plan.Fabric, facts Facts) *Model {
	m := &Model{plan: p, facts: newConditions(facts), pool: newPool(), numbers: map[string]int32{}, placeNumbers: map[string]int32{}, lost: noLoss()}
	m.index()
	m.connect()
	return m
}

// A kind is prefixes that fare alike.
type kind struct {
	prefixes []netip.Prefix
	origins  []origin // sorted by gateway
	accepted []bool   // by list
	v4       bool
}

// An origin is a gateway that has a prefix of its place: because it originates it, or because a router of the place announces it.
type origin struct {
	gateway int32
	router  *plan.Neighbor // nil: it originates it
}

// originOf returns where a kind begins at a gateway; known tells whether it does.
func (k *kind) originOf(g int32) (o origin, known bool) {
	i, known := slices.BinarySearchFunc(k.origins, g, func(o origin, g int32) int { return int(o.gateway - g) })
	if !known {
		return origin{}, false
	}
	return k.origins[i], true
}

// sortPrefixes sorts everything that is announced into kinds.
func (c *convergence) sortPrefixes() []*kind {
	origins := map[netip.Prefix][]origin{}
	note := func(o origin, p netip.Prefix) {
		if list := origins[p]; len(list) == 0 || list[len(list)-1].gateway != o.gateway {
			origins[p] = append(list, o)
		}
	}
	for i := range c.speakers {
		s := &c.speakers[i]
		if c.m.gateways[i].down {
			continue
		}
		for _, p := range s.Own {
			note(origin{int32(i), nil}, p)
		}
		for _, r := range s.routers { // which is taken to announce what it may, of what the place owns
			for _, p := range r.Accept {
				if c.owns(int32(i), p) {
					note(origin{int32(i), r}, p)
				}
			}
		}
	}
	order := make([]netip.Prefix, 0, len(origins))
	for p := range origins {
		order = append(order, p)
	}
	slices.SortFunc(order, netip.Prefix.Compare)
	return c.group(order, origins)
}

// group makes one kind of all prefixes that begin at the same gateways and that the same lists accept.
func (c *convergence) group(order []netip.Prefix, origins map[netip.Prefix][]origin) (out []*kind) {
	type key struct{ origins, accepted string }
	known := map[key]*kind{}
	for _, p := range order {
		k := &kind{origins: origins[p], accepted: make([]bool, len(c.lists)), v4: p.Addr().Is4()}
		begins, marks := []byte{}, make([]byte, len(c.lists)+1)
		for _, o := range k.origins {
			turn := 0
			if o.router != nil {
				turn = 1 + slices.Index(c.speakers[o.gateway].routers, o.router)
			}
			begins = append(begins, byte(o.gateway), byte(o.gateway>>8), byte(o.gateway>>16), byte(turn), byte(turn>>8))
		}
		for n, list := range c.lists {
			if k.accepted[n] = covered(list, p); k.accepted[n] {
				marks[n] = 1
			}
		}
		if k.v4 {
			marks[len(c.lists)] = 1
		}
		id := key{string(begins), string(marks)}
		if known[id] == nil {
			known[id] = k
			out = append(out, k)
		}
		known[id].prefixes = append(known[id].prefixes, p)
	}
	return out
}

// owns reports whether a prefix lies in what the place of a gateway owns.
func (c *convergence) owns(g int32, p netip.Prefix) bool {
	whole, found := c.m.pool.longest(c.m.gateways[g].own, p.Addr())
	return found && prefixes.Covers(whole, p)
}

// covered reports whether a list in normal form has a prefix that this one lies in.
func covered(list []netip.Prefix, p netip.Prefix) bool {
	at, exact := slices.BinarySearchFunc(list, p, netip.Prefix.Compare)
	return exact || at > 0 && prefixes.Covers(list[at-1], p)
}
