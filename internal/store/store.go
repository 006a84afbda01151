// Package store keeps what a controller must not forget: the revisions of the fabric, the tokens that could still serve, and the members
// that such tokens made. All of it is in etcd: one that runs in this process, alone or as a member of a cluster, or one that is there
// already. The code above Open is the same for the three.
//
// Nothing is locked. Whoever writes says in the transaction itself what has to be true still: that the newest revision is the one that he
// began from, that a token is there, that a member is as he saw it. Where it is not, nothing is written. So of many that race exactly one
// wins, whatever clocks, leaders and networks do.
//
// A write that ends without an answer, because a leader was lost, may have happened. Every write therefore bears a random mark. It is tried
// again for some seconds, and where the mark is found it did happen, once. What is still in doubt after that is ErrUnavailable.
//
// Values are JSON of a version, and read as strictly as a file that somebody handed in. The files of a revision are compressed and cut into
// chunks below what etcd takes in one request; chunks that do not fit into the transaction that makes the revision are written before it,
// under its number and mark, and are nothing until it is there. That transaction removes what others wrote for the same number, and from then
// on nobody can write there: a lost race leaves nothing.
//
// A store that is full refuses whatever would make it larger, and goes on reading and removing. A revocation removes a key, so it is possible
// even then.
//
// Every change writes, in its own transaction, who made it (audit.go); Sequence gives such entries their places in a log that nobody changes
// unseen (package audit).
//
// An embedded etcd that cannot write to its disk any more ends the process, after it logged why: nobody knows what a disk kept whose fsync
// failed, so going on would acknowledge what may be gone.
package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
	"go.uber.org/zap"
)

// A Store is an open connection to etcd. Its methods may be called by several goroutines.
type Store struct {
	client  *clientv3.Client
	etcd    *embed.Etcd  // nil: somebody else runs it
	release func() error // gives the directory back
	name    string       // of this opening, among those that record
	debts   debts
	removed atomic.Bool // the etcd of this process has heard that its member was

	ctx     context.Context // ends with Close
	cancel  context.CancelFunc
	mu      sync.Mutex // holds closed and the beginning of work
	closed  bool
	working sync.WaitGroup // calls and watches
}

// Open starts etcd, or connects to it, and returns once it answers. In a cluster that takes most of its members.
func Open(ctx context.Context, o Options) (*Store, error) {
	if err := o.check(); err != nil {
		return nil, fmt.Errorf("open the store: %w", err)
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	s := &Store{name: newMark()}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	start := s.embed
	if len(o.Endpoints) > 0 {
		start = s.connect
	}
	err := start(ctx, o, logger(o.Log, &s.removed))
	if err == nil {
		_, err = s.newest(ctx)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open the store: %w", err), s.Close())
	}
	return s, nil
}

// connect makes a client of an etcd that somebody else runs.
func (s *Store) connect(_ context.Context, o Options, log *zap.Logger) error {
	client, err := clientv3.New(clientv3.Config{
		Context: s.ctx, Endpoints: o.Endpoints, TLS: o.TLS, Logger: log,
		DialKeepAliveTime: keepAlive, DialKeepAliveTimeout: keepAlive,
	})
	if err != nil {
		return fmt.Errorf("connect to etcd: %w", err)
	}
	s.client = client
	return nil
}

// Close ends every call and watch, waits for them, and stops an embedded etcd. What was acknowledged is on its disk.
func (s *Store) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	s.mu.Unlock()
	s.cancel()
	s.working.Wait()
	var errs []error
	if s.client != nil {
		if err := s.client.Close(); err != nil && !errors.Is(err, context.Canceled) {
			errs = append(errs, fmt.Errorf("close the connection to etcd: %w", err))
		}
	}
	if s.etcd != nil {
		s.etcd.Close()
	}
	if s.release != nil {
		errs = append(errs, s.release())
	}
	return errors.Join(errs...)
}

// begin notes that work has begun that Close has to end and to wait for. It reports false where Close came first.
func (s *Store) begin() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.working.Add(1)
	}
	return !s.closed
}
