package store

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"ropeway/internal/audit"
)

// Where the audit log stands in etcd. What was done is pending under the mark of the change that it belongs to, written by that change's own
// transaction, until somebody gives it its place in the log.
const (
	auditAt   = root + "audit/"
	pendingAt = auditAt + "pending/" // MARK/INDEX: an entry without a place yet
	entriesAt = auditAt + "entries/" // POSITION: an entry
	headKey   = auditAt + "head"     // what the log is now

	recordersAt = auditAt + "recorders/" // NAME: the mark of what one store recorded last
)

type originKey struct{}

// origin is on whose behalf something is done.
type origin struct{ who, from string }

// By returns a context for what somebody asks for, so that the audit log names him: an identity, and the IP address that he calls from. Without
// it, the controller does things of its own accord.
func By(ctx context.Context, who, from string) context.Context {
	return context.WithValue(ctx, originKey{}, origin{who, from})
}

// recorded returns the operation that makes the entry of a change pending. It belongs into the transaction that makes the change, under its
// mark: so there is neither a change without an entry nor an entry without its change, and a transaction that is tried again writes the same.
func recorded(ctx context.Context, mark string, e audit.Entry) (clientv3.Op, error) {
	return pending(mark, 0, on(ctx, e))
}

// on fills in who, where from and when, where an entry does not say.
func on(ctx context.Context, e audit.Entry) audit.Entry {
	by, ok := ctx.Value(originKey{}).(origin)
	if !ok {
		by.who = audit.Controller
	}
	if e.Who == "" {
		e.Who = by.who
	}
	if e.At == 0 {
		e.At = time.Now().UnixMilli()
	}
	e.From = by.from
	return e
}

func pending(mark string, index int, e audit.Entry) (clientv3.Op, error) {
	leaf, err := audit.Encode(audit.Tidy(e))
	if err != nil {
		return clientv3.Op{}, err
	}
	return clientv3.OpPut(fmt.Sprintf("%s%s/%03d", pendingAt, mark, index), string(leaf)), nil
}

// maxPlaced bounds how many entries one transaction writes or gives a place: each takes two operations then, and etcd takes 128.
const maxPlaced = 60

// Record makes entries pending that belong to no change: what was refused, for example. It writes all or none, 60 at most.
//
// A try whose answer was lost may have been made, and its entries may have their places by now, so they are not written again where this store's
// own key says that they were. That key is one for each time a store was opened, and stays.
func (s *Store) Record(ctx context.Context, entries ...audit.Entry) error {
	if len(entries) == 0 || len(entries) > maxPlaced {
		return fmt.Errorf("record %d audit entries: 1 to %d are taken at a time", len(entries), maxPlaced)
	}
	return s.record(ctx, newMark(), entries)
}

// Note writes an entry for something that whoever the context is by wants, and that changes nothing in the store.
func (s *Store) Note(ctx context.Context, e audit.Entry) error {
	return s.record(ctx, newMark(), []audit.Entry{on(ctx, e)})
}

func (s *Store) record(ctx context.Context, mark string, entries []audit.Entry) error {
	ops := []clientv3.Op{clientv3.OpPut(recordersAt+s.name, mark)}
	for i, e := range entries {
		op, err := pending(mark, i, e)
		if err != nil {
			return err
		}
		ops = append(ops, op)
	}
	return s.call(ctx, "record audit entries", func(ctx context.Context) error {
		_, err := s.client.Txn(ctx).If(clientv3.Compare(clientv3.Value(recordersAt+s.name), "=", mark)).Else(ops...).Commit()
		return err
	})
}

// Debts are the entries of revocations that a full store took without: it removes keys, and writes none. They are written once there is room;
// a process that ends before takes them with it.
type debts struct {
	mu   sync.Mutex
	owed []audit.Entry
}

func (d *debts) add(e audit.Entry) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.owed = append(d.owed, e)
}

// payDebts writes what is owed.
func (s *Store) payDebts(ctx context.Context) error {
	s.debts.mu.Lock()
	defer s.debts.mu.Unlock()
	for len(s.debts.owed) > 0 {
		n := min(len(s.debts.owed), maxPlaced)
		if err := s.Record(ctx, s.debts.owed[:n]...); err != nil {
			return err
		}
		s.debts.owed = s.debts.owed[n:]
	}
	return nil
}

// remove has a transaction that only removes, and records it. It reports false where the transaction found the world changed. A full store
// does it too.
func (s *Store) remove(ctx context.Context, still []clientv3.Cmp, e audit.Entry, ops ...clientv3.Op) (done bool, err error) {
	e = on(ctx, e)
	entry, err := pending(newMark(), 0, e)
	if err != nil {
		return false, err
	}
	got, err := s.client.Txn(ctx).If(still...).Then(append(ops, entry)...).Commit()
	if errors.Is(err, rpctypes.ErrNoSpace) {
		if got, err = s.client.Txn(ctx).If(still...).Then(ops...).Commit(); err == nil && got.Succeeded {
			s.debts.add(e)
		}
	}
	return err == nil && got.Succeeded, err
}
