package verify

import (
	"cmp"
	"net/netip"
	"slices"

	"ropeway/internal/diag"
)

// A reporter turns bad pairs into problems that a person can read: what has one cause is one problem, with its first pair and the number of
// pairs of places.
type reporter struct {
	m        *Model
	w        *world
	judge    *judge
	findings map[findingKey]*finding
	tests    []testState
	problems diag.List
}

// A findingKey is what makes two bad pairs one problem.
type findingKey struct {
	code   diag.Code
	entry  int    // of access, where it is about a promise
	at     int32  // the gateway where packets die, or nobody
	place  int32  // the place that they come from, where the cause lies there
	toward int32  // the peer that a session is missing with
	reason Reason // why they die
	answer bool   // the answers die, not the requests
	text   string // services or figures
}

// A finding is a problem in the making.
type finding struct {
	findingKey
	from, to *class
	first    example
	service  int      // range to show, or -1
	pairs    int      // pairs of places
	last     [2]int32 // the last of them
	folded   int      // findings that were joined to this one
	culprit  int32    // the gateway that they have in common
}

// report writes what is known of every pair.
func (m *Model) report() *Report {
	r := &reporter{m: m, w: m.world, judge: newJudge(m, m.world), findings: map[findingKey]*finding{}}
	r.tests = make([]testState, len(m.world.in.Tests))
	for _, p := range m.world.badPlaces() {
		a, b := &m.world.classes[p.a], &m.world.classes[p.b]
		r.judge.rows(side{a.owner, m.world.rows[a.row]}, side{b.owner, m.world.rows[b.row]})
		r.direction(&r.judge.forward, &r.judge.backward, a, b, r.add)
		r.direction(&r.judge.backward, &r.judge.forward, b, a, r.add)
	}
	out := &Report{Tests: r.testResults(), Stats: m.world.stats}
	r.problems = append(r.problems, m.structure()...)
	r.problems = append(r.problems, r.written()...)
	r.problems.Sort()
	out.Problems = r.problems
	if out.Problems == nil {
		out.Problems = diag.List{}
	}
	out.OK = !out.Problems.Failed() && !slices.ContainsFunc(out.Tests, func(t TestResult) bool { return !t.OK })
	return out
}

// badPlaces returns every bad pair once, those of two places together.
func (w *world) badPlaces() []found {
	var out []found
	for a, list := range w.bad {
		for _, p := range list {
			x := found{int32(a), p.other, p.severe}
			if w.classes[a].owner < w.classes[p.other].owner {
				out = append(out, x)
			}
		}
	}
	slices.SortFunc(out, func(x, y found) int {
		return cmp.Or(
			cmp.Compare(w.classes[x.a].owner, w.classes[y.a].owner), cmp.Compare(w.classes[x.b].owner, w.classes[y.b].owner),
			cmp.Compare(x.a, y.a), cmp.Compare(x.b, y.b))
	})
	return out
}

// direction finds what is wrong with one direction of a bad pair.
func (r *reporter) direction(there, back *way, from, to *class, found func(finding)) {
	v := r.judge.way(there, back, from, to)
	f := finding{findingKey: findingKey{at: nobody, place: nobody, toward: nobody}, from: from, to: to, service: -1}
	f.first = example{from: from.first(), to: to.first()}
	if v.flags&broken != 0 {
		found(r.promise(f, v, there, back))
	}
	if v.flags&leaking != 0 {
		found(r.leak(f, v))
	}
	if v.flags&circling != 0 {
		x := f
		x.code, x.at, x.reason = "RW3012", there.at, Loop
		found(x)
	}
	if v.flags&vanishing != 0 {
		x := f
		x.code, x.at, x.toward, x.reason, x.service = "RW3013", there.at, there.toward, reasons[there.end], v.admitted.first(nil)
		found(x)
	}
	if v.flags&asymmetric != 0 && from.owner < to.owner {
		x := f
		x.code, x.place, x.service = "RW3014", from.owner, v.open.first(nil)
		found(x)
	}
	if v.flags&tooTight != 0 {
		f.service = v.open.first(nil)
		tight(f, there, back, found)
	}
	if len(r.tests) > 0 {
		r.testing(v, there, back, f)
	}
}

// leak says what arrives though no access allows it.
func (r *reporter) leak(f finding, v *verdict) finding {
	extra := slices.Clone(v.open)
	for i, x := range v.due {
		extra[i] &^= x
	}
	f.code, f.place, f.text, f.service = "RW3011", f.from.owner, r.w.services.text(extra), extra.first(nil)
	return f
}

