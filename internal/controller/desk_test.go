package controller

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"ropeway/internal/diag"
	"ropeway/internal/intent"
	"ropeway/internal/key"
	"ropeway/internal/store"
)

func deskOf(t *testing.T) *desk {
	t.Helper()
	s, err := store.Open(t.Context(), store.Options{Dir: t.TempDir() + "/store", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return newDesk("shop", s)
}

// file is a fabric of two places; more is added to its spec.
func file(more string) []byte {
	return fmt.Appendf(nil, `apiVersion: ropeway/v1
kind: Fabric
metadata: {name: shop}
spec:
  topology: {mode: mesh}
  regions:
    - {name: east, prefixes: [10.1.0.0/24], gateways: [{name: gw1, endpoint: 192.0.2.1}]}
    - {name: west, prefixes: [10.2.0.0/24], gateways: [{name: gw2, endpoint: 192.0.2.2}]}
%s
`, more)
}

const (
	open   = "  access: [{from: any, to: any}]"
	closed = "  access: [{from: region/east, to: region/west, ports: [tcp/443]}]"
	broken = closed + "\n  tests: [{from: region/west, to: region/east, expect: reachable}]"
)

func codeOf(err error) diag.Code {
	var p diag.Problem
	errors.As(err, &p)
	return p.Code
}

func TestApply(t *testing.T) {
	d := deskOf(t)
	apply := func(base uint64, text []byte, override ...string) (uint64, bool, error) {
		c := change{author: "operator/ada", name: "shop.yaml", file: text, base: base, override: override, at: time.Unix(1, 0)}
		if len(override) > 0 {
			c.reason = "a story"
		}
		return d.apply(t.Context(), c)
	}
	if n, changed, err := apply(0, file(open)); err != nil || n != 1 || !changed {
		t.Fatalf("the first: %d, %v, %v", n, changed, err)
	}
	if n, changed, err := apply(1, file(open)); err != nil || n != 1 || changed {
		t.Errorf("the same again: %d, %v, %v", n, changed, err)
	}
	if _, _, err := apply(0, file(closed)); codeOf(err) != "RW7001" {
		t.Errorf("what was looked at before somebody else changed it: %v", err)
	}
	if _, _, err := apply(1, file(broken)); codeOf(err) != "RW7003" {
		t.Errorf("a test that does not hold: %v", err)
	}
	if _, _, err := apply(1, []byte(strings.Replace(string(file(open)), "name: shop", "name: shoe", 1))); codeOf(err) != "RW7002" {
		t.Errorf("another fabric: %v", err)
	}
	if _, _, err := apply(1, []byte("kind: Nothing")); err == nil {
		t.Error("no fabric file at all")
	}
	if r, err := d.store.Newest(t.Context()); err != nil || r.Number != 1 {
		t.Fatalf("what was refused changed something: %+v, %v", r, err)
	}
	if _, _, err := d.apply(t.Context(), change{author: "a", name: "f", file: file(broken), base: 1, override: []string{"tests"}}); codeOf(err) != "RW7004" {
		t.Errorf("an override without a reason: %v", err)
	}
	if n, _, err := apply(1, file(broken), "tests"); err != nil || n != 2 {
		t.Errorf("overridden: %d, %v", n, err)
	}
	r, err := d.store.Newest(t.Context())
	if err != nil || r.Author != "operator/ada" || r.Reason != "a story" || len(r.Override) != 1 {
		t.Errorf("recorded: %+v, %v", r, err)
	}
}

// What somebody looked at is not proven again when he applies it, and no other file, no key that came meanwhile and no other base passes for it.
func TestWhatWasLookedAtIsProvenOnce(t *testing.T) {
	d := deskOf(t)
	look := func(text []byte) {
		_, _, _, err := d.propose(t.Context(), "f", text, nil, true)
		must(t, err)
	}
	proven := func(text []byte) bool { // is what an apply would find proven already
		in, problems := intent.Read("f", text)
		if in == nil {
			t.Fatal(problems)
		}
		now, next, err := d.compile(t.Context(), in, text)
		must(t, err)
		return d.looked.Load().same(now.newest, next)
	}
	if proven(file(open)) {
		t.Error("nobody looked at anything yet")
	}
	look(file(open))
	if !proven(file(open)) || proven(file(closed)) {
		t.Error("the file that was looked at is not known again, or another one is")
	}
	look(file(broken))
	if _, _, err := d.apply(t.Context(), change{author: "a", name: "f", file: file(broken), at: time.Unix(1, 0)}); codeOf(err) != "RW7003" {
		t.Errorf("looking at a proof that fails makes it hold: %v", err)
	}
	look(file(open))
	k, err := key.NewPrivate()
	must(t, err)
	becomesMember(t, d.store, "gw1", k.Public())
	if proven(file(open)) {
		t.Error("the key of a gateway came, and the old proof is taken for the new plan's")
	}
	look(file(open))
	if _, _, err := d.apply(t.Context(), change{author: "a", name: "f", file: file(open), at: time.Unix(1, 0)}); err != nil {
		t.Fatal(err)
	}
	if proven(file(open)) {
		t.Error("a proof beside what was before is taken for one beside what is now")
	}
}

// becomesMember enrolls a gateway with a key.
func becomesMember(t *testing.T, s *store.Store, gateway string, k key.Public) {
	t.Helper()
	hash := sha256.Sum256([]byte(gateway))
	must(t, s.PutToken(t.Context(), store.Token{ID: gateway, Hash: hash, Identity: gatewayPrefix + gateway, Author: "admin/ann", Expires: time.Unix(1000, 0)}))
	_, err := s.Redeem(t.Context(), hash, time.Unix(1, 0), func(token store.Token) store.Member {
		return store.Member{Identity: token.Identity, Fingerprint: hash, PublicKeys: map[string]string{deviceName: k.String()}, At: time.Unix(1, 0)}
	})
	must(t, err)
}

// Gateways that enroll in the same moment all become known, whoever else changes the fabric meanwhile.
func TestKeysThatComeTogether(t *testing.T) {
	d := deskOf(t)
	if _, _, err := d.apply(t.Context(), change{author: "a", name: "f", file: file(open), at: time.Unix(1, 0)}); err != nil {
		t.Fatal(err)
	}
	keys := map[string]key.Public{}
	var all sync.WaitGroup
	for _, name := range []string{"gw1", "gw2", "gw3"} { // no fabric has the third
		private, err := key.NewPrivate()
		if err != nil {
			t.Fatal(err)
		}
		public := private.Public()
		keys[name] = public
		for range 4 {
			all.Go(func() {
				if err := d.know(t.Context(), name, public, time.Unix(2, 0)); err != nil {
					t.Error(err)
				}
			})
		}
	}
	all.Wait()
	now, err := d.current(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if now.number != 3 {
		t.Errorf("revision %d, want one for each key", now.number)
	}
	for _, g := range now.plan.Gateways {
		if g.Devices[0].PublicKey != keys[g.Name] {
			t.Errorf("%s: another key", g.Name)
		}
	}
	// A controller that starts anew knows the same.
	again, err := newDesk("shop", d.store).current(t.Context())
	if err != nil || again.plan.Gateway("gw1").Devices[0].PublicKey != keys["gw1"] {
		t.Errorf("after a restart: %v", err)
	}
}

func problemOf(err error) *diag.Problem {
	p := new(diag.Problem)
	errors.As(err, p)
	return p
}
