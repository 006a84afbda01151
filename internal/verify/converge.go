package verify

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"ropeway/internal/diag"
	"ropeway/internal/plan"
	"ropeway/internal/prefixes"
)

// Where gateways speak BGP, a plan says whom they tell what and whom they believe, and not where packets go. The prover works that out for itself: it plays the sessions
// that can be up, under the facts, until nobody has anything new to say, and puts what everybody then has into the plan as if it had been written there. All that
// follows judges tables, and does not know where they came from.
//
// What is played is plan.BGP's own small language. Prefixes that the same gateways originate, and that the same lists accept, fare alike and are played once.
// Rounds are synchronous: each gateway chooses among what its neighbours had in the round before. A daemon hears one neighbour sooner than another; but where the
// rounds come to an end, every order of hearing does, and to the same, because a longer AS path is never better than the one that it was made from.

// A convergence is the sessions of a plan, and what comes of them.
type convergence struct {
	m        *Model // of the plan as it is: who is there, and which tunnels work
	speakers []speaker
	accepts  map[string]int // lists that neighbours accept, by their content
	lists    [][]netip.Prefix
	problems diag.List
}

// A speaker is a gateway's daemon.
type speaker struct {
	*plan.BGP
	gateway  int32
	sessions []exchange
	routers  []*plan.Neighbor // of its place
	drained  bool
}

// An exchange is one end of a session that is up.
type exchange struct {
	*plan.Neighbor
	far    int32 // gateway
	back   int   // number of its other end among the far gateway's
	device int32
	accept int // number of the list that this end accepts
}

// converged returns the plan with the routes that BGP leads to, and what is wrong with its sessions. A plan without BGP is returned as it is.
func converged(p *plan.Fabric, facts Facts) (*plan.Fabric, diag.List) {
	if !speaks(p) {
		return p, nil
	}
	c := &convergence{m: bare(p, facts), accepts: map[string]int{}}
	c.speakers = make([]speaker, len(c.m.gateways))
	for i := range c.m.gateways {
		g := &c.m.gateways[i]
		c.speakers[i] = speaker{BGP: g.BGP, gateway: int32(i), drained: slices.Contains(facts.Drained, g.Name)}
	}
	c.meet()
	out := newTables(c)
	for _, k := range c.kinds() {
		out.add(k.prefixes, c.play(k))
	}
	return out.plan(p), c.problems
}

// speaks reports whether some gateway of a plan speaks BGP.
func speaks(p *plan.Fabric) bool {
	return slices.ContainsFunc(p.Gateways, func(g *plan.Gateway) bool { return g != nil && g.BGP != nil })
}

// bare returns a model that knows who is there and which sessions of WireGuard there are, and nothing of what they carry.
func bare(p *plan.Fabric, facts Facts) *Model {
	m := &Model{plan: p, facts: newConditions(facts), pool: newPool(), numbers: map[string]int32{}, placeNumbers: map[string]int32{}}
	m.index()
	m.connect()
	return m
}

// meet finds the sessions that are up. What two ends say of one has to agree.
func (c *convergence) meet() {
	for i := range c.speakers {
		s := &c.speakers[i]
		if s.BGP == nil {
			continue
		}
		for _, n := range s.Neighbors {
			switch {
			case n == nil:
			case n.External():
				s.routers = append(s.routers, n)
			default:
				c.meetAt(s, n)
			}
		}
	}
	for i := range c.speakers {
		for k := range c.speakers[i].sessions {
			x := &c.speakers[i].sessions[k]
			x.back = slices.IndexFunc(c.speakers[x.far].sessions, func(y exchange) bool { return y.Address == x.Local && y.Local == x.Address })
		}
	}
	for i := range c.speakers {
		s := &c.speakers[i]
		s.sessions = slices.Clone(s.sessions)
	}
}