// tight finds the directions in which a full-size packet dies.
func tight(f finding, there, back *way, found func(finding)) {
	if there.mtu < there.first {
		f.findingKey = tightKey(there)
		found(f)
	}
	if back.end == arrived && back.mtu < back.first {
		f.findingKey = tightKey(back)
		f.from, f.to, f.first = f.to, f.from, example{from: f.first.to, to: f.first.from}
		found(f)
	}
}

func tightKey(v *way) findingKey {
	next := nobody
	if i := slices.Index(v.hops, v.tightAt); i >= 0 && i+1 < len(v.hops) {
		next = v.hops[i+1]
	}
	return findingKey{code: "RW3015", at: v.tightAt, place: nobody, toward: next, reason: TooBig, text: figures(v.first, v.mtu)}
}

// promise says what keeps a promise of access from being kept, of the first entry of which that is so.
func (r *reporter) promise(f finding, v *verdict, there, back *way) finding {
	s := &r.w.spec
	f.code = "RW3010"
	left, right := s.accessFrom[f.from.kind], s.accessTo[f.to.kind]
	for i := left.firstOfBoth(right, 0); i >= 0; i = left.firstOfBoth(right, i+1) {
		if n := s.access[i].first(v.both); n >= 0 {
			f.entry, f.service = i, n
			break
		}
	}
	lost := there
	switch {
	case v.open.has(f.service):
		f.answer, lost = true, back
	case !v.admitted.has(f.service):
		f.reason, f.at = Filtered, r.stopper(there, f.service, f.from.kind, f.to.kind)
		return f
	}
	if lost.end == arrived { // an answer that a gateway drops because it did not see the request
		f.reason = Filtered
		f.at = back.hops[len(back.hops)-1] // unless the guard of the last one did
		j, left := newJudge(r.m, r.w), r.w.services.none()
		for i, h := range back.hops {
			left.add(f.service)
			if !there.crosses(h) {
				j.unseen(left, h, back.crossing(i), f.from.kind, f.to.kind)
			}
			if !left.has(f.service) {
				f.at = h
				break
			}
		}
		return f
	}
	f.reason, f.at, f.toward = reasons[lost.end], lost.at, lost.toward
	if lost.at == nobody {
		f.place = f.from.owner
		if f.answer {
			f.place = f.to.owner
		}
	}
	return f
}

// stopper returns the first gateway whose filter stops a service.
func (r *reporter) stopper(v *way, service int, from, to int32) int32 {
	got := r.w.services.none()
	for i := range v.met {
		clear(got)
		r.w.gates[r.m.gateways[v.hops[i]].filter].accept(got, v.crossing(i), from, to)
		if !got.has(service) {
			return v.hops[i]
		}
	}
	return nobody
}

// add notes a bad pair under its cause. The two directions between two places count once.
func (r *reporter) add(f finding) {
	known, ok := r.findings[f.findingKey]
	if !ok {
		known = &finding{findingKey: f.findingKey, first: f.first, service: f.service, last: [2]int32{nobody, nobody}}
		r.findings[f.findingKey] = known
	}
	if f.first.before(&known.first) {
		known.first, known.service = f.first, f.service
	}
	pair := [2]int32{min(f.from.owner, f.to.owner), max(f.from.owner, f.to.owner)}
	if pair != known.last {
		known.pairs++
		known.last = pair
	}
}

// testing notes what a bad pair says of the tests that range over it.
func (r *reporter) testing(v *verdict, there, back *way, f finding) {
	left, right := r.w.spec.testFrom[f.from.kind], r.w.spec.testTo[f.to.kind]
	for i := left.firstOfBoth(right, 0); i >= 0; i = left.firstOfBoth(right, i+1) {
		state := &r.tests[i]
		if there.end == arrived && back.end == arrived && !there.same(back) {
			state.asymmetric = true
		}
		if why := r.judge.fails(v, there, back, i); why != "" && f.first.before(state.broken) {
			state.broken = &example{f.first.from, f.first.to, why}
		}
	}
}

// verdict judges one pair of addresses that places own.
func (r *reporter) verdict(from, to netip.Addr) *verdict {
	a, b := r.w.classAt(from), r.w.classAt(to)
	r.judge.rows(side{a.owner, r.w.rows[a.row]}, side{b.owner, r.w.rows[b.row]})
	return r.judge.way(&r.judge.forward, &r.judge.backward, a, b)
}
