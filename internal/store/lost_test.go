package store

import (
	"path/filepath"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// A write whose answer was lost is tried again, finds itself, and has happened once.
func TestLostAnswers(t *testing.T) {
	ctx := t.Context()
	s, err := Open(ctx, Options{Dir: filepath.Join(t.TempDir(), "etcd")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })

	next, err := s.follower(ctx, 0)
	if err != nil {
		t.Fatal(err)
	}
	a, err := newAttempt(0, next, Revision{At: someTime(), Author: "admin/a", Kind: "apply"})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if n, err := s.conclude(ctx, a); n != 1 || err != nil {
			t.Errorf("commit: %d, %v", n, err)
		}
	}

	tok := &tokenRecord{Version: version, Mark: newMark(), ID: "i", Hash: digest{1}, Identity: "gateway/a", Author: "a", Expires: someTime()}
	for range 2 {
		if done, err := s.putToken(ctx, tok, clientv3.WithLease(clientv3.NoLease)); !done || err != nil {
			t.Errorf("put: %v, %v", done, err)
		}
	}

	calls := 0
	r := &redemption{now: someTime().Add(-1), mark: newMark(), maker: func(t Token) Member {
		calls++
		return Member{Identity: t.Identity, Fingerprint: [32]byte{2}, At: someTime()}
	}}
	for range 2 {
		if done, err := s.redeem(ctx, tok.Hash, r); !done || err != nil {
			t.Errorf("redeem: %v, %v", done, err)
		}
	}
	if calls != 1 {
		t.Errorf("the member was made %d times", calls)
	}
}
