package store_test

import (
	"errors"
	"path/filepath"
	"testing"

	"ropeway/internal/store"
)

// A full store refuses what would make it larger, reads, revokes, and lives on once it has room.
func TestFull(t *testing.T) {
	t.Parallel() // it waits for the disk
	o := store.Options{Dir: filepath.Join(t.TempDir(), "etcd"), Quota: 16 << 20}
	s, ctx := open(t, o), t.Context()
	put(t, s, token("member"), token("spare"), token("other"))
	if err := redeem(t, s, "member", "one"); err != nil {
		t.Fatal(err)
	}
	var n uint64
	var err error
	for seed := uint64(0); err == nil && seed < 100; seed++ {
		r, last := change("admin/a"), n
		r.File = noise(seed, 2500<<10)
		if n, err = s.Commit(ctx, n, r); err != nil {
			n = last
		}
	}
	if !errors.Is(err, store.ErrFull) || n == 0 {
		t.Fatalf("after %d revisions: %v", n, err)
	}
	if _, err := s.Commit(ctx, n, change("admin/a")); !errors.Is(err, store.ErrFull) {
		t.Errorf("a small one: %v", err)
	}
	if err := s.PutToken(ctx, token("new")); !errors.Is(err, store.ErrFull) {
		t.Errorf("a token: %v", err)
	}
	if err := redeem(t, s, "spare", "two"); !errors.Is(err, store.ErrEnrolled) {
		t.Errorf("a second enrolment: %v", err)
	}
	if r, err := s.Newest(ctx); err != nil || r.Number != n || len(r.File) != 2500<<10 {
		t.Errorf("the newest is %v, %v", r, err)
	}
	if err := errors.Join(s.Revoke(ctx, gateway), s.RevokeToken(ctx, "id-of-other")); err != nil {
		t.Errorf("revoke: %v", err)
	}
	if m, err := s.Member(ctx, gateway); err != nil || !m.Revoked {
		t.Errorf("the member is %v, %v", m, err)
	}
	if left := store.StrayChunks(t, s); left > 0 {
		t.Errorf("a revision that did not fit left %d chunks", left)
	}
	roomAgain(t, s, o, n)
}

func roomAgain(t *testing.T, s *store.Store, o store.Options, n uint64) {
	t.Helper()
	ctx := t.Context()
	if err := s.Reclaim(ctx); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Commit(ctx, n, change("admin/a")); err != nil || got != n+1 { // what the failed one took is free
		t.Errorf("after space was reclaimed: %d, %v", got, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	o.Quota = 32 << 20
	s = open(t, o)
	r := change("admin/a")
	r.File = noise(500, 4<<20)
	if got, err := s.Commit(ctx, n+1, r); err != nil || got != n+2 {
		t.Errorf("with a greater quota: %d, %v", got, err)
	}
}
