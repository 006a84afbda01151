package agent

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"ropeway/internal/plan"
)

// What comes back is counted, what stood stands until it is gone, and nobody can make the list grow.
func TestDrift(t *testing.T) {
	want := &plan.Document{Revision: "one"}
	var r record
	pass := func(revision string, changes map[string][]string, errs map[string]error) {
		want.Revision = revision
		r.note(want, &outcome{changes: changes, errs: errs}, r.applied == revision, time.Now())
	}
	said := func() string {
		var out []string
		for _, d := range r.drift {
			out = append(out, fmt.Sprintf("%s %s ×%d %v", d.Step, d.What, d.Times, d.Stands))
		}
		return strings.Join(out, ", ")
	}
	expect := func(when, text string) {
		t.Helper()
		if said() != text {
			t.Errorf("%s: %s, want %s", when, said(), text)
		}
	}
	pass("one", map[string][]string{"routes": {"add a"}}, nil)
	expect("the first plan is no drift", "")
	pass("one", map[string][]string{"routes": {"add a"}}, nil)
	pass("one", nil, nil)
	pass("one", map[string][]string{"routes": {"add a"}, "firewall": {"add rule"}}, nil)
	expect("undone", "routes add a ×2 false, firewall add rule ×1 false")
	pass("one", nil, map[string]error{"routes": errors.New("in\nconflict")})
	expect("it stands", "routes in; conflict ×1 true, routes add a ×2 false, firewall add rule ×1 false")
	pass("two", nil, map[string]error{"routes": errors.New("cannot")})
	expect("what fails of a new plan is no drift", "routes in; conflict ×1 false, routes add a ×2 false, firewall add rule ×1 false")
	pass("two", nil, nil)
	for i := range 100 {
		many := make([]string, 1000)
		for j := range many {
			many[j] = fmt.Sprintf("%d.%d %s", i, j, strings.Repeat("x", 1000))
		}
		pass("two", map[string][]string{"routes": many}, nil)
	}
	if len(r.drift) != mostDrift || !strings.HasPrefix(r.drift[0].What, "99.7 ") || len(r.drift[0].What) != mostDriftLen {
		t.Errorf("%d are remembered, the newest %.20s of %d bytes", len(r.drift), r.drift[0].What, len(r.drift[0].What))
	}
}
