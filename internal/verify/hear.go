package verify

import (
	"cmp"
	"slices"

	"ropeway/internal/plan"
)

// Rounds are synchronous: each gateway chooses among what its neighbours had in the round before. Real daemons hear one neighbour sooner than another. Where the length of
// the AS path comes first everywhere, that makes no difference: who is nearest chooses once and for all, then who is next. Where an operator's word comes before
// (LocalPreference), two outcomes may both be stable, so what the rounds came to counts only if every gateway's choice follows from choices that stand (certain).

// A learnt is a route that a gateway has: from a neighbour, from a router of its place, or its own.
type learnt struct {
	worth
	session int      // number of the neighbour's session; -1: of this place
	path    []uint32 // AS numbers, the nearest first
	tags    []uint32
	router  bool // a router of the place announced it
	spoke   bool // he who told it is a spoke
	drained bool // a gateway on the way asks to be avoided: GRACEFUL_SHUTDOWN, which is passed on
}

// A worth is what decides between routes, in this order (RFC 4271, section 9.1.2.2).
type worth struct {
	localPreference uint32 // the higher the better
	hops            int    // of the AS path
	metric          uint32
}

// compare returns less than 0 where w is better, and 0 where packets are shared between the two.
func (w worth) compare(o worth) int {
	return cmp.Or(cmp.Compare(o.localPreference, w.localPreference), cmp.Compare(w.hops, o.hops), cmp.Compare(w.metric, o.metric))
}

// A choice is, for every gateway, the best routes to the prefixes of a kind: several where they are alike. It is nil where the gateways come to none.
type choice [][]learnt

// playAll plays every kind.
func (c *convergence) playAll() []choice {
	out := make([]choice, len(c.kinds))
	parallel(len(c.kinds), func(_, i int) { out[i] = c.play(c.kinds[i], noLoss()) })
	return out
}

// play plays one kind.
func (c *convergence) play(k *kind, l loss) choice {
	have := make(choice, len(c.speakers))
	h := newHearing(c)
	for _, o := range k.origins {
		if o.gateway != l.gateway {
			have[o.gateway] = []learnt{o.begin()}
			h.tell(k, o.gateway)
		}
	}
	if !h.settle(k, have, l, func(int32, []learnt) {}) || c.opinionated && !c.certain(k, have, l) {
		return nil
	}
	return have
}

// A hearing is who has heard something new of a kind, and has to choose again. Nobody has when it is over, so it serves for one after the other.
type hearing struct {
	c      *convergence
	marked []bool // by gateway: it is in the list
	list   []int32
	next   []rethought
}

// A rethought is a gateway with another choice than before.
type rethought struct {
	gateway int32
	now     []learnt
}

func newHearing(c *convergence) *hearing {
	return &hearing{c: c, marked: make([]bool, len(c.speakers))}
}

// tell notes those who hear of a change at a gateway: whoever accepts the kind from there.
func (h *hearing) tell(k *kind, g int32) {
	for i := range h.c.speakers[g].sessions {
		x := &h.c.speakers[g].sessions[i]
		if x.back >= 0 && k.accepted[h.c.speakers[x.far].sessions[x.back].accept] {
			h.hears(x.far)
		}
	}
}

func (h *hearing) hears(g int32) {
	if !h.marked[g] {
		h.marked[g] = true
		h.list = append(h.list, g)
	}
}

// settle lets gateways choose until nobody has anything new to say, and reports whether that came to an end. It tells of each change what a gateway had before.
func (h *hearing) settle(k *kind, have choice, l loss, changes func(g int32, was []learnt)) bool {
	for range 4*len(h.c.speakers) + 8 { // a path is as long as there are places at most, and a choice changes for each of its hops at most
		h.next = h.next[:0]
		for _, g := range h.list {
			if g == l.gateway {
				continue
			}
			if now := h.c.choose(k, have, g, l); !slices.EqualFunc(now, have[g], sameLearnt) {
				h.next = append(h.next, rethought{g, now})
			}
		}
		h.forget()
		if len(h.next) == 0 {
			return true
		}
		for _, n := range h.next {
			was := have[n.gateway]
			changes(n.gateway, was)
			have[n.gateway] = n.now
			if !soundsSame(was, n.now) {
				h.tell(k, n.gateway)
			}
		}
	}
	h.forget()
	return false
}

