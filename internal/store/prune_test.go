package store_test

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"ropeway/internal/rollout"
	"ropeway/internal/store"
)

// Old revisions go, oldest first and with their files, once there are many younger ones. What is young stays, and what an active rollout goes back to.
func TestPrune(t *testing.T) {
	s, ctx := alone(t), t.Context()
	day := func(n int) time.Time { return time.Unix(1_700_000_000, 0).AddDate(0, 0, n) }
	commit := func(base uint64, day time.Time) uint64 {
		r := change("admin/ada")
		r.At, r.Lock = day, noise(base, 3<<20/2) // several chunks each
		return mustCommit(t, s, base, r)
	}
	n := uint64(0)
	for i := range 12 {
		n = commit(n, day(i))
	}
	prune := func(keep store.Keep, want uint64) {
		t.Helper()
		if got, err := s.Prune(ctx, keep); err != nil || got != want {
			t.Errorf("pruned up to %d, want %d: %v", got, want, err)
		}
		if got, err := s.Pruned(ctx); err != nil || got != want {
			t.Errorf("it says up to %d: %v", got, err)
		}
	}
	prune(store.Keep{Least: 12}, 0)
	prune(store.Keep{Least: 10, Batch: 3}, 0)                   // it is not worth it
	prune(store.Keep{Least: 2, Since: 100 * 24 * time.Hour}, 0) // all are young
	prune(store.Keep{Least: 10, Batch: 2}, 2)                   // revisions 3 to 12 are left
	prune(store.Keep{Least: 2, Since: 24*7*time.Hour - 1}, 5)   // those of the last seven days
	prune(store.Keep{Least: 2, Since: 24*7*time.Hour - 1}, 5)   // again
	prune(store.Keep{Least: 2, Since: 24 * time.Hour, Batch: 9}, 5)
	if stray := store.StrayChunks(t, s); stray > 0 {
		t.Errorf("%d files are left of what is gone", stray)
	}
	for number, want := range map[uint64]error{1: store.ErrPruned, 5: store.ErrPruned, 6: nil, 12: nil, 13: store.ErrNotFound, 0: store.ErrNotFound} {
		if _, err := s.Revision(ctx, number); !errors.Is(err, want) || want == nil && err != nil {
			t.Errorf("revision %d: %v", number, err)
		}
	}
	list, err := s.Revisions(ctx, 0, 100)
	if err != nil || len(list) != 7 || list[6].Number != 6 {
		t.Errorf("listed are %v, %v", list, err)
	}

	next := change("admin/ada")
	next.At = day(500)
	number, err := s.CommitRollout(ctx, n, next, 0, func(number uint64) store.Rollout {
		r := rollout.Rollout{Revision: number, Base: n, State: rollout.Running, Waves: [][]string{{"gw1"}}}
		return store.Rollout{Rollout: r, At: day(500), By: "admin/ada"}
	})
	if err != nil || number != 13 {
		t.Fatal(number, err)
	}
	for i := range 3 { // gateways that enroll meanwhile
		number = commit(number, day(501+i))
	}
	prune(store.Keep{Least: 1}, 11) // the rollout of 13 goes back to 12
	_, r, err := s.Present(ctx)
	if err != nil {
		t.Fatal(err)
	}
	done := *r
	done.State = rollout.Done
	if err := s.StepRollout(ctx, r.Step, done); err != nil {
		t.Fatal(err)
	}
	if err := s.Surpass(ctx, 5_000_000); err != nil {
		t.Fatal(err)
	}
	number = commit(number, day(504)) // numbers jump
	var all sync.WaitGroup
	for range 3 { // several controllers at once
		all.Go(func() {
			if _, err := s.Prune(ctx, store.Keep{Least: 2}); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	prune(store.Keep{Least: 2}, 15)
	if n, err := s.Newest(ctx); err != nil || n.Number != number {
		t.Errorf("the newest is %v, %v", n, err)
	}
	entries := store.PendingOf(t, s, "fabric.prune")
	if len(entries) != 4 || !strings.Contains(strings.Join(entries, "\n"), "revisions up to 15 ") {
		t.Errorf("the log tells of it %d times:\n%s", len(entries), entries)
	}
}
