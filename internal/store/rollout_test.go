package store_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ropeway/internal/rollout"
	"ropeway/internal/store"
)

func rolled(by string, r rollout.Rollout) store.Rollout {
	return store.Rollout{Rollout: r, At: time.Date(2026, 3, 1, 12, 0, 0, 1, time.UTC), By: by, Soak: time.Second}
}

// bring returns what makes the rollout of a revision on a base.
func bring(base uint64) func(uint64) store.Rollout {
	return func(number uint64) store.Rollout {
		return rolled("operator/ada", rollout.New(number, base, []rollout.Candidate{{Name: "a", Place: "x", Concerned: true}, {Name: "b", Place: "y", Concerned: true}}))
	}
}

func present(t *testing.T, s *store.Store) (uint64, *store.Rollout) {
	t.Helper()
	newest, r, err := s.Present(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return newest, r
}

func TestRollouts(t *testing.T) {
	s, ctx := alone(t), t.Context()
	if n, r := present(t, s); n != 0 || r != nil {
		t.Fatalf("an empty store has %d, %v", n, r)
	}
	watch := s.WatchRollout(ctx, 0)
	mustCommit(t, s, 0, change("admin/a"))
	if n, err := s.CommitRollout(ctx, 1, change("operator/ada"), 0, bring(1)); n != 2 || err != nil {
		t.Fatalf("the first: %d, %v", n, err)
	}
	n, r := present(t, s)
	want := bring(1)(2)
	if r == nil || n != 2 || r.Step == 0 {
		t.Fatalf("got %d, %+v", n, r)
	}
	want.Step = r.Step
	if diff := cmp.Diff(&want, r); diff != "" {
		t.Error(diff)
	}
	if step := receive(t, watch); step != uint64(r.Step) {
		t.Errorf("step %d was told, and it is %d", step, r.Step)
	}
	// A key that comes meanwhile leaves it alone.
	mustCommit(t, s, 2, change("gateway/b"))
	next, err := r.Next([]string{"b"})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.StepRollout(ctx, r.Step, rolled("controller", next)); err != nil {
		t.Fatal(err)
	}
	if err := s.StepRollout(ctx, r.Step, rolled("controller", next)); !errors.Is(err, store.ErrStep) {
		t.Errorf("a step that was taken: %v", err)
	}
	drain(t, s)
	if _, entries := logged(t, s); len(entries) != 4 || brief(entries)[3] != "controller rollout.step revision/2  2" {
		t.Errorf("the audit log has %v", brief(entries))
	}
	if n, err := s.CommitRollout(ctx, 3, change("operator/ada"), r.Step, bring(3)); n != 3 || !errors.Is(err, store.ErrStep) {
		t.Errorf("a revision beside a step that was taken: %d, %v", n, err)
	}
	step := r.Step
	if n, r = present(t, s); n != 3 || r.Wave != 1 || len(r.Away) != 2 || r.By != "controller" || r.Step <= step {
		t.Errorf("got %d, %+v", n, r)
	}
	if told := receive(t, watch); told != uint64(r.Step) {
		t.Errorf("step %d was told, and it is %d", told, r.Step)
	}
	if n, err := s.CommitRollout(ctx, 2, change("operator/ada"), r.Step, bring(2)); n != 3 || !errors.Is(err, store.ErrMoved) {
		t.Errorf("on a base that was overtaken: %d, %v", n, err)
	}
	if err := s.StepRollout(ctx, r.Step, store.Rollout{}); err == nil || errors.Is(err, store.ErrStep) {
		t.Errorf("nothing: %v", err)
	}
}

// Many take a step at once, and make a revision that ends the rollout: one is served, and the others hear that it was not theirs.
func TestRacingSteps(t *testing.T) {
	t.Parallel() // it waits for the disk
	s, ctx := alone(t), t.Context()
	mustCommit(t, s, 0, change("admin/a"))
	if _, err := s.CommitRollout(ctx, 1, change("operator/ada"), 0, bring(1)); err != nil {
		t.Fatal(err)
	}
	_, r := present(t, s)
	const racers = 16
	var mu sync.Mutex
	var won []string
	var all sync.WaitGroup
	for i := range racers {
		all.Go(func() {
			who := fmt.Sprint("controller", i)
			var err error
			if i%2 == 0 {
				next, _ := r.Next(nil)
				err = s.StepRollout(ctx, r.Step, rolled(who, next))
			} else {
				back := change(who)
				back.Kind = "rollback"
				_, err = s.CommitRollout(ctx, 2, back, r.Step, func(number uint64) store.Rollout {
					next, _ := r.GoneBack(rollout.Failed, number, "a story")
					return rolled(who, next)
				})
			}
			switch {
			case err == nil:
				mu.Lock()
				won = append(won, who)
				mu.Unlock()
			case !errors.Is(err, store.ErrStep) && !errors.Is(err, store.ErrMoved):
				t.Error(err)
			}
		})
	}
	all.Wait()
	n, after := present(t, s)
	if len(won) != 1 || after.By != won[0] || (after.State == rollout.Failed) != (n == 3) {
		t.Errorf("%v took the step, and there is %d, %+v", won, n, after)
	}
}
