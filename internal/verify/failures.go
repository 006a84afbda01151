package verify

import (
	"cmp"
	"slices"

	"ropeway/internal/intent"
	"ropeway/internal/plan"
)

// Failures checks the plan again for the loss of each gateway and of each link, and reports what breaks that held before.
//
// Static routes do not change when something is lost, so a packet that crosses the lost thing dies and every other one goes on as before.
// Hence one pass over all pairs tells everything: each pair names the gateways and links that it crosses, there and back.
// Where gateways speak BGP routes do change, so each loss is proven anew (reroute.go).
func Failures(p *plan.Fabric, facts Facts, in *intent.Fabric) []Failure {
	if speaks(p) {
		return rerouted(p, facts, in)
	}
	m := New(p, facts)
	before := m.Check(in)
	l := newLosses(m, before)
	w := m.world
	var judges [workers]*judge
	var tallies [workers]*tally
	parallel(len(w.byPlace), func(worker, a int) {
		if judges[worker] == nil {
			judges[worker], tallies[worker] = newJudge(m, w), l.newTally()
		}
		for b := range w.byPlace {
			if a != b {
				l.places(judges[worker], tallies[worker], int32(a), int32(b))
			}
		}
	})
	return l.write(tallies[:])
}

// losses are the things that can be lost, and the tests that hold while nothing is.
type losses struct {
	m     *Model
	names []string // of things: gateways first, then links
	links map[[2]int32]int32
	holds set // tests
}

// A tally is what the loss of each thing breaks, as far as one worker has seen.
type tally struct {
	cut   [][][2]int32 // pairs of places
	tests []set        // nil where none
}

func (l *losses) newTally() *tally {
	return &tally{make([][][2]int32, len(l.names)), make([]set, len(l.names))}
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

// places tallies what the pairs of two places cross, one way.
func (l *losses) places(j *judge, t *tally, from, to int32) {
	w := j.w
	for _, rowA := range w.byPlace[from] {
		for _, rowB := range w.byPlace[to] {
			if !w.rowsWorthy(rowA, rowB) {
				continue
			}
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
			if promised || !tests.empty() {
				l.crossed(j, t, promised, tests, [2]int32{from, to})
			}
		}
	}
}

// crossed tallies everything on the ways walked last.
func (l *losses) crossed(j *judge, t *tally, promised bool, tests set, pair [2]int32) {
	add := func(thing int32) {
		if list := t.cut[thing]; promised && (len(list) == 0 || list[len(list)-1] != pair) {
			t.cut[thing] = append(list, pair)
		}
		if !tests.empty() {
			if t.tests[thing] == nil {
				t.tests[thing] = make(set, len(tests))
			}
			join(t.tests[thing], tests)
		}
	}
	for _, way := range []*way{&j.forward, &j.backward} {
		for i, h := range way.hops {
			add(h)
			if i > 0 {
				add(l.links[linkOf(way.hops[i-1], h)])
			}
		}
	}
}

func byLost(a, b Failure) int { return cmp.Compare(a.Lost, b.Lost) }

// write joins what the workers have seen.
func (l *losses) write(tallies []*tally) []Failure {
	out := make([]Failure, len(l.names))
	for i, name := range l.names {
		f := Failure{Lost: name, Broken: []string{}, Tests: []int{}}
		tests := make(set, len(l.holds))
		for _, t := range tallies {
			if t == nil {
				continue
			}
			for _, pair := range t.cut[i] {
				f.Broken = append(f.Broken, l.m.places[pair[0]].Name+" → "+l.m.places[pair[1]].Name)
			}
			join(tests, t.tests[i])
		}
		for n := tests.firstOfBoth(tests, 0); n >= 0; n = tests.firstOfBoth(tests, n+1) {
			f.Tests = append(f.Tests, n+1)
		}
		slices.Sort(f.Broken)
		f.Broken = slices.Compact(f.Broken)
		out[i] = f
	}
	links := out[len(l.m.gateways):]
	slices.SortFunc(links, byLost)
	return out
}
