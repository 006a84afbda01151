package store

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	mrand "math/rand/v2"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

const (
	patience = 10 * time.Second       // how long one call tries: a leader is replaced within a few seconds
	breath   = 100 * time.Millisecond // between two tries, more or less
)

// call has one conversation with etcd, and has it again while it fails for want of a leader. A conversation that writes has to know its own
// mark when it meets it.
func (s *Store) call(ctx context.Context, doing string, f func(context.Context) error) error {
	if !s.begin() {
		return fmt.Errorf("%s: %w: it was closed", doing, ErrUnavailable)
	}
	defer s.working.Done()
	limited, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	defer context.AfterFunc(s.ctx, cancel)()
	for {
		attempt, end := s.underOneLeader(limited)
		err := f(attempt)
		end()
		if err == nil {
			return nil
		}
		if !passes(err) || !rest(limited) {
			return fmt.Errorf("%s: %w", doing, s.explain(ctx, err))
		}
	}
}

// underOneLeader returns a context that ends a breath after another leader took over: what was on its way to the last one may be lost, and etcd would wait for
// it for 7 s.
func (s *Store) underOneLeader(ctx context.Context) (attempt context.Context, end context.CancelFunc) {
	attempt, end = context.WithCancel(ctx)
	if s.etcd == nil {
		return attempt, end
	}
	changed := s.etcd.Server.LeaderChangedNotify()
	go func() {
		select {
		case <-attempt.Done():
		case <-changed:
			if rest(attempt) { // what reached another member in time is carried on
				end()
			}
		}
	}()
	return attempt, end
}

// get reads keys, as the majority of the members has them.
func (s *Store) get(ctx context.Context, doing, key string, opts ...clientv3.OpOption) (*clientv3.GetResponse, error) {
	var got *clientv3.GetResponse
	err := s.call(ctx, doing, func(ctx context.Context) (err error) {
		got, err = s.client.Get(ctx, key, opts...)
		return err
	})
	return got, err
}

// rest waits, and reports false where ctx ended first. What fails at once for many should not be tried again by all at once.
func rest(ctx context.Context) bool {
	t := time.NewTimer(breath/2 + mrand.N(breath)) //nolint:gosec // nobody gains by guessing it
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// newMark returns what a write is known by again.
func newMark() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand)
	return hex.EncodeToString(b[:])
}