// meetAt adds a session of a gateway where its other end is there for it.
func (c *convergence) meetAt(s *speaker, n *plan.Neighbor) {
	g := &c.m.gateways[s.gateway]
	complain := func(message string) {
		c.problems = append(c.problems, diag.Problem{
			Code: "RW3034", Severity: diag.Error, Subject: "gateway " + g.Name, Message: fmt.Sprintf("its BGP session with %s at %s cannot come up: %s", n.Name, n.Address, message),
			Hint: "compile the plan again",
		})
	}
	at := slices.IndexFunc(g.devices, func(d int32) bool { return c.m.devices[d].Name == n.Device })
	if at < 0 || len(c.m.devices[g.devices[at]].sessions) != 1 {
		complain(fmt.Sprintf("device %s has not exactly one peer", n.Device))
		return
	}
	device := g.devices[at]
	x := &c.m.devices[device]
	session := &x.sessions[0]
	if session.far == nobody {
		return // the tunnel has a problem of its own
	}
	far := c.m.devices[session.far].gateway
	other := c.speakers[far].neighbor(n.Local, n.Address)
	switch {
	case !c.allows(device, n.Address) || !c.allows(session.far, n.Local):
		complain("the AllowedIPs of the two ends do not hold its addresses")
	case c.speakers[far].BGP == nil || other == nil || other.Device != c.m.devices[session.far].Name:
		complain(fmt.Sprintf("gateway %s does not speak with %s at %s", c.m.gateways[far].Name, n.Local, n.Address))
	case other.ASN != s.ASN || n.ASN != c.speakers[far].ASN:
		complain(fmt.Sprintf("the ends do not agree on their AS numbers: %d and %d here, %d and %d there", s.ASN, n.ASN, other.ASN, c.speakers[far].ASN))
	case session.fault == noFault && !g.down:
		s.sessions = append(s.sessions, exchange{Neighbor: n, far: far, device: device, accept: c.list(n.Accept)})
	}
}

// neighbor returns the session of a speaker that has these addresses, or nil.
func (s *speaker) neighbor(address, local netip.Addr) *plan.Neighbor {
	if s.BGP == nil {
		return nil
	}
	for _, n := range s.Neighbors {
		if n != nil && n.Address == address && n.Local == local {
			return n
		}
	}
	return nil
}

// allows reports whether an address belongs to the one peer of a device.
func (c *convergence) allows(device int32, a netip.Addr) bool {
	h := c.m.peerFor(device, a)
	return h.found && h.number == 0
}

// list numbers a list of what is accepted.
func (c *convergence) list(l []netip.Prefix) int {
	id := fmt.Sprint(l)
	n, known := c.accepts[id]
	if !known {
		n = len(c.lists)
		c.accepts[id] = n
		c.lists = append(c.lists, l)
	}
	return n
}

// A kind is prefixes that fare alike.
type kind struct {
	prefixes   []netip.Prefix
	originates []bool // by gateway
	accepted   []bool // by list
	v4         bool
}

// kinds sorts everything that is announced.
func (c *convergence) kinds() []*kind {
	origins := map[netip.Prefix][]int32{}
	var order []netip.Prefix
	note := func(g int32, list []netip.Prefix) {
		for _, p := range list {
			if origins[p] == nil {
				order = append(order, p)
			}
			if !slices.Contains(origins[p], g) {
				origins[p] = append(origins[p], g)
			}
		}
	}
	for i := range c.speakers {
		s := &c.speakers[i]
		if s.BGP == nil || c.m.gateways[i].down {
			continue
		}
		note(int32(i), s.Own)
		for _, r := range s.routers { // which is taken to announce all that it may
			note(int32(i), r.Accept)
		}
	}
	slices.SortFunc(order, netip.Prefix.Compare)
	byID := map[string]*kind{}
	var out []*kind
	for _, p := range order {
		k := &kind{originates: make([]bool, len(c.speakers)), accepted: make([]bool, len(c.lists)), v4: p.Addr().Is4()}
		id := []byte{0}
		if k.v4 {
			id[0] = 1
		}
		for _, g := range origins[p] {
			k.originates[g] = true
			id = fmt.Append(id, " ", g)
		}
		for n, list := range c.lists {
			if k.accepted[n] = covered(list, p); k.accepted[n] {
				id = fmt.Append(id, "+", n)
			}
		}
		known := byID[string(id)]
		if known == nil {
			known = k
			byID[string(id)] = k
			out = append(out, k)
		}
		known.prefixes = append(known.prefixes, p)
	}
	return out
}

// covered reports whether a sorted list of disjoint prefixes has one that a prefix lies in.
func covered(list []netip.Prefix, p netip.Prefix) bool {
	at, exact := slices.BinarySearchFunc(list, p, netip.Prefix.Compare)
	return exact || at > 0 && prefixes.Covers(list[at-1], p)
}

// A learnt is a route that a gateway has: from a neighbour, or its own.
type learnt struct {
	session         int // number of the neighbour's session; -1: originated here
	path            []uint32
	tags            []uint32
	localPreference uint32
	metric          uint32
	spoke           bool
}