func (h *hearing) forget() {
	for _, g := range h.list {
		h.marked[g] = false
	}
	h.list = h.list[:0]
}

// begin returns the route that a gateway has of its own place.
func (o *origin) begin() learnt {
	if o.router == nil {
		return learnt{session: -1}
	}
	w := weigh(o.router, 1, func(uint32) bool { return false }) // by the path as the router told it, which is then taken off
	w.hops = 0
	return learnt{session: -1, router: true, spoke: o.router.Spoke, worth: w}
}

func sameLearnt(a, b learnt) bool {
	return a.session == b.session && a.worth == b.worth && a.spoke == b.spoke && a.drained == b.drained && slices.Equal(a.path, b.path) && slices.Equal(a.tags, b.tags)
}

// soundsSame reports whether neighbours are told the same of two choices: by which of several tunnels, and with which metric, a gateway has a route is its own business.
func soundsSame(a, b []learnt) bool {
	if len(a) == 0 || len(b) == 0 {
		return len(a) == len(b)
	}
	x, y := &a[0], &b[0]
	return (x.session < 0) == (y.session < 0) && x.spoke == y.spoke && x.drained == y.drained && slices.Equal(x.path, y.path) && slices.Equal(x.tags, y.tags)
}

// choose returns the best of what a gateway's neighbours tell it. What it originates itself goes before everything; what a router of its place announces does not.
func (c *convergence) choose(k *kind, have choice, g int32, l loss) []learnt {
	var best []int
	var most worth
	s := &c.speakers[g]
	if o, known := k.originOf(g); known {
		own := o.begin()
		if !own.router {
			return []learnt{own}
		}
		best, most = []int{-1}, own.worth
	}
	for n := range s.sessions {
		w, told := c.told(k, have, s, n, l)
		if !told {
			continue
		}
		order := -1
		if len(best) > 0 {
			order = w.compare(most)
		}
		if order < 0 {
			best, most = append(best[:0], n), w
		} else if order == 0 {
			best = append(best, n)
		}
	}
	var out []learnt
	for _, n := range best {
		if n < 0 {
			o, _ := k.originOf(g)
			out = append(out, o.begin())
			continue
		}
		out = append(out, c.take(have, s, n, most))
	}
	return out
}

// told returns what the route of a neighbour is worth here, if he tells it and it is believed.
func (c *convergence) told(k *kind, have choice, s *speaker, session int, l loss) (worth, bool) {
	x := &s.sessions[session]
	if len(have[x.far]) == 0 || x.back < 0 || !k.accepted[x.accept] || x.Address.Is4() != k.v4 || l.severs(s.gateway, x.far) {
		return worth{}, false
	}
	far := &c.speakers[x.far]
	theirs, back := &have[x.far][0], far.sessions[x.back].Neighbor
	own := theirs.session < 0
	switch hops := len(theirs.path) + 1; {
	case !theirs.toldTo(back), far.ASN == s.ASN, slices.Contains(theirs.path, s.ASN), hops > x.MaxHops:
		return worth{}, false
	default:
		w := weigh(x.Neighbor, hops, func(tag uint32) bool {
			return slices.Contains(theirs.tags, tag) || own && (slices.Contains(far.Tags, tag) || slices.Contains(back.Tags, tag))
		})
		if far.drained || theirs.drained {
			w.localPreference = 0 // whatever is preferred (RFC 8326)
		}
		return w, true
	}
}

// toldTo reports whether a neighbour is told the route, loops apart.
func (r *learnt) toldTo(n *plan.Neighbor) bool {
	own := r.session < 0
	switch n.Tell {
	case plan.TellOwn:
		return own
	case plan.TellSpokes:
		return own || r.spoke
	case plan.TellAll:
		return true
	case plan.TellLearnt:
		return r.session >= 0 // routers of one place hear each other without us
	}
	return false
}

// weigh returns what a route of so many hops and with these tags is worth, of a neighbour.
func weigh(n *plan.Neighbor, hops int, tagged func(uint32) bool) worth {
	w := worth{localPreference: plan.DefaultLocalPreference, hops: hops}
	for i := range n.Prefer {
		if p := &n.Prefer[i]; (p.Hops == 0 || p.Hops == hops) && (p.Tag == 0 || tagged(p.Tag)) {
			w.metric, w.localPreference = p.Metric, cmp.Or(p.LocalPreference, plan.DefaultLocalPreference)
			break
		}
	}
	return w
}

