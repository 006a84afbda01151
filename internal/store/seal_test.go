package store_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ropeway/internal/store"
)

func seal(number uint64) store.Seal {
	return store.Seal{Signature: bytes.Repeat([]byte{7}, 64), Number: number, Until: 1_800_000_000}
}

// TestSeals: a seal stays with its revision, and with the rollout through all its steps; none is kept for another number.
func TestSeals(t *testing.T) {
	s, ctx := alone(t), t.Context()
	first := change("admin/a")
	first.Seal = seal(1)
	mustCommit(t, s, 0, first)
	second := change("admin/a")
	second.Seal = seal(3)
	if n, err := s.Commit(ctx, 1, second); !errors.Is(err, store.ErrMoved) || n != 1 {
		t.Errorf("sealed for another number: %d, %v", n, err)
	}
	second.Seal = seal(2)
	with := func(number uint64) store.Rollout {
		r := bring(1)(number)
		r.WayBack = seal(number + 1)
		return r
	}
	if n, err := s.CommitRollout(ctx, 1, second, 0, with); err != nil || n != 2 {
		t.Fatalf("%d, %v", n, err)
	}
	got, err := s.Revision(ctx, 2)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(second.Seal, got.Seal); diff != "" {
		t.Error(diff)
	}
	_, r := present(t, s)
	next, err := r.Next(nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.StepRollout(ctx, r.Step, r.Take(next, "controller/first", r.At)); err != nil {
		t.Fatal(err)
	}
	if _, r := present(t, s); !cmp.Equal(r.WayBack, seal(3)) || r.Wave != 1 || r.By != "controller/first" {
		t.Errorf("after a step: %+v", r)
	}
	if err := s.Surpass(ctx, 1000); err != nil {
		t.Fatal(err)
	}
	third := change("admin/a")
	third.Seal = seal(3) // made before numbers jumped
	if _, err := s.Commit(ctx, 2, third); !errors.Is(err, store.ErrMoved) {
		t.Errorf("past a jump: %v", err)
	}
	next3, err := s.NextNumber(ctx, 2)
	if err != nil || next3 != 1001 {
		t.Fatalf("the next is %d, %v", next3, err)
	}
	third.Seal = seal(next3)
	if n, err := s.Commit(ctx, 2, third); err != nil || n != next3 {
		t.Errorf("for the number past it: %d, %v", n, err)
	}
	for name, bad := range map[string]store.Seal{"half a signature": {Signature: make([]byte, 32), Number: next3 + 1}, "of no revision": {Signature: make([]byte, 64)}} {
		r := change("admin/a")
		r.Seal = bad
		if _, err := s.Commit(ctx, next3, r); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}
