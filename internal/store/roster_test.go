package store_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"slices"
	"testing"
	"time"

	"ropeway/internal/store"
)

// until waits for something that a watch has to tell.
func until(t testing.TB, what string, so func() bool) {
	t.Helper()
	for begun := time.Now(); !so(); time.Sleep(5 * time.Millisecond) {
		if time.Since(begun) > time.Minute {
			t.Fatalf("it is still not so that %s", what)
		}
	}
}

// A roster lets in whoever was enrolled a moment ago, and nobody who was revoked or replaced, whatever the watch knows by then.
func TestRoster(t *testing.T) {
	s, ctx := alone(t), t.Context()
	left := make(chan string, 100)
	r := s.NewRoster(ctx, func(identity string) { left <- identity })
	if _, err := r.Member(ctx, gateway); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("a stranger: %v", err)
	}
	bound := token("a")
	bound.Places = []string{"use1", "hq"}
	put(t, s, bound)
	_, err := s.Redeem(ctx, bound.Hash, noon(), func(t store.Token) store.Member {
		return store.Member{Identity: t.Identity, Fingerprint: sha256.Sum256([]byte("first")), At: noon(), Places: t.Places}
	})
	if err != nil {
		t.Fatal(err)
	}
	m, err := r.Member(ctx, gateway)
	if err != nil || m.Revoked || m.Fingerprint != sha256.Sum256([]byte("first")) || !slices.Equal(m.Places, bound.Places) {
		t.Fatalf("one who was enrolled just now: %+v, %v", m, err)
	}
	until(t, "the roster knows by itself", func() bool { return store.Stands(r, gateway) })
	if m, err := r.Member(ctx, gateway); err != nil || m.Fingerprint != sha256.Sum256([]byte("first")) || !slices.Equal(m.Places, bound.Places) {
		t.Fatalf("as the roster knows him: %+v, %v", m, err)
	}

	replacing := token("b")
	replacing.Replace = true
	put(t, s, replacing)
	if err := redeem(t, s, "b", "second"); err != nil {
		t.Fatal(err)
	}
	r.Doubt(gateway)
	if m, err := r.Member(ctx, gateway); err != nil || m.Fingerprint != sha256.Sum256([]byte("second")) {
		t.Errorf("one whose place was taken just now: %+v, %v", m, err)
	}
	if err := s.Revoke(ctx, gateway); err != nil {
		t.Fatal(err)
	}
	r.Doubt(gateway)
	if m, err := r.Member(ctx, gateway); err != nil || !m.Revoked {
		t.Errorf("one who was revoked just now: %+v, %v", m, err)
	}
	for range 3 { // enrolled, replaced, revoked: at least one event of each is told
		select {
		case <-left:
		case <-time.After(time.Minute):
			t.Fatal("nobody was told")
		}
	}
}

// A revocation that nobody told this roster of ends what it says within a moment.
func TestRosterHearsOfRevocations(t *testing.T) {
	s := alone(t)
	r := s.NewRoster(t.Context(), nil)
	put(t, s, token("a"))
	if err := redeem(t, s, "a", "first"); err != nil {
		t.Fatal(err)
	}
	until(t, "the roster knows by itself", func() bool { return store.Stands(r, gateway) })
	if err := s.Revoke(t.Context(), gateway); err != nil {
		t.Fatal(err)
	}
	until(t, "the roster knows no more", func() bool { return !store.Stands(r, gateway) })
	if m, err := r.Member(t.Context(), gateway); err != nil || !m.Revoked {
		t.Errorf("%+v, %v", m, err)
	}
}

// A roster whose watch has ended answers nothing by itself.
func TestRosterThatHearsNothing(t *testing.T) {
	s := alone(t)
	ctx, cancel := context.WithCancel(t.Context())
	r := s.NewRoster(ctx, nil)
	put(t, s, token("a"))
	if err := redeem(t, s, "a", "first"); err != nil {
		t.Fatal(err)
	}
	until(t, "the roster knows by itself", func() bool { return store.Stands(r, gateway) })
	cancel()
	until(t, "the roster is silent", func() bool { return !store.Stands(r, gateway) })
	if m, err := r.Member(t.Context(), gateway); err != nil || m.Revoked {
		t.Errorf("the store was not asked: %+v, %v", m, err)
	}
}
