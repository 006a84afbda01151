package verify

import (
	"net/netip"
	"slices"

	"ropeway/internal/intent"
	"ropeway/internal/plan"
)

// rerouted proves a plan again for the loss of each gateway and of each link, with the ways that BGP finds then, and reports what breaks that held before.
//
// Most of it goes on as before. What a loss does to a kind of prefixes is played again only where somebody's choice leads over what is lost: taking away what nobody chose
// changes no choice. And only pairs of places are judged again of which one owns such prefixes, or has lost a gateway.
func rerouted(p *plan.Fabric, facts Facts, in *intent.Fabric) []Failure {
	r := &rerouting{c: newConvergence(p, facts), facts: facts, in: in}
	r.choices = r.c.playAll()
	whole := r.c.tables(r.choices, noLoss())
	m := newModel(whole.plan(), facts)
	report := m.Check(in)
	r.losses = newLosses(m, report)
	for i, t := range report.Tests {
		if t.OK { // what is denied may get through by another way, too
			r.losses.holds.add(i)
		}
	}
	r.doubts = whole.doubts()
	r.before = m.breaks(r.losses.holds, nil, nil)
	out := make([]Failure, len(r.losses.names))
	lost := r.each()
	parallel(len(out), func(_, i int) { out[i] = r.lose(lost[i], r.losses.names[i]) })
	slices.SortFunc(out[len(m.gateways):], byLost)
	return out
}

// A rerouting is what is known while nothing is lost.
type rerouting struct {
	c       *convergence
	facts   Facts
	in      *intent.Fabric
	choices []choice
	losses  *losses
	doubts  map[doubt]bool
	before  breakage
}

// each returns every loss, in the order of their names.
func (r *rerouting) each() []loss {
	out := make([]loss, len(r.losses.names))
	for i := range r.c.m.gateways {
		out[i] = loss{int32(i), noLoss().link}
	}
	for pair, n := range r.losses.links {
		out[n] = loss{nobody, pair}
	}
	return out
}

// lose says what does not hold any more under a loss.
func (r *rerouting) lose(l loss, name string) Failure {
	f := Failure{Lost: name, Broken: []string{}, Tests: []int{}}
	choices, places := r.replay(l)
	if len(places) == 0 {
		return f
	}
	then, gateways := r.facts, r.c.m.gateways
	if l.gateway != nobody {
		then.Down = append(slices.Clone(then.Down), gateways[l.gateway].Name)
	} else {
		then.Cut = append(slices.Clone(then.Cut), Link{gateways[l.link[0]].Name, gateways[l.link[1]].Name})
	}
	t := r.c.tables(choices, l)
	m := newModel(t.plan(), then)
	m.draw(r.in)
	doubts := t.doubts()
	for d := range r.doubts {
		delete(doubts, d) // it did not hold before
	}
	after := m.breaks(r.losses.holds, places, doubts)
	for n := after.tests.firstOfBoth(after.tests, 0); n >= 0; n = after.tests.firstOfBoth(after.tests, n+1) {
		f.Tests = append(f.Tests, n+1)
	}
	for pair := range after.pairs {
		if !r.before.pairs[pair] {
			f.Broken = append(f.Broken, m.places[pair[0]].Name+" → "+m.places[pair[1]].Name)
		}
	}
	slices.Sort(f.Broken)
	return f
}

// replay returns what gateways choose under a loss, and the places of which a pair may fare otherwise than before.
func (r *rerouting) replay(l loss) (choices []choice, places map[int32]bool) {
	choices, places = slices.Clone(r.choices), map[int32]bool{}
	for i, k := range r.c.kinds {
		if !r.c.leadsOver(k, r.choices[i], l) {
			continue
		}
		choices[i] = r.c.play(k, l)
		for _, p := range k.prefixes {
			for n := range r.c.m.places {
				if r.c.m.touches(int32(n), p) {
					places[int32(n)] = true
				}
			}
		}
	}
	if l.gateway != nobody && r.c.m.gateways[l.gateway].place != nobody {
		places[r.c.m.gateways[l.gateway].place] = true
	}
	if r.c.m.routedOver(l) {
		for n := range r.c.m.places {
			places[int32(n)] = true
		}
	}
	return choices, places
}

