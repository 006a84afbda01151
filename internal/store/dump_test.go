package store_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ropeway/internal/store"
)

func dump(t *testing.T, s *store.Store) (items []store.Item) {
	t.Helper()
	if err := s.Dump(t.Context(), func(i store.Item) error { items = append(items, i); return nil }); err != nil {
		t.Fatal(err)
	}
	return items
}

func load(ctx context.Context, s *store.Store, items []store.Item) error {
	return s.Load(ctx, func() (store.Item, error) {
		if len(items) == 0 {
			return store.Item{}, nil
		}
		next := items[0]
		items = items[1:]
		return next, nil
	})
}

// What was dumped and loaded is the same: revisions, members, tokens until they expire. Who served is not.
func TestDumpAndLoad(t *testing.T) {
	s, ctx := alone(t), t.Context()
	n := uint64(0)
	for i := range 50 {
		r := change(fmt.Sprint("admin/", i))
		r.File = noise(uint64(i), 30<<10)
		n = mustCommit(t, s, n, r)
	}
	big := change("admin/big")
	big.File = noise(77, 3<<20)
	n = mustCommit(t, s, n, big)
	put(t, s, token("member"), token("spare"))
	if err := redeem(t, s, "member", "one"); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(s.Announce(ctx, store.Controller{Name: "a", URL: "https://a:1", At: time.Unix(1, 0)}), s.Bind(ctx, [32]byte{1})); err != nil {
		t.Fatal(err)
	}
	items := append(dump(t, s), store.Item{Key: []byte("ropeway/1/zzz"), Value: []byte("x"), Expires: time.Now().Add(-time.Second)})
	mustCommit(t, s, n, change("admin/later"))

	to := alone(t)
	if err := load(ctx, to, items); err != nil {
		t.Fatal(err)
	}
	was, err := s.Revisions(ctx, n+1, 1000)
	if err != nil {
		t.Fatal(err)
	}
	is, err := to.Revisions(ctx, 0, 1000)
	if err != nil || len(is) != 51 {
		t.Fatal(len(is), err)
	}
	if diff := cmp.Diff(was, is, whole()); diff != "" {
		t.Error(diff)
	}
	if r, err := to.Newest(ctx); err != nil || r.Number != n || len(r.File) != 3<<20 {
		t.Errorf("the newest is %v, %v", r, err)
	}
	if m, err := to.Member(ctx, gateway); err != nil || m.Revoked {
		t.Errorf("the member is %v, %v", m, err)
	}
	tokens, err := to.Tokens(ctx)
	if err != nil || len(tokens) != 1 || tokens[0].ID != "id-of-spare" {
		t.Errorf("the tokens are %v, %v", tokens, err)
	}
	if err := redeem(t, to, "member", "one"); !errors.Is(err, store.ErrToken) {
		t.Errorf("a token that was used: %v", err)
	}
	for _, i := range dump(t, to) {
		if string(i.Key) == "ropeway/1/zzz" {
			t.Error("what has expired is back")
		}
	}
	if list, err := to.Controllers(ctx); err != nil || len(list) != 0 {
		t.Errorf("controllers of a store that is gone: %v, %v", list, err)
	}
	if err := to.Bind(ctx, [32]byte{2}); !errors.Is(err, store.ErrForeign) {
		t.Errorf("another authority: %v", err)
	}
	mustCommit(t, to, n, change("admin/after"))
	if err := load(ctx, to, items); !errors.Is(err, store.ErrOccupied) {
		t.Errorf("into one that holds something: %v", err)
	}
	for _, bad := range []store.Item{{Key: []byte("elsewhere/1"), Value: []byte("x")}, {Key: []byte("ropeway/1/x"), Value: make([]byte, 3<<20)}} {
		if err := load(ctx, alone(t), []store.Item{bad}); !errors.Is(err, store.ErrDamaged) {
			t.Errorf("%q: %v", bad.Key, err)
		}
	}
}

// A dump is of one moment, whatever is written meanwhile.
func TestADumpIsOfOneMoment(t *testing.T) {
	s, ctx := alone(t), t.Context()
	n := uint64(0)
	for range 100 {
		n = mustCommit(t, s, n, change("admin/a"))
	}
	var items []store.Item
	last := n
	err := s.Dump(ctx, func(i store.Item) error {
		if len(items)%10 == 0 {
			last = mustCommit(t, s, last, change("admin/meanwhile"))
		}
		items = append(items, i)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	to := alone(t)
	if err := load(ctx, to, items); err != nil {
		t.Fatal(err)
	}
	if r, err := to.Newest(ctx); err != nil || r.Number != n || last <= n {
		t.Errorf("%v, %v: it began at %d and ended at %d", r, err, n, last)
	}
	stop := errors.New("enough")
	if err := s.Dump(ctx, func(store.Item) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("got %v", err)
	}
}