// worse orders two routes as BGP decides (RFC 4271, section 9.1.2.2): 0 where packets are shared between them.
func worse(a, b *learnt) int {
	return cmp.Or(cmp.Compare(b.localPreference, a.localPreference), cmp.Compare(len(a.path), len(b.path)), cmp.Compare(a.metric, b.metric))
}

// play returns, for every gateway, the best routes to the prefixes of a kind: several where they are alike.
func (c *convergence) play(k *kind) [][]learnt {
	have := make([][]learnt, len(c.speakers))
	touched := make([]bool, len(c.speakers))
	for g, own := range k.originates {
		if own {
			have[g] = []learnt{{session: -1}}
			c.touch(touched, int32(g))
		}
	}
	for range 4*len(c.speakers) + 8 {
		next := make(map[int32][]learnt)
		for g := range c.speakers {
			if touched[g] && !k.originates[g] {
				if now := c.choose(k, have, &c.speakers[g]); !slices.EqualFunc(now, have[g], sameLearnt) {
					next[int32(g)] = now
				}
			}
		}
		clear(touched)
		for g, now := range next {
			have[g] = now
			c.touch(touched, g)
		}
		if len(next) == 0 {
			return have
		}
	}
	c.problems = append(c.problems, diag.Problem{
		Code: "RW3036", Severity: diag.Error, Subject: "fabric " + c.m.plan.Name, Message: fmt.Sprintf("gateways do not come to an end about the way to %s", k.prefixes[0]),
		Hint: "what neighbours prefer goes in a circle: compile the plan again",
	})
	return make([][]learnt, len(c.speakers))
}

func sameLearnt(a, b learnt) bool {
	return a.session == b.session && worse(&a, &b) == 0 && a.spoke == b.spoke && slices.Equal(a.path, b.path) && slices.Equal(a.tags, b.tags)
}

// touch notes those who hear of a change at a gateway.
func (c *convergence) touch(touched []bool, g int32) {
	for _, x := range c.speakers[g].sessions {
		touched[x.far] = true
	}
}

// choose returns the best of what a gateway's neighbours tell it.
func (c *convergence) choose(k *kind, have [][]learnt, s *speaker) []learnt {
	var best []learnt
	for n := range s.sessions {
		x := &s.sessions[n]
		r, told := c.told(k, have, s, x)
		if !told {
			continue
		}
		r.session = n
		switch order := 0; {
		case len(best) == 0:
			best = append(best, r)
		default:
			if order = worse(&r, &best[0]); order < 0 {
				best = append(best[:0], r)
			} else if order == 0 {
				best = append(best, r)
			}
		}
	}
	return best
}

// told returns what a neighbour tells of a kind and what it is worth here.
func (c *convergence) told(k *kind, have [][]learnt, s *speaker, x *exchange) (learnt, bool) {
	far := &c.speakers[x.far]
	if len(have[x.far]) == 0 || x.back < 0 || x.Address.Is4() != k.v4 || !k.accepted[x.accept] {
		return learnt{}, false
	}
	theirs, back := have[x.far][0], &far.sessions[x.back]
	own := theirs.session < 0
	switch {
	case own && back.Tell == plan.TellLearnt,
		!own && back.Tell == plan.TellOwn,
		!own && back.Tell == plan.TellSpokes && !theirs.spoke,
		slices.Contains(theirs.path, s.ASN),
		len(theirs.path)+1 > x.MaxHops:
		return learnt{}, false
	}
	r := learnt{path: append([]uint32{far.ASN}, theirs.path...), tags: theirs.tags, localPreference: 100, spoke: x.Spoke}
	if own {
		r.tags = append(slices.Clone(far.Tags), back.Tags...)
	}
	for _, p := range x.Prefer {
		if (p.Hops == 0 || p.Hops == len(r.path)) && (p.Tag == 0 || slices.Contains(r.tags, p.Tag)) {
			r.metric = p.Metric
			r.localPreference = cmp.Or(p.LocalPreference, 100)
			break
		}
	}
	if far.drained { // GRACEFUL_SHUTDOWN (RFC 8326)
		r.localPreference = 0
	}
	return r, true
}

// tables collects where everybody's packets go.
type tables struct {
	c        *convergence
	gateways []map[hop][]netip.Prefix
	places   []map[int32][]netip.Prefix // by gateway
	shared   map[[2]int32]netip.Prefix  // gateways that share packets though answers may come by another
}

// A hop is a device and the gateway behind it.
type hop struct{ device, peer int32 }