// leadsOver reports whether somebody's choice leads over what is lost, or begins there.
func (c *convergence) leadsOver(k *kind, have choice, l loss) bool {
	if have == nil {
		return true
	}
	if _, begins := k.originOf(l.gateway); begins {
		return true
	}
	for g, best := range have {
		for i := range best {
			if n := best[i].session; n >= 0 && l.severs(int32(g), c.speakers[g].sessions[n].far) {
				return true
			}
		}
	}
	return false
}

// touches reports whether a place owns part of a prefix.
func (m *Model) touches(place int32, p netip.Prefix) bool {
	return slices.ContainsFunc(m.places[place].Prefixes, p.Overlaps)
}

// routedOver reports whether a route that the plan itself has leads over what is lost, for addresses that a place owns.
func (m *Model) routedOver(l loss) bool {
	for i := range m.gateways {
		g := &m.gateways[i]
		for _, r := range g.Routes {
			if r == nil || !l.severs(int32(i), m.named(r.Peer, nobody)) {
				continue
			}
			for _, p := range r.Prefixes {
				for n := range m.places {
					if m.touches(int32(n), p) {
						return true
					}
				}
			}
		}
	}
	return false
}

// A doubt is packets for a place that a gateway, or the router of a place, shares between ways that are not alike, so that nothing is proven of them.
type doubt struct {
	router bool
	at     int32 // gateway or place
	to     int32 // place
}

// doubts returns them.
func (t *tables) doubts() map[doubt]bool {
	out := map[doubt]bool{}
	note := func(router bool, at int32, kind int) {
		for n := range t.c.m.places {
			if slices.ContainsFunc(t.kinds[kind].prefixes, func(p netip.Prefix) bool { return t.c.m.touches(int32(n), p) }) {
				out[doubt{router, at, int32(n)}] = true
			}
		}
	}
	for _, s := range t.shared {
		if s.place != nobody {
			note(true, s.place, s.kind)
		} else {
			note(false, s.gateway, s.kind)
		}
	}
	for devices, kinds := range t.unlike {
		for _, k := range kinds {
			note(false, t.c.m.devices[devices[0]].gateway, k)
		}
	}
	return out
}

// crossedBy reports whether a way meets a doubt.
func crossedBy(doubts map[doubt]bool, w *way, from, to int32) bool {
	if len(doubts) == 0 {
		return false
	}
	return doubts[doubt{true, from, to}] || slices.ContainsFunc(w.hops, func(g int32) bool { return doubts[doubt{false, g, to}] })
}

// A breakage is the pairs of places of which access promises something that does not pass, and the tests that do not hold.
type breakage struct {
	pairs map[[2]int32]bool
	tests set
}

// breaks judges the pairs of places of which one is among some; all where that is nil. The plan was drawn. Of tests it looks at those that are named.
func (m *Model) breaks(tests set, some map[int32]bool, doubts map[doubt]bool) breakage {
	w, j := m.world, newJudge(m, m.world)
	out := breakage{map[[2]int32]bool{}, make(set, len(tests))}
	for a := range w.byPlace {
		for b := range w.byPlace {
			from, to := int32(a), int32(b)
			if a == b || some != nil && !some[from] && !some[to] {
				continue
			}
			for _, rowA := range w.byPlace[a] {
				for _, rowB := range w.byPlace[b] {
					if w.rowsWorthy(rowA, rowB) {
						j.rows(side{from, w.rows[rowA]}, side{to, w.rows[rowB]})
						unsure := crossedBy(doubts, &j.forward, from, to) || crossedBy(doubts, &j.backward, to, from)
						out.add(j, rowA, rowB, tests, unsure)
					}
				}
			}
		}
	}
	return out
}

// add judges the classes of two rows, whose ways were walked last.
func (o *breakage) add(j *judge, rowA, rowB int32, tests set, unsure bool) {
	w := j.w
	for _, x := range w.byRow[rowA] {
		for _, y := range w.byRow[rowB] {
			a, b := &w.classes[x], &w.classes[y]
			v := j.way(&j.forward, &j.backward, a, b)
			if v.flags&broken != 0 || unsure && !v.due.empty() {
				o.pairs[[2]int32{a.owner, b.owner}] = true
			}
			left, right := w.spec.testFrom[a.kind], w.spec.testTo[b.kind]
			for i := left.firstOfBoth(right, 0); i >= 0; i = left.firstOfBoth(right, i+1) {
				if tests.has(i) && (unsure || j.fails(v, &j.forward, &j.backward, i) != "") {
					o.tests.add(i)
				}
			}
		}
	}
}