// take returns the route that a neighbour tells, as it is here.
func (c *convergence) take(have choice, s *speaker, session int, w worth) learnt {
	x := &s.sessions[session]
	far := &c.speakers[x.far]
	theirs := &have[x.far][0]
	r := learnt{worth: w, session: session, tags: theirs.tags, spoke: x.Spoke, drained: far.drained || theirs.drained}
	r.path = append(append(make([]uint32, 0, w.hops), far.ASN), theirs.path...)
	if theirs.session < 0 {
		r.tags = slices.Concat(far.Tags, far.sessions[x.back].Tags)
	}
	return r
}

// certain reports whether every order of hearing comes to this choice. One gateway after the other is made sure of: its choice stands if what it is told by those
// whose choice stands is better than whatever the others could ever tell it. Then nothing that they do can change it. It may say no where the answer is yes, never
// the other way round.
func (c *convergence) certain(k *kind, have choice, l loss) bool {
	a := &assurance{convergence: c, kind: k, have: have, lost: l, stands: make([]bool, len(c.speakers))}
	left := 0
	for g := range c.speakers {
		o, known := k.originOf(int32(g))
		if a.stands[g] = known && o.router == nil || int32(g) == l.gateway; !a.stands[g] {
			left++
		}
	}
	for left > 0 {
		a.approach()
		before := left
		for g := range c.speakers {
			if !a.stands[g] && a.settles(int32(g)) {
				a.stands[g] = true
				left--
			}
		}
		if left == before {
			return false
		}
	}
	return true
}

// An assurance is how far it is certain what gateways choose.
type assurance struct {
	*convergence
	kind    *kind
	have    choice
	lost    loss
	stands  []bool // by gateway
	nearest []int  // by gateway: how short the path can be at least that it comes to have; unreachable where it can have none
}

// unreachable is more hops than any path has.
const unreachable = 1 << 30

// open reports whether a session of a gateway can bring prefixes of the kind at all.
func (a *assurance) open(g int32, x *exchange) bool {
	return x.back >= 0 && a.kind.accepted[x.accept] && x.Address.Is4() == a.kind.v4 && !a.lost.severs(g, x.far)
}

// approach works out the nearest.
func (a *assurance) approach() {
	a.nearest = make([]int, len(a.speakers))
	for g := range a.nearest {
		a.nearest[g] = unreachable
		if a.stands[g] && len(a.have[g]) > 0 {
			a.nearest[g] = len(a.have[g][0].path)
		} else if _, known := a.kind.originOf(int32(g)); known && !a.stands[g] {
			a.nearest[g] = 0 // a router's announcement that another route may displace
		}
	}
	for again := true; again; {
		again = false
		for g := range a.speakers {
			for n := range a.speakers[g].sessions {
				x := &a.speakers[g].sessions[n]
				if a.stands[g] || !a.open(int32(g), x) || a.nearest[x.far]+1 >= a.nearest[g] {
					continue
				}
				if _, told := a.told(a.kind, a.have, &a.speakers[g], n, a.lost); told || !a.stands[x.far] {
					a.nearest[g], again = a.nearest[x.far]+1, true
				}
			}
		}
	}
}

// settles reports whether what a gateway chose comes of choices that stand, and is better than whatever it could be told by the others.
func (a *assurance) settles(g int32) bool {
	s := &a.speakers[g]
	for _, r := range a.have[g] {
		if r.session >= 0 && !a.stands[s.sessions[r.session].far] {
			return false
		}
	}
	for n := range s.sessions {
		x := &s.sessions[n]
		if hops := a.nearest[x.far] + 1; a.stands[x.far] || !a.open(g, x) || hops > x.MaxHops {
			continue
		} else if len(a.have[g]) == 0 || a.have[g][0].compare(a.most(x, hops)) >= 0 {
			return false
		}
	}
	return true
}

// most returns what a route of so many hops or more can be worth at best.
func (a *assurance) most(x *exchange, hops int) worth {
	w := worth{localPreference: plan.DefaultLocalPreference, hops: hops}
	for _, p := range x.Prefer {
		if p.Hops == 0 || p.Hops >= hops {
			w.localPreference = max(w.localPreference, p.LocalPreference)
		}
	}
	if a.speakers[x.far].drained {
		w.localPreference = 0
	}
	return w
}
