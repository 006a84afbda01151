package verify

import "ropeway/internal/intent"

// flags say what is wrong with a pair of classes, one way.
type flags uint16

const (
	broken     flags = 1 << iota // access promises what does not pass both ways
	leaking                      // something arrives that no access allows
	circling                     // packets go in a circle
	vanishing                    // filters let pass what then dies, and no access promised it
	asymmetric                   // forward and return path differ
	tooTight                     // full-size packets die
	failing                      // a test does not hold
)

// grave are the flags that make a proof fail.
const grave = broken | leaking | circling | tooTight | failing

// A verdict is what is found of one pair of classes, one way. Its sets are good until the judge's next verdict.
type verdict struct {
	flags    flags
	due      set // services that access promises
	admitted set // services whose packets filters let pass as far as the way goes
	open     set // services whose first packet arrives
	both     set // services that arrive and are answered
}

// A judge judges pairs of classes. It keeps its working memory, so it is for one goroutine.
type judge struct {
	w        *world
	m        *Model
	forward  way // from the first side to the second
	backward way
	verdict  verdict
	tmp, due set
}

func newJudge(m *Model, w *world) *judge {
	n := w.services.none
	return &judge{w: w, m: m, tmp: n(), due: n(), verdict: verdict{due: n(), admitted: n(), open: n(), both: n()}}
}

// rows walks both ways between two rows.
func (j *judge) rows(a, b side) {
	j.w.walk(j.m, &j.forward, a, b)
	j.w.walk(j.m, &j.backward, b, a)
}

// way judges one direction of a pair of classes whose rows were walked last.
func (j *judge) way(there, back *way, from, to *class) *verdict {
	v := &j.verdict
	j.pass(v, there, from.kind, to.kind)
	j.answer(v, there, back, from.kind, to.kind)
	clear(v.due)
	j.w.spec.due(v.due, from.kind, to.kind)
	v.flags = 0
	if !v.due.within(v.both) {
		v.flags |= broken
	}
	if !v.open.within(v.due) {
		v.flags |= leaking
	}
	switch there.end {
	case arrived:
		if v.open.empty() {
			break
		}
		if there.mtu < there.first || back.end == arrived && back.mtu < back.first {
			v.flags |= tooTight
		}
		if back.end == arrived && !there.same(back) {
			v.flags |= asymmetric
		}
	case endLoop:
		v.flags |= circling
	default:
		if there.met > 0 && !v.admitted.empty() && v.flags&broken == 0 {
			v.flags |= vanishing
		}
	}
	j.tests(v, there, back, from, to)
	return v
}

// pass works out what filters admit on a way: all that every gateway it meets accepts.
func (j *judge) pass(v *verdict, there *way, from, to int32) {
	copy(v.admitted, j.w.services.all)
	for i := range there.met {
		clear(j.tmp)
		gate := &j.w.gates[j.m.gateways[there.hops[i]].filter]
		gate.accept(j.tmp, there.crossing(i), from, to)
		var left uint64
		for k, x := range j.tmp {
			v.admitted[k] &= x
			left |= v.admitted[k]
		}
		if left == 0 {
			break // most pairs end here: nobody may talk to everybody
		}
	}
	clear(v.open)
	if there.end == arrived {
		copy(v.open, v.admitted)
	}
}

// answer works out what of it is answered. A gateway that saw the request lets the answer pass.
func (j *judge) answer(v *verdict, there, back *way, from, to int32) {
	clear(v.both)
	if back.end != arrived {
		return
	}
	copy(v.both, v.open)
	for i, h := range back.hops {
		c := back.crossing(i)
		switch {
		case c == inward && j.w.gates[j.m.gateways[h].filter].guards(to, from):
			clear(v.both)
		case !there.crosses(h):
			j.unseen(v.both, h, c, from, to)
		}
	}
}

// unseen takes out of s what a gateway that did not see the request drops of the answers: those of TCP and ICMP, which are no beginning of anything, unless its plan
// lets them pass as what answers a request that it would have let pass. Others it judges as new: a UDP answer goes to some port that the sender's system chose.
func (j *judge) unseen(s set, at int32, c crossing, from, to int32) {
	sv, gate := j.w.services, &j.w.gates[j.m.gateways[at].filter]
	clear(j.tmp)
	gate.accept(j.tmp, c, to, from)
	udp, other := sv.ephemeral.within(j.tmp), sv.other.within(j.tmp)
	clear(j.tmp)
	if gate.answers[c] {
		gate.permit(j.tmp, c.reverse(), from, to)
	}
	for k := range s {
		keep := j.tmp[k] & sv.answered[k]
		if udp {
			keep |= sv.udp[k]
		}
		if other {
			keep |= sv.other[k]
		}
		s[k] &= keep
	}
}

// tests flags the pair if a test that ranges over it does not hold.
func (j *judge) tests(v *verdict, there, back *way, from, to *class) {
	s := &j.w.spec
	left, right := s.testFrom[from.kind], s.testTo[to.kind]
	for i := left.firstOfBoth(right, 0); i >= 0; i = left.firstOfBoth(right, i+1) {
		if there.end == arrived && back.end == arrived && !there.same(back) {
			v.flags |= asymmetric // the test's result tells
		}
		if j.fails(v, there, back, i) != "" {
			v.flags |= failing
		}
	}
}

// fails returns why a test does not hold of the pair, or "".
func (j *judge) fails(v *verdict, there, back *way, test int) string {
	t := &j.w.in.Tests[test]
	wanted := j.w.spec.tests[test]
	if t.Expect == intent.Denied {
		switch {
		case wanted == nil && v.open.empty(), wanted != nil && !v.open.meets(wanted):
			return ""
		}
		return "packets get through that should be denied"
	}
	switch {
	case wanted == nil && v.both.empty(), wanted != nil && !wanted.within(v.both):
		if wanted == nil && !v.open.empty() || wanted != nil && wanted.within(v.open) {
			return "packets arrive, and the answers do not"
		}
		return "packets do not arrive"
	case t.Symmetric && !there.same(back):
		return "forward and return path cross different gateways"
	case t.MTU > min(there.mtu, back.mtu):
		return "the path carries less than the MTU asked for"
	}
	return ""
}
