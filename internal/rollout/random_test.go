package rollout_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"ropeway/internal/rollout"
)

// Whatever happens in whatever order: nobody has the revision before his wave, waves begin one after the other and each only when all that have it are
// well or were away, and it comes to an end, which is done where all turn out well and gone back where one does not.
func TestEveryOrderOfEvents(t *testing.T) {
	for seed := range uint64(1000) {
		r := rand.New(rand.NewPCG(seed, 7))
		w := draw(t, r)
		bad := ""
		if r.IntN(2) == 0 && len(w.all) > 0 {
			bad = w.all[r.IntN(len(w.all))].Name
		}
		for step := 0; w.Active() && step < 400; step++ {
			before, wave := w.Rollout, w.Wave
			w.event(r, bad, step > 300)
			if err := w.Check(); err != nil {
				t.Fatalf("seed %d: %v in %+v", seed, err, w.Rollout)
			}
			switch {
			case w.Wave < wave || w.Wave > wave+1:
				t.Fatalf("seed %d: wave %d came after %d", seed, w.Wave, wave)
			case w.Wave > wave || w.State == rollout.Done:
				w.mustBeWell(seed, before)
			}
			for _, c := range w.all {
				if w.Active() && w.Admits(c.Name) != (w.WaveOf(c.Name) <= w.Wave) {
					t.Fatalf("seed %d: %s has the revision out of turn", seed, c.Name)
				}
			}
		}
		if w.Active() {
			t.Fatalf("seed %d: it does not come to an end: %s", seed, w.admitted())
		}
		if got := w.sees[bad].Condition; w.State == rollout.Done && bad != "" && w.concerned(bad) && got != rollout.Unseen && got != rollout.Ready {
			t.Fatalf("seed %d: done, and %s is %s", seed, bad, got)
		}
	}
}

func draw(t *testing.T, r *rand.Rand) *world {
	w := &world{t: t, sees: map[string]rollout.Sight{}}
	for i := range r.IntN(12) {
		c := rollout.Candidate{
			Name: fmt.Sprintf("g%02d", i), Place: fmt.Sprint("p", r.IntN(4)), Concerned: r.IntN(4) > 0, Connected: r.IntN(4) > 0, Weight: r.IntN(5),
		}
		if c.Connected {
			w.sees[c.Name] = rollout.Sight{Condition: rollout.Waiting}
		}
		w.all = append(w.all, c)
	}
	w.Rollout = rollout.New(7, 6, w.all)
	shuffled := slices.Clone(w.all)
	r.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
	again := rollout.New(7, 6, shuffled)
	slices.Sort(again.Away)
	if fmt.Sprint(again.Waves, again.Rest) != fmt.Sprint(w.Waves, w.Rest) {
		t.Fatalf("the order of the candidates matters: %v and %v", again, w.Rollout)
	}
	named := map[string]bool{}
	for i, names := range w.Waves {
		if i == 0 && len(names) != 1 {
			t.Fatalf("%d canaries", len(names))
		}
		for _, name := range names {
			if named[name] || !w.concerned(name) {
				t.Fatalf("%s is named twice, or is not concerned", name)
			}
			named[name] = true
		}
	}
	return w
}

func (w *world) concerned(name string) bool {
	return slices.ContainsFunc(w.all, func(c rollout.Candidate) bool { return c.Name == name && c.Concerned })
}

// event lets one thing happen. Late, everybody who has the revision comes to what he is in the end, and time passes.
func (w *world) event(r *rand.Rand, bad string, late bool) {
	if late {
		for name := range w.given() {
			w.sees[name] = rollout.Sight{Condition: rollout.Ready}
			if name == bad {
				w.sees[name] = rollout.Sight{Condition: rollout.Broken, Why: "is ill"}
			}
		}
		w.age = rollout.Old
		if w.State == rollout.Paused {
			w.happen([]string{"resume"})
		}
		w.judge()
		return
	}
	switch r.IntN(8) {
	case 0:
		w.happen([]string{"pause"})
	case 1, 2:
		w.happen([]string{"resume"})
	case 3:
		w.age = min(w.age+1, rollout.Grown) // who is slow is not so for ever, before it is late
	case 4, 5:
		w.judge()
	default:
		if len(w.all) == 0 {
			return
		}
		name := w.all[r.IntN(len(w.all))].Name
		condition := []rollout.Condition{rollout.Unseen, rollout.Waiting, rollout.Ready}[r.IntN(3)]
		if name == bad && condition == rollout.Ready {
			condition = rollout.Broken
		}
		w.sees[name] = rollout.Sight{Condition: condition, Why: "a story"}
	}
}

// mustBeWell holds a step forward against what was known when it was taken.
func (w *world) mustBeWell(seed uint64, before rollout.Rollout) {
	for _, c := range w.all {
		if !c.Concerned || !before.Admits(c.Name) {
			continue
		}
		got := w.sees[c.Name].Condition
		if got != rollout.Ready && !(got == rollout.Unseen && slices.Contains(before.Away, c.Name)) {
			w.t.Fatalf("seed %d: it went on from wave %d while %s was %q", seed, before.Wave, c.Name, got)
		}
	}
}

func TestCheckRefuses(t *testing.T) {
	good := rollout.New(7, 6, []rollout.Candidate{{Name: "a", Place: "x", Concerned: true}, {Name: "b", Place: "y", Concerned: true}})
	if err := good.Check(); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(*rollout.Rollout){
		"nothing":          func(r *rollout.Rollout) { *r = rollout.Rollout{} },
		"no state":         func(r *rollout.Rollout) { r.State = "" },
		"an older one":     func(r *rollout.Rollout) { r.Revision = 6 },
		"no base":          func(r *rollout.Rollout) { r.Base = 0 },
		"a wave too far":   func(r *rollout.Rollout) { r.Wave = 2 },
		"a negative wave":  func(r *rollout.Rollout) { r.Wave = -1 },
		"an empty wave":    func(r *rollout.Rollout) { r.Waves[1] = nil },
		"back and running": func(r *rollout.Rollout) { r.Back = 8 },
		"failed, not back": func(r *rollout.Rollout) { r.State = rollout.Failed },
		"back to before":   func(r *rollout.Rollout) { r.State, r.Back = rollout.Failed, 7 },
	} {
		bad := good
		bad.Waves = slices.Clone(good.Waves)
		spoil(&bad)
		if err := bad.Check(); err == nil {
			t.Errorf("%s: nothing is wrong with it", name)
		}
	}
}