func newTables(c *convergence) *tables {
	t := &tables{c: c, gateways: make([]map[hop][]netip.Prefix, len(c.m.gateways)), places: make([]map[int32][]netip.Prefix, len(c.m.places)), shared: map[[2]int32]netip.Prefix{}}
	for i := range t.gateways {
		t.gateways[i] = map[hop][]netip.Prefix{}
	}
	for i := range t.places {
		t.places[i] = map[int32][]netip.Prefix{}
	}
	return t
}

// add notes where packets for the prefixes of a kind go.
func (t *tables) add(list []netip.Prefix, have [][]learnt) {
	for g, best := range have {
		if len(best) == 0 || best[0].session < 0 {
			continue
		}
		s := &t.c.speakers[g]
		x := &s.sessions[best[0].session]
		h := hop{x.device, x.far}
		t.gateways[g][h] = append(t.gateways[g][h], list...)
		for _, b := range best[1:] {
			if other := s.sessions[b.session].far; other != x.far {
				t.shared[[2]int32{x.far, other}] = list[0]
			}
		}
	}
	for p := range t.c.m.places {
		t.enter(int32(p), list, have)
	}
}

// enter notes which gateway a place's router takes for the prefixes of a kind, where it learns that: the one with the shortest AS path, then with the lowest metric.
func (t *tables) enter(p int32, list []netip.Prefix, have [][]learnt) {
	var first *learnt
	var at int32
	for _, g := range t.c.m.places[p].gateways {
		s := &t.c.speakers[g]
		if len(s.routers) == 0 || len(have[g]) == 0 || have[g][0].session < 0 || t.c.m.gateways[g].down {
			continue
		}
		r := have[g][0]
		r.localPreference = 0
		if s.drained {
			r.metric += drainMetric
		}
		switch {
		case first == nil || worse(&r, first) < 0:
			first, at = &r, g
		case worse(&r, first) == 0:
			t.shared[[2]int32{at, g}] = list[0]
		}
	}
	if first != nil {
		t.places[p][at] = append(t.places[p][at], list...)
	}
}

// drainMetric is bgp.DrainMetric: more than any other.
const drainMetric = 1 << 20

// plan returns the plan with the tables in it.
func (t *tables) plan(p *plan.Fabric) *plan.Fabric {
	m := t.c.m
	out := &plan.Fabric{Name: p.Name}
	for i := range m.places {
		out.Places = append(out.Places, t.place(int32(i)))
	}
	for i := range m.gateways {
		g := *m.gateways[i].Gateway
		g.Routes = slices.Clone(g.Routes)
		for h, list := range t.gateways[i] {
			x := &m.devices[h.device]
			if within := prefixes.Intersect(prefixes.Normal(list), prefixes.Normal(x.Peers[0].AllowedIPs)); len(within) > 0 {
				g.Routes = append(g.Routes, &plan.Route{Device: x.Name, Peer: m.gateways[h.peer].Name, MTU: x.MTU, Prefixes: within})
			}
		}
		slices.SortStableFunc(g.Routes, func(a, b *plan.Route) int {
			return cmp.Or(strings.Compare(a.Device, b.Device), strings.Compare(a.Peer, b.Peer))
		})
		out.Gateways = append(out.Gateways, &g)
	}
	for pair, prefix := range t.shared {
		a, b := m.gateways[pair[0]].Name, m.gateways[pair[1]].Name
		t.c.problems = append(t.c.problems, diag.Problem{
			Code: "RW3035", Severity: diag.Error, Subject: "gateway " + a, Message: fmt.Sprintf("packets for %s are shared between it and %s, so answers may come where the flow is not known", prefix, b),
			Hint: "give one of the two ways a lower metric: compile the plan again",
		})
	}
	return out
}

// place returns a place with what its router learns.
func (t *tables) place(n int32) *plan.Place {
	m := t.c.m
	p := *m.places[n].Place
	p.Routes = slices.Clone(p.Routes)
	for g, list := range t.places[n] {
		byOwner := map[int32][]netip.Prefix{}
		for _, prefix := range list {
			owner := m.ownerOf(prefix.Addr())
			byOwner[owner] = append(byOwner[owner], prefix)
		}
		for owner, part := range byOwner {
			to := ""
			if owner != nobody {
				to = m.places[owner].Name
			}
			p.Routes = append(p.Routes, &plan.RouterRoute{To: to, Gateway: m.gateways[g].Name, Prefixes: prefixes.Normal(part)})
		}
	}
	slices.SortStableFunc(p.Routes, func(a, b *plan.RouterRoute) int {
		return cmp.Or(strings.Compare(a.To, b.To), strings.Compare(a.Gateway, b.Gateway))
	})
	return &p
}
