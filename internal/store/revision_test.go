package store_test

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ropeway/internal/store"
)

// whole compares bytes at once: one by one takes cmp a minute.
func whole() cmp.Option { return cmp.Comparer(bytes.Equal) }

func mustCommit(t testing.TB, s *store.Store, base uint64, r store.Revision) uint64 {
	t.Helper()
	n, err := s.Commit(t.Context(), base, r)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestRevisions(t *testing.T) {
	s, ctx := alone(t), t.Context()
	if r, err := s.Newest(ctx); r != nil || err != nil {
		t.Fatalf("an empty store has %v, %v", r, err)
	}
	if list, err := s.Revisions(ctx, 0, 10); len(list) > 0 || err != nil {
		t.Fatalf("an empty store lists %v, %v", list, err)
	}
	first := change("admin/ada")
	first.Reason, first.Override = "because <of> \"it\"\n", []string{"RW3001", "RW3002"}
	if n := mustCommit(t, s, 0, first); n != 1 {
		t.Fatalf("the first is %d", n)
	}
	second := change("operator/bob")
	second.Number, second.File, second.Lock = 77, nil, noise(1, 3<<20) // the number is not looked at
	if n := mustCommit(t, s, 1, second); n != 2 {
		t.Fatalf("the second is %d", n)
	}
	first.Number, second.Number = 1, 2
	for _, want := range []store.Revision{first, second} {
		got, err := s.Revision(ctx, want.Number)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(&want, got, whole()); diff != "" {
			t.Error(diff)
		}
	}
	if got, err := s.Newest(ctx); err != nil || got.Number != 2 {
		t.Errorf("the newest is %v, %v", got, err)
	}
	for _, n := range []uint64{0, 3, 1 << 63} {
		if _, err := s.Revision(ctx, n); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("revision %d: %v", n, err)
		}
	}
	for _, base := range []uint64{0, 1, 3, 1 << 63} {
		if n, err := s.Commit(ctx, base, first); !errors.Is(err, store.ErrMoved) || n != 2 {
			t.Errorf("on base %d: %d, %v", base, n, err)
		}
	}
}

func TestLists(t *testing.T) {
	s := alone(t)
	for n := range uint64(12) {
		mustCommit(t, s, n, change("admin/a"))
	}
	for _, tt := range []struct {
		before uint64
		limit  int
		want   []uint64
	}{
		{0, 3, []uint64{12, 11, 10}},
		{10, 2, []uint64{9, 8}},
		{3, 50, []uint64{2, 1}},
		{1, 50, nil},
		{0, 0, nil},
		{0, -1, nil},
		{100, 90, []uint64{12, 11, 10}},
		{0, 1 << 40, []uint64{12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1}},
	} {
		list, err := s.Revisions(t.Context(), tt.before, tt.limit)
		if err != nil {
			t.Fatal(err)
		}
		var got []uint64
		for _, r := range list {
			got = append(got, r.Number)
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("before %d, %d: %v, want %v", tt.before, tt.limit, got, tt.want)
		}
	}
}

func TestCommitRefuses(t *testing.T) {
	s := alone(t)
	for name, spoil := range map[string]func(*store.Revision){
		"no author":  func(r *store.Revision) { r.Author = "" },
		"no kind":    func(r *store.Revision) { r.Kind = "" },
		"no time":    func(r *store.Revision) { r.At = store.Revision{}.At },
		"bad text":   func(r *store.Revision) { r.Reason = "\xff" },
		"long text":  func(r *store.Revision) { r.Reason = string(make([]byte, 100<<10)) },
		"large file": func(r *store.Revision) { r.File = make([]byte, 65<<20) },
	} {
		r := change("admin/a")
		spoil(&r)
		if _, err := s.Commit(t.Context(), 0, r); err == nil || errors.Is(err, store.ErrMoved) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if r, err := s.Newest(t.Context()); r != nil || err != nil {
		t.Errorf("something was committed: %v, %v", r, err)
	}
}

// Sixty-four write at once, each on what it takes for the newest: every number is given once, and whoever was told one finds his own there.
func TestRacingCommits(t *testing.T) {
	t.Parallel() // it waits for the disk
	s, ctx := alone(t), t.Context()
	const writers = 64
	numbers := make([]uint64, writers)
	var all sync.WaitGroup
	for w := range writers {
		all.Go(func() {
			r, base := change(fmt.Sprint("admin/", w)), uint64(0)
			if w == 0 {
				r.File = noise(1, 1100<<10) // goes in pieces
			}
			for {
				n, err := s.Commit(ctx, base, r)
				if err == nil {
					numbers[w] = n
					return
				}
				if !errors.Is(err, store.ErrMoved) || n == base {
					t.Errorf("on base %d: %d, %v", base, n, err)
					return
				}
				base = n
			}
		})
	}
	all.Wait()
	for w, n := range numbers {
		r, err := s.Revision(ctx, n)
		if err != nil || r.Author != fmt.Sprint("admin/", w) {
			t.Errorf("revision %d of writer %d: %v, %v", n, w, r, err)
		}
	}
	slices.Sort(numbers)
	for i, n := range numbers {
		if n != uint64(i)+1 {
			t.Fatalf("not consecutive: %v", numbers)
		}
	}
	if left := store.StrayChunks(t, s); left > 0 {
		t.Errorf("lost races left %d chunks", left)
	}
}

func TestReopen(t *testing.T) {
	o := store.Options{Dir: filepath.Join(t.TempDir(), "etcd")}
	s := open(t, o)
	mustCommit(t, s, 0, change("admin/a"))
	big := change("admin/b")
	big.File = noise(2, 2<<20)
	mustCommit(t, s, 1, big)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, o)
	got, err := s.Newest(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	big.Number = 2
	if diff := cmp.Diff(&big, got, whole()); diff != "" {
		t.Error(diff)
	}
	mustCommit(t, s, 2, change("admin/c"))
}

func BenchmarkCommit(b *testing.B) {
	s := alone(b)
	r := change("admin/a")
	r.File = noise(3, 100<<10)
	n := uint64(0)
	for b.Loop() {
		n = mustCommit(b, s, n, r)
	}
}

func BenchmarkNewest(b *testing.B) {
	s := alone(b)
	r := change("admin/a")
	r.File = noise(3, 100<<10)
	mustCommit(b, s, 0, r)
	for b.Loop() {
		if _, err := s.Newest(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}
