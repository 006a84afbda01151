package store_test

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ropeway/internal/key"
	"ropeway/internal/store"
)

const gateway = "gateway/use1-a"

// noon is when everything in these tests happens.
func noon() time.Time { return time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC) }

func token(secret string) store.Token {
	return store.Token{ID: "id-of-" + secret, Hash: sha256.Sum256([]byte(secret)), Identity: gateway, Author: "admin/ada", Expires: noon().Add(time.Hour)}
}

func put(t testing.TB, s *store.Store, tokens ...store.Token) {
	t.Helper()
	for _, tok := range tokens {
		if err := s.PutToken(t.Context(), tok); err != nil {
			t.Fatal(err)
		}
	}
}

// member says whom a token makes: whoever comes with this certificate.
func member(certificate string) func(store.Token) store.Member {
	return func(t store.Token) store.Member {
		return store.Member{Identity: t.Identity, Fingerprint: sha256.Sum256([]byte(certificate)), At: noon()}
	}
}

func redeem(t testing.TB, s *store.Store, secret, certificate string) error {
	t.Helper()
	_, err := s.Redeem(t.Context(), sha256.Sum256([]byte(secret)), noon(), member(certificate))
	return err
}

func TestTokens(t *testing.T) {
	s, ctx := alone(t), t.Context()
	a, b := token("a"), token("b")
	b.Replace = true
	put(t, s, a, b)
	sameID, sameHash := token("c"), token("a")
	sameID.ID, sameHash.ID = a.ID, "another"
	for _, tok := range []store.Token{a, sameID, sameHash} {
		if err := s.PutToken(ctx, tok); !errors.Is(err, store.ErrExists) {
			t.Errorf("a second %s: %v", tok.ID, err)
		}
	}
	for name, bad := range map[string]store.Token{
		"ID": {ID: "a\nb", Hash: a.Hash, Identity: gateway, Author: "x", Expires: noon()}, "nothing": {},
		"hash":   {ID: "x", Identity: gateway, Author: "x", Expires: noon()},
		"expiry": {ID: "x", Hash: a.Hash, Identity: gateway, Author: "x"},
	} {
		if err := s.PutToken(ctx, bad); err == nil || errors.Is(err, store.ErrExists) {
			t.Errorf("a bad %s: %v", name, err)
		}
	}
	list, err := s.Tokens(ctx)
	slices.SortFunc(list, func(a, b store.Token) int { return cmpIDs(a, b) })
	if diff := cmp.Diff([]store.Token{a, b}, list); err != nil || diff != "" {
		t.Error(err, diff)
	}
	if err := s.RevokeToken(ctx, a.ID); err != nil {
		t.Error(err)
	}
	for _, id := range []string{a.ID, "never", "", "\n"} {
		if err := s.RevokeToken(ctx, id); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("revoke %q: %v", id, err)
		}
	}
	if err := redeem(t, s, "a", "x"); !errors.Is(err, store.ErrToken) {
		t.Errorf("a revoked token: %v", err)
	}
}

func cmpIDs(a, b store.Token) int {
	if a.ID < b.ID {
		return -1
	}
	return 1
}

// Unknown, used and expired tokens cannot be told apart.
func TestRedeem(t *testing.T) {
	s, ctx := alone(t), t.Context()
	old := token("old")
	old.Expires = noon()
	put(t, s, token("good"), old)
	k, err := key.NewPrivate()
	if err != nil {
		t.Fatal(err)
	}
	want := store.Member{
		Identity: gateway, Fingerprint: sha256.Sum256([]byte("cert")), At: noon(), PublicKeys: map[string]string{"rw0": k.Public().String()},
	}
	if _, err := s.Redeem(ctx, token("good").Hash, noon(), func(store.Token) store.Member { return store.Member{Identity: "admin/eve"} }); err == nil {
		t.Error("a token made somebody else")
	}
	got, err := s.Redeem(ctx, token("good").Hash, noon(), func(store.Token) store.Member { return want })
	if diff := cmp.Diff(token("good"), got); err != nil || diff != "" {
		t.Fatal(err, diff)
	}
	m, err := s.Member(ctx, gateway)
	if diff := cmp.Diff(&want, m); err != nil || diff != "" {
		t.Error(err, diff)
	}
	var answers []string
	for _, secret := range []string{"good", "old", "never"} {
		err := redeem(t, s, secret, "cert")
		if !errors.Is(err, store.ErrToken) {
			t.Errorf("%s: %v", secret, err)
		}
		answers = append(answers, fmt.Sprint(err))
	}
	if len(slices.Compact(answers)) != 1 {
		t.Errorf("the answers differ: %q", answers)
	}
}

