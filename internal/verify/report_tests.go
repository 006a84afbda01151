package verify

import (
	"cmp"
	"fmt"
	"net/netip"

	"ropeway/internal/diag"
	"ropeway/internal/fabric"
	"ropeway/internal/intent"
)

// testState is what the bad pairs say of a test.
type testState struct {
	broken     *example
	asymmetric bool
}

// An example is a pair of atoms, and why it is one.
type example struct {
	from, to netip.Addr
	reason   string
}

// before orders examples by source, then destination.
func (e example) before(o *example) bool {
	return o == nil || cmp.Or(e.from.Compare(o.from), e.to.Compare(o.to)) < 0
}

// testResults writes the result of every test.
func (r *reporter) testResults() []TestResult {
	sizes := r.w.testSizes()
	out := make([]TestResult, len(r.w.in.Tests))
	for i := range out {
		out[i] = r.testResult(i, &sizes[i])
	}
	return out
}

func (r *reporter) testResult(i int, size *testSize) TestResult {
	t, state := &r.w.in.Tests[i], r.tests[i]
	out := TestResult{
		From: t.From.Text, To: t.To.Text, Expect: t.Expect, OK: true,
		Forward: Path{Gateways: []string{}}, Return: Path{Gateways: []string{}},
		Symmetric: !state.asymmetric, Pairs: size.pairs, Position: t.Position,
	}
	switch {
	case size.unowned.IsValid():
		out.OK, out.Reason = false, fmt.Sprintf("no place of the plan owns %s", size.unowned)
		out.Forward.DroppedBy = &Drop{Reason: NoOwner, Detail: out.Reason}
	case size.pairs == 0:
		out.Reason = size.idle()
		r.problems = append(r.problems, diag.Problem{
			Code: "RW3001", Severity: diag.Warning, Subject: testName(i, t), Message: "proves nothing: " + out.Reason,
			Hint: "name addresses of one family in two places, or drop the test", Position: t.Position,
		})
	case state.broken != nil:
		out.OK = false
		from, to := r.hosts(*state.broken, func(a, b *class) bool {
			return r.ranges(i, a, b) && r.judge.fails(&r.judge.verdict, &r.judge.forward, &r.judge.backward, i) == state.broken.reason
		})
		r.paths(&out, i, from, to)
		out.Reason = r.whyBroken(&out, state.broken.reason)
	default:
		from, to := r.hosts(size.first, func(a, b *class) bool { return r.ranges(i, a, b) })
		r.paths(&out, i, from, to)
	}
	return out
}

// ranges reports whether a test ranges over a pair of classes.
func (r *reporter) ranges(i int, a, b *class) bool {
	return r.w.spec.testFrom[a.kind].has(i) && r.w.spec.testTo[b.kind].has(i)
}

// paths fills in the ways of one pair of addresses, with a service that tells most about the test.
func (r *reporter) paths(out *TestResult, i int, from, to netip.Addr) {
	trace := r.m.Trace(Packet{Source: from, Destination: to, Service: r.witness(i, from, to)}, true)
	out.Forward, out.Return = trace.Forward.Path, trace.Return.Path
}

// witness returns the service to show: the one that the test names; else one that passes both ways, one that arrives, one that access
// promises, or ICMP.
func (r *reporter) witness(i int, from, to netip.Addr) fabric.Service {
	if s := r.w.in.Tests[i].Service; s != nil {
		return fabric.Service{Protocol: s.Protocol, First: s.First, Last: s.First}
	}
	v := r.verdict(from, to)
	for _, s := range []set{v.both, v.open, v.due} {
		if n := s.first(nil); n >= 0 {
			return r.w.services.witness(n)
		}
	}
	return fabric.Service{Protocol: fabric.ICMP}
}

func (r *reporter) whyBroken(out *TestResult, reason string) string {
	where := fmt.Sprintf("%s → %s: %s", out.Forward.Source, out.Forward.Destination, reason)
	if out.Expect == intent.Denied {
		return fmt.Sprintf("%s (%s)", where, out.Forward.Service)
	}
	for _, p := range []Path{out.Forward, out.Return} {
		if p.DroppedBy != nil {
			return where + ": " + p.DroppedBy.Detail
		}
	}
	return where
}

func testName(i int, t *intent.Test) string {
	return fmt.Sprintf("test %d (%s → %s)", i+1, t.From.Text, t.To.Text)
}
