package verify

import (
	"cmp"
	"slices"

	"ropeway/internal/intent"
	"ropeway/internal/plan"
)

// Failures checks the plan again for the loss of each gateway and of each link, and reports what breaks that held before.
//
// Routes do not change when something is lost, so a packet that crosses the lost thing dies and every other one goes on as before.
// Hence one pass over all pairs tells everything: each pair names the gateways and links that it crosses, there and back.
func Failures(p *plan.Fabric, facts Facts, in *intent.Fabric) []Failure {
	m := New(p, facts)
	before := m.Check(in)
	l := newLosses(m, before)
	w := m.world
	var judges [workers]*judge
	var notes [workers][]note
	parallel(len(w.byPlace), func(worker, a int) {
		if judges[worker] == nil {
			judges[worker] = newJudge(m, w)
		}
		for b := range w.byPlace {
			if a != b {
				notes[worker] = l.places(judges[worker], int32(a), int32(b), notes[worker])
			}
		}
	})
	return l.write(slices.Concat(notes[:]...))
}

// losses are the things that can be lost, and the tests that hold while nothing is.
type losses struct {
	m     *Model
	names []string // of things: gateways first, then links
	links map[[2]int32]int32
	holds set // tests
}

// A note says that the loss of a thing cuts what access promises between two places, or breaks a test.
type note struct {
	thing    int32
	from, to int32 // places; nobody where it is about a test
	test     int32
}

func newLosses(m *Model, before *Report) *losses {
	l := &losses{m: m, links: map[[2]int32]int32{}, holds: newSet(len(before.Tests))}
	for i, t := range before.Tests {
		if t.OK && t.Expect == intent.Reachable {
			l.holds.add(i)
		}
	}
	for i := range m.gateways {
		l.names = append(l.names, "gateway "+m.gateways[i].Name)
	}
	for i := range m.devices {
		x := &m.devices[i]
		for k := range x.sessions {
			if s := &x.sessions[k]; s.fault == noFault {
				pair := linkOf(x.gateway, m.devices[s.far].gateway)
				if _, known := l.links[pair]; !known {
					l.links[pair] = int32(len(l.names))
					l.names = append(l.names, linkName(m.gateways[pair[0]].Name, m.gateways[pair[1]].Name))
				}
			}
		}
	}
	return l
}

func linkOf(a, b int32) [2]int32 { return [2]int32{min(a, b), max(a, b)} }

func linkName(a, b string) string { return "link " + min(a, b) + " " + max(a, b) }

// places notes what the pairs of two places cross, one way.
func (l *losses) places(j *judge, from, to int32, notes []note) []note {
	w := j.w
	for _, rowA := range w.byPlace[from] {
		for _, rowB := range w.byPlace[to] {
			j.rows(side{from, w.rows[rowA]}, side{to, w.rows[rowB]})
			if j.forward.end != arrived || j.backward.end != arrived {
				continue // nothing here holds that could break
			}
			promised, tests := false, newSet(len(w.in.Tests))
			for _, a := range w.byRow[rowA] {
				for _, b := range w.byRow[rowB] {
					v := j.way(&j.forward, &j.backward, &w.classes[a], &w.classes[b])
					promised = promised || v.due.meets(v.both)
					left, right := w.spec.testFrom[w.classes[a].kind], w.spec.testTo[w.classes[b].kind]
					for i := range tests {
						tests[i] |= left[i] & right[i] & l.holds[i]
					}
				}
			}
			notes = l.crossed(j, promised, tests, note{from: from, to: to}, notes)
		}
	}
	return notes
}

// crossed notes for everything on the ways walked last that its loss cuts a promise or breaks tests.
func (l *losses) crossed(j *judge, promised bool, tests set, n note, notes []note) []note {
	add := func(thing int32) {
		if promised {
			notes = append(notes, note{thing, n.from, n.to, nobody})
		}
		for i := tests.firstOfBoth(tests, 0); i >= 0; i = tests.firstOfBoth(tests, i+1) {
			notes = append(notes, note{thing, nobody, nobody, int32(i)})
		}
	}
	if !promised && tests.empty() {
		return notes
	}
	for i, h := range j.forward.hops {
		add(h)
		if i > 0 {
			add(l.links[linkOf(j.forward.hops[i-1], h)])
		}
	}
	if j.forward.same(&j.backward) && len(j.forward.hops) < 4 { // the same links, too
		return notes
	}
	for i, h := range j.backward.hops {
		add(h)
		if i > 0 {
			add(l.links[linkOf(j.backward.hops[i-1], h)])
		}
	}
	return notes
}

// write sorts the notes by thing.
func (l *losses) write(notes []note) []Failure {
	slices.SortFunc(notes, func(a, b note) int {
		return cmp.Or(cmp.Compare(a.thing, b.thing), cmp.Compare(a.from, b.from), cmp.Compare(a.to, b.to), cmp.Compare(a.test, b.test))
	})
	notes = slices.Compact(notes)
	out := make([]Failure, len(l.names))
	for i, name := range l.names {
		out[i] = Failure{Lost: name, Broken: []string{}, Tests: []int{}}
	}
	for _, n := range notes {
		f := &out[n.thing]
		if n.test != nobody {
			f.Tests = append(f.Tests, int(n.test)+1)
		} else {
			f.Broken = append(f.Broken, l.m.places[n.from].Name+" → "+l.m.places[n.to].Name)
		}
	}
	for i := range out {
		slices.Sort(out[i].Broken)
	}
	gateways := len(l.m.gateways)
	slices.SortStableFunc(out[gateways:], func(a, b Failure) int { return cmp.Compare(a.Lost, b.Lost) })
	return out
}
