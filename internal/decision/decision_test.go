package decision

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestExplain(t *testing.T) {
	path := func(preference uint32, hops int, metric uint32) Path {
		return Path{LocalPreference: preference, Hops: hops, Metric: metric}
	}
	used := func(p Path) Path { p.Best = true; return p }
	own := Path{Own: true, LocalPreference: 100, Best: true}
	for _, c := range []struct {
		name  string
		paths []Path
		want  []string
	}{
		{"nothing", nil, []string{}},
		{"one", []Path{used(path(100, 1, 0))}, []string{"the only way"}},
		{"one that is not used", []Path{path(100, 1, 0)}, []string{"none of them is used"}},
		{"the gateway's own", []Path{own, path(200, 1, 0)}, []string{"originated here", "the gateway has the prefix itself"}},
		{"an operator's word comes first", []Path{used(path(200, 3, 9)), path(100, 1, 0)},
			[]string{"of the next, local preference 100 is lower than 200", "local preference 100 is lower than 200"}},
		{"then the length of the path", []Path{used(path(100, 1, 9)), path(100, 2, 0), path(100, 3, 0)},
			[]string{"of the next, AS path of 2 is longer than 1", "AS path of 2 is longer than 1", "AS path of 3 is longer than 1"}},
		{"then the metric", []Path{path(100, 2, 7), used(path(100, 2, 3))}, []string{"metric 7 is higher than 3", "of the next, metric 7 is higher than 3"}},
		{"two share", []Path{used(path(100, 1, 0)), used(path(100, 1, 0))}, []string{"one of 2 alike", "one of 2 alike"}},
		{"two share and a third does not", []Path{used(path(100, 1, 0)), used(path(100, 1, 0)), path(100, 1, 1)},
			[]string{"one of 2 alike; of the next, metric 1 is higher than 0", "one of 2 alike; of the next, metric 1 is higher than 0", "metric 1 is higher than 0"}},
		{"alike and not shared", []Path{used(path(100, 1, 0)), path(100, 1, 0)},
			[]string{"alike with the next", "alike with what is used: no more are shared, or an older one stays"}},
		{"the daemon knows better", []Path{used(path(100, 2, 0)), path(100, 1, 0)},
			[]string{"used though AS path of 2 is longer than 1", "not used though, of what is, AS path of 2 is longer than 1: its next hop may not be reached"}},
	} {
		if diff := cmp.Diff(c.want, Explain(c.paths)); diff != "" {
			t.Errorf("%s, -want +got:\n%s", c.name, diff)
		}
	}
}

// Compare is an order: whichever way it is asked, one wins for one reason.
func FuzzCompare(f *testing.F) {
	f.Add(uint32(100), uint32(100), 1, 2, uint32(0), uint32(1<<31))
	f.Fuzz(func(t *testing.T, p1, p2 uint32, h1, h2 int, m1, m2 uint32) {
		x, y := Path{LocalPreference: p1, Hops: h1 & 255, Metric: m1}, Path{LocalPreference: p2, Hops: h2 & 255, Metric: m2}
		order, why := Compare(x, y)
		turned, whyTurned := Compare(y, x)
		if order != -turned || why != whyTurned || (order == 0) != (x == y) || strings.Contains(why, "%!") {
			t.Errorf("%+v, %+v: %d %q, turned %d %q", x, y, order, why, turned, whyTurned)
		}
	})
}