func TestEnrolledOnce(t *testing.T) {
	s, ctx := alone(t), t.Context()
	replacing := token("replacing")
	replacing.Replace = true
	put(t, s, token("first"), token("early"), replacing)
	if err := redeem(t, s, "first", "one"); err != nil {
		t.Fatal(err)
	}
	put(t, s, token("between"))
	for _, secret := range []string{"early", "between"} {
		if err := redeem(t, s, secret, "two"); !errors.Is(err, store.ErrEnrolled) {
			t.Errorf("%s, while there is a member: %v", secret, err)
		}
	}
	if err := s.Revoke(ctx, gateway); err != nil {
		t.Fatal(err)
	}
	put(t, s, token("late"), token("later"))
	for _, secret := range []string{"early", "between"} {
		if err := redeem(t, s, secret, "two"); !errors.Is(err, store.ErrEnrolled) {
			t.Errorf("%s, from before the revocation: %v", secret, err)
		}
	}
	if err := redeem(t, s, "late", "three"); err != nil {
		t.Errorf("from after the revocation: %v", err)
	}
	if err := redeem(t, s, "later", "four"); !errors.Is(err, store.ErrEnrolled) {
		t.Errorf("a second one from after the revocation: %v", err)
	}
	if err := redeem(t, s, "replacing", "five"); err != nil {
		t.Errorf("one that replaces: %v", err)
	}
	if m, err := s.Member(ctx, gateway); err != nil || m.Revoked || m.Fingerprint != sha256.Sum256([]byte("five")) {
		t.Errorf("the member is %v, %v", m, err)
	}
}

func TestMembers(t *testing.T) {
	s, ctx := alone(t), t.Context()
	for _, identity := range []string{"gateway/b", "admin/a", "gateway/a", "gateways/a"} {
		tok := token(identity)
		tok.Identity = identity
		put(t, s, tok)
		if err := redeem(t, s, identity, identity); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 { // again is as well
		if err := s.Revoke(ctx, "gateway/b"); err != nil {
			t.Fatal(err)
		}
	}
	for prefix, want := range map[string]string{
		"": "admin/a gateway/a gateway/b revoked gateways/a", "gateway/": "gateway/a gateway/b revoked", "gateway/b": "gateway/b revoked", "x": "",
	} {
		list, err := s.Members(ctx, prefix)
		var got string
		for _, m := range list {
			if got += " " + m.Identity; m.Revoked {
				got += " revoked"
			}
		}
		if err != nil || got != "" && got[1:] != want || got == "" && want != "" {
			t.Errorf("members of %q: %q, %v", prefix, got, err)
		}
	}
	if m, err := s.Member(ctx, "gateway/b"); err != nil || !m.Revoked {
		t.Errorf("got %v, %v", m, err)
	}
	if _, err := s.Member(ctx, "gateway/"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("got %v", err)
	}
	if err := s.Revoke(ctx, "gateway/none"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("got %v", err)
	}
}

// However many show a token at once, one is served, and he is the member.
func TestRacingRedemptions(t *testing.T) {
	s := alone(t)
	put(t, s, token("one"))
	const racers = 1000
	var all sync.WaitGroup
	served := make(chan string, racers)
	for i := range racers {
		all.Go(func() {
			certificate := fmt.Sprint("certificate ", i)
			err := redeem(t, s, "one", certificate)
			if err == nil {
				served <- certificate
			} else if !errors.Is(err, store.ErrToken) {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if len(served) != 1 {
		t.Fatalf("%d were served", len(served))
	}
	if m, err := s.Member(t.Context(), gateway); err != nil || m.Fingerprint != sha256.Sum256([]byte(<-served)) {
		t.Errorf("the member is %v, %v", m, err)
	}
}
