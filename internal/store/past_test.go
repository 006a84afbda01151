package store_test

import (
	"errors"
	"fmt"
	"math"
	"sync"
	"testing"

	"ropeway/internal/store"
)

func numbers(list []store.Revision) (out []uint64) {
	for _, r := range list {
		out = append(out, r.Number)
	}
	return out
}

// Numbers go on past what somebody holds, never fall, and are listed across the gaps.
func TestSurpass(t *testing.T) {
	s, ctx := alone(t), t.Context()
	if err := s.Surpass(ctx, 10); err != nil {
		t.Fatal(err)
	}
	if n := mustCommit(t, s, 0, change("admin/a")); n != 11 {
		t.Errorf("the first is %d", n)
	}
	if n := mustCommit(t, s, 11, change("admin/a")); n != 12 {
		t.Errorf("the second is %d", n)
	}
	for _, past := range []uint64{1000, 5, 1000} {
		if err := s.Surpass(ctx, past); err != nil {
			t.Fatal(err)
		}
	}
	if n := mustCommit(t, s, 12, change("admin/a")); n != 1001 {
		t.Errorf("the third is %d", n)
	}
	if n, err := s.Commit(ctx, 12, change("admin/a")); n != 1001 || !errors.Is(err, store.ErrMoved) {
		t.Errorf("one that came too late: %d, %v", n, err)
	}
	mustCommit(t, s, 1001, change("admin/a"))
	if r, err := s.Newest(ctx); err != nil || r.Past != 1000 {
		t.Errorf("the newest is %+v, %v", r, err)
	}
	for _, c := range []struct {
		before uint64
		limit  int
		want   []uint64
	}{
		{0, 10, []uint64{1002, 1001, 12, 11}}, {0, 3, []uint64{1002, 1001, 12}}, {1002, 1, []uint64{1001}}, {1001, 5, []uint64{12, 11}},
		{500, 1, []uint64{12}}, {13, 5, []uint64{12, 11}}, {12, 5, []uint64{11}}, {11, 5, nil}, {5, 5, nil}, {0, 0, nil},
	} {
		list, err := s.Revisions(ctx, c.before, c.limit)
		if err != nil || fmt.Sprint(numbers(list)) != fmt.Sprint(c.want) {
			t.Errorf("%d before %d: %v, %v, want %v", c.limit, c.before, numbers(list), err, c.want)
		}
	}
	if err := s.Surpass(ctx, math.MaxUint64); err == nil {
		t.Error("no number would be left")
	}
	if r, err := s.Revision(ctx, 500); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("in a gap: %v, %v", r, err)
	}
}

// Whoever commits while numbers jump either comes before it or after it.
func TestSurpassWhileOthersCommit(t *testing.T) {
	s, ctx := alone(t), t.Context()
	var all sync.WaitGroup
	for client := range 4 {
		all.Go(func() {
			base := uint64(0)
			for range 20 {
				n, err := s.Commit(ctx, base, change(fmt.Sprint("admin/", client)))
				if err != nil && !errors.Is(err, store.ErrMoved) {
					t.Error(err)
				}
				base = n
			}
		})
	}
	for past := range uint64(5) {
		if err := s.Surpass(ctx, 1000*(past+1)); err != nil {
			t.Error(err)
		}
	}
	all.Wait()
	list, err := s.Revisions(ctx, 0, 1000)
	if err != nil || len(list) == 0 {
		t.Fatal(list, err)
	}
	n := mustCommit(t, s, list[0].Number, change("admin/last"))
	if n <= 5000 || n != list[0].Number+1 && list[0].Number > 5000 {
		t.Errorf("%d follows %d", n, list[0].Number)
	}
	for i, r := range list[1:] {
		if r.Number >= list[i].Number {
			t.Errorf("not in order: %v", numbers(list))
		}
	}
}
