package diagnose_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"ropeway/internal/diagnose"
	"ropeway/internal/stories"
)

var update = flag.Bool("update", false, "write what the stories expect")

// Every story has facts, and the causes that follow.
func TestStories(t *testing.T) {
	stories.Each(t, "testdata/*.txtar", *update, func(t *testing.T, s *stories.Story) {
		var f diagnose.Facts
		for _, file := range s.Files {
			if file.Name != "facts.json" {
				continue
			}
			dec := json.NewDecoder(strings.NewReader(string(file.Data)))
			dec.DisallowUnknownFields()
			if err := dec.Decode(&f); err != nil {
				t.Fatal(err)
			}
		}
		v := diagnose.Diagnose(f)
		var b strings.Builder
		fmt.Fprintf(&b, "well: %t\n", v.Well)
		for _, c := range v.Causes {
			fmt.Fprintf(&b, "%s %s: %s\n", c.Weight, c.Subject, c.What)
			for _, e := range c.Explains {
				fmt.Fprintf(&b, "  → %s\n", e)
			}
			fmt.Fprintf(&b, "  next: %s\n", c.Next)
		}
		s.Want(t, "verdict", b.String())
	})
}

// Whatever the facts, in whatever order: every gateway that is not well is spoken of, a fabric of well ones is well, and the words are the same.
func TestNothingIsLeftOut(t *testing.T) {
	states := []diagnose.State{diagnose.Absent, diagnose.Away, diagnose.Behind, diagnose.Ill, diagnose.Well, diagnose.Well, diagnose.Well}
	for seed := range uint64(500) {
		r := rand.New(rand.NewPCG(seed, 0))
		f := diagnose.Facts{Fabric: "f", Revision: 3}
		sick := 0
		for i := range r.IntN(8) { // so that a list of names is never cut
			g := diagnose.Gateway{Name: fmt.Sprintf("g%d", i), Place: fmt.Sprintf("p%d", r.IntN(3)), State: states[r.IntN(len(states))], Wants: 3}
			if g.State != diagnose.Well {
				sick++
			}
			f.Gateways = append(f.Gateways, g)
			f.Links = append(f.Links, diagnose.Link{A: g.Name, B: "g0", Carries: r.IntN(2) == 0})
		}
		v := diagnose.Diagnose(f)
		if v.Well != (sick == 0) {
			t.Fatalf("seed %d: well is %v of %+v", seed, v.Well, f.Gateways)
		}
		all := fmt.Sprint(v.Causes)
		everybody := strings.Contains(all, "is connected")
		for _, g := range f.Gateways {
			if g.State != diagnose.Well && !strings.Contains(all, g.Name) && !(everybody && g.State == diagnose.Away) {
				t.Fatalf("seed %d: nothing is said of %+v: %s", seed, g, all)
			}
		}
		r.Shuffle(len(f.Gateways), func(i, j int) { f.Gateways[i], f.Gateways[j] = f.Gateways[j], f.Gateways[i] })
		if again := diagnose.Diagnose(f); !reflect.DeepEqual(v, again) {
			t.Fatalf("seed %d: another order, other words:\n%+v\n%+v", seed, v, again)
		}
	}
}
