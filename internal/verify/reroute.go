package verify

import (
	"slices"

	"ropeway/internal/intent"
	"ropeway/internal/plan"
)

// rerouted proves a plan again for the loss of each gateway and of each link, with the ways that BGP finds then, and reports what breaks that held before.
func rerouted(p *plan.Fabric, facts Facts, in *intent.Fabric) []Failure {
	m := New(p, facts)
	before := m.Check(in)
	l := newLosses(m, before)
	dead := m.dead()
	out := make([]Failure, len(l.names))
	ends := make([][2]int32, len(l.names))
	for pair, n := range l.links {
		ends[n] = pair
	}
	parallel(len(l.names), func(_, i int) {
		then := facts
		if i < len(m.gateways) {
			then.Down = append(slices.Clone(facts.Down), m.gateways[i].Name)
		} else {
			then.Cut = append(slices.Clone(facts.Cut), Link{m.gateways[ends[i][0]].Name, m.gateways[ends[i][1]].Name})
		}
		out[i] = lost(l, dead, New(p, then), in, l.names[i])
	})
	slices.SortFunc(out[len(m.gateways):], byLost)
	return out
}

// lost says what does not hold any more under a loss.
func lost(l *losses, before map[[2]int32]bool, after *Model, in *intent.Fabric, name string) Failure {
	f := Failure{Lost: name, Broken: []string{}, Tests: []int{}}
	for i, t := range after.Check(in).Tests {
		if l.holds.has(i) && !t.OK {
			f.Tests = append(f.Tests, i+1)
		}
	}
	for pair := range after.dead() {
		if !before[pair] {
			f.Broken = append(f.Broken, l.m.places[pair[0]].Name+" → "+l.m.places[pair[1]].Name)
		}
	}
	slices.Sort(f.Broken)
	return f
}

// dead returns the pairs of places of which access promises something that does not pass. The plan was checked.
func (m *Model) dead() map[[2]int32]bool {
	w, out := m.world, map[[2]int32]bool{}
	j := newJudge(m, w)
	for _, p := range w.badPlaces() {
		a, b := &w.classes[p.a], &w.classes[p.b]
		j.rows(side{a.owner, w.rows[a.row]}, side{b.owner, w.rows[b.row]})
		if j.way(&j.forward, &j.backward, a, b).flags&broken != 0 {
			out[[2]int32{a.owner, b.owner}] = true
		}
		if j.way(&j.backward, &j.forward, b, a).flags&broken != 0 {
			out[[2]int32{b.owner, a.owner}] = true
		}
	}
	return out
}
