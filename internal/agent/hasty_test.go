package agent

import (
	"strings"
	"testing"

	"ropeway/internal/plan"
)

func TestHastyBFD(t *testing.T) {
	quick := &plan.Gateway{BGP: &plan.BGP{Neighbors: []*plan.Neighbor{{}, {BFD: &plan.BFD{Interval: 300}}, {BFD: &plan.BFD{Interval: 100}}}}}
	usual := &plan.Gateway{BGP: &plan.BGP{Neighbors: quick.BGP.Neighbors[:2]}}
	for _, c := range []struct {
		plan *plan.Gateway
		cpus int
		want string // a part of it; "": nothing is said
	}{
		{quick, 2, "every 100 ms"}, {quick, 3, "every 100 ms"}, {quick, 4, ""}, {usual, 1, ""}, {&plan.Gateway{}, 1, ""},
	} {
		if got := hasty(c.plan, c.cpus); (got == "") != (c.want == "") || !strings.Contains(got, c.want) {
			t.Errorf("%+v on %d CPUs: %q, want %q", c.plan.BGP, c.cpus, got, c.want)
		}
	}
}
