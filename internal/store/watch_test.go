package store_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"ropeway/internal/store"
)

func receive(t testing.TB, c <-chan uint64) uint64 {
	t.Helper()
	select {
	case n, open := <-c:
		if !open {
			t.Fatal("the watch is over")
		}
		return n
	case <-time.After(20 * time.Second):
		t.Fatal("nothing comes")
	}
	return 0
}

func TestWatchNewest(t *testing.T) {
	s := alone(t)
	ctx, cancel := context.WithCancel(t.Context())
	early := s.WatchNewest(ctx, 0)
	mustCommit(t, s, 0, change("admin/a"))
	if n := receive(t, early); n != 1 {
		t.Errorf("got %d", n)
	}
	mustCommit(t, s, 1, change("admin/a"))
	if n := receive(t, early); n != 2 {
		t.Errorf("got %d", n)
	}
	if n := receive(t, s.WatchNewest(ctx, 1)); n != 2 {
		t.Errorf("from 1: got %d", n)
	}
	same := s.WatchNewest(ctx, 2)
	select {
	case n := <-same:
		t.Errorf("from 2: got %d", n)
	case <-time.After(200 * time.Millisecond):
	}
	cancel()
	for _, c := range []<-chan uint64{early, same} {
		if n, open := <-c; open {
			t.Errorf("after the end: got %d", n)
		}
	}
}

// Whoever is slow hears the newest and no other, and numbers only rise, whatever etcd forgets meanwhile.
func TestWatchThroughCompaction(t *testing.T) {
	t.Parallel() // it waits for the disk
	s := alone(t)
	slow, quick := s.WatchNewest(t.Context(), 0), s.WatchNewest(t.Context(), 0)
	const last = 200
	written := make(chan error, 1)
	go func() {
		var err error
		for n := uint64(0); n < last && err == nil; n++ {
			_, err = s.Commit(t.Context(), n, change("admin/a"))
			if n%10 == 0 {
				err = errors.Join(err, store.Compact(t.Context(), s))
			}
		}
		written <- err
	}()
	for seen := uint64(0); seen < last; {
		n := receive(t, quick)
		if n <= seen {
			t.Fatalf("%d came after %d", n, seen)
		}
		seen = n
	}
	if err := <-written; err != nil {
		t.Fatal(err)
	}
	n := receive(t, slow) // the last of its events may still be on its way
	if n != last && receive(t, slow) != last {
		t.Errorf("the slow one heard %d", n)
	}
}
