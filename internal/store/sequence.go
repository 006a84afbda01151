package store

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"ropeway/internal/audit"
	"ropeway/internal/diag"
)

// ErrTrimmed is returned for entries that were exported and removed. Test with errors.Is.
var ErrTrimmed = errors.New("these entries have been exported and removed")

// A Head is what the audit log is.
type Head struct {
	Tree       audit.Tree // all that ever was in it
	First      audit.Tree // what has been exported and removed
	Checkpoint string     // signed, of Tree; empty where the log is empty
}

// headRecord is a head as it stands in etcd.
type headRecord struct {
	Version    int        `json:"v"`
	Tree       audit.Tree `json:"tree"`
	First      audit.Tree `json:"first"`
	Checkpoint string     `json:"checkpoint"`
}

func (r *headRecord) check() error {
	if r.Checkpoint == "" || r.First.Size > r.Tree.Size {
		return errors.New("the head of the audit log has a checkpoint, and does not begin after its end")
	}
	return errors.Join(checkVersion(r.Version), r.Tree.Check(), r.First.Check())
}

func entryKey(position int64) string { return fmt.Sprintf("%s%020d", entriesAt, position) }

// A sight of the head, and what was true when it was seen.
type headSight struct {
	Head
	at int64 // the revision of etcd that wrote it; 0: it was never written
}

// same holds as long as the head is as it was seen. Whoever gives entries their places or removes them writes it.
func (h *headSight) same() clientv3.Cmp {
	return clientv3.Compare(clientv3.ModRevision(headKey), "=", h.at)
}

func headOf(kvs []*mvccpb.KeyValue) (*headSight, error) {
	if len(kvs) == 0 {
		return &headSight{}, nil
	}
	var r headRecord
	if err := decode(kvs[0].Value, &r); err != nil {
		return nil, fmt.Errorf("the head of the audit log: %w", err)
	}
	return &headSight{Head{r.Tree, r.First, r.Checkpoint}, kvs[0].ModRevision}, nil
}

// put is the operation that writes the head, signed.
func (h *Head) put(signer *audit.Signer) (op clientv3.Op, err error) {
	if h.Checkpoint, err = signer.Checkpoint(h.Tree, h.First.Size); err != nil {
		return op, err
	}
	value, err := encode(&headRecord{version, h.Tree, h.First, h.Checkpoint})
	return clientv3.OpPut(headKey, value), err
}

// genuine refuses a head that the key did not sign: somebody changed it, or it is that of another authority. On such a log nothing is built.
func (h *headSight) genuine(signer *audit.Signer) error {
	if h.at == 0 {
		return nil
	}
	c, err := audit.OpenCheckpoint(h.Checkpoint, signer.Key())
	if err == nil && c != (audit.Checkpoint{Log: signer.Log(), Size: h.Tree.Size, Root: h.Tree.Root(), First: h.First.Size}) {
		err = errors.New("its checkpoint is of another log")
	}
	if err != nil {
		return fmt.Errorf("%w: the head of the audit log: %w", ErrDamaged, err)
	}
	return nil
}

// AuditHead returns what the log is.
func (s *Store) AuditHead(ctx context.Context) (*Head, error) {
	got, err := s.get(ctx, "read the head of the audit log", headKey)
	if err != nil {
		return nil, err
	}
	h, err := headOf(got.Kvs)
	if err != nil {
		return nil, err
	}
	return &h.Head, nil
}

// Sequence gives pending entries their places in the log, in the order in which etcd wrote them, and reports how many; 60 at most. Any number of
// controllers may do it at the same time: of two that took the same entries one is too late, and looks again. So each has one place.
func (s *Store) Sequence(ctx context.Context, signer *audit.Signer) (placed int, err error) {
	if err := s.payDebts(ctx); err != nil {
		return 0, err
	}
	err = s.call(ctx, "write the audit log", func(ctx context.Context) error {
		return again(func() (done bool, err error) {
			placed, done, err = s.sequence(ctx, signer)
			return done, err
		})
	})
	return placed, err
}

func (s *Store) sequence(ctx context.Context, signer *audit.Signer) (placed int, done bool, err error) {
	oldest := []clientv3.OpOption{clientv3.WithPrefix(), clientv3.WithSort(clientv3.SortByModRevision, clientv3.SortAscend), clientv3.WithLimit(maxPlaced)}
	got, err := s.client.Txn(ctx).Then(clientv3.OpGet(headKey), clientv3.OpGet(pendingAt, oldest...)).Commit()
	if err != nil {
		return 0, false, err
	}
	waiting := ordered(got.Responses[1].GetResponseRange().Kvs)
	if len(waiting) == 0 {
		return 0, true, nil
	}
	h, err := headOf(got.Responses[0].GetResponseRange().Kvs)
	if err == nil {
		err = h.genuine(signer)
	}
	if err != nil {
		return 0, false, err
	}
	var ops []clientv3.Op
	for _, kv := range waiting {
		ops = append(ops, clientv3.OpPut(entryKey(h.Tree.Size), string(kv.Value)), clientv3.OpDelete(string(kv.Key)))
		h.Tree.Append(kv.Value)
	}
	head, err := h.put(signer)
	if err != nil {
		return 0, false, err
	}
	answer, err := s.client.Txn(ctx).If(h.same()).Then(append(ops, head)...).Commit()
	return len(waiting), err == nil && answer.Succeeded, err
}

// ordered puts entries that one transaction wrote in the order of their index, which etcd does not promise, and leaves out those of the last
// transaction where they may not be all.
func ordered(kvs []*mvccpb.KeyValue) []*mvccpb.KeyValue {
	slices.SortFunc(kvs, func(a, b *mvccpb.KeyValue) int {
		return cmp.Or(cmp.Compare(a.ModRevision, b.ModRevision), bytes.Compare(a.Key, b.Key))
	})
	if n := len(kvs); n == maxPlaced && kvs[0].ModRevision != kvs[n-1].ModRevision {
		return kvs[:slices.IndexFunc(kvs, func(kv *mvccpb.KeyValue) bool { return kv.ModRevision == kvs[n-1].ModRevision })]
	}
	return kvs
}

// maxEntries bounds how many entries one call reads.
const maxEntries = 1000

// AuditEntries returns entries as they were written, from a position on, without a gap; at most 1000. Before the first that is still there it is
// ErrTrimmed; past the end there are none.
func (s *Store) AuditEntries(ctx context.Context, from int64, limit int) ([][]byte, error) {
	doing := fmt.Sprintf("read audit entries from %d", from)
	limit = max(0, min(limit, maxEntries))
	var got *clientv3.TxnResponse
	err := s.call(ctx, doing, func(ctx context.Context) (err error) {
		some := clientv3.OpGet(entryKey(max(from, 0)), clientv3.WithRange(entryKey(max(from, 0)+int64(limit))))
		got, err = s.client.Txn(ctx).Then(clientv3.OpGet(headKey), some).Commit()
		return err
	})
	if err != nil {
		return nil, err
	}
	h, err := headOf(got.Responses[0].GetResponseRange().Kvs)
	switch {
	case err != nil:
		return nil, err
	case from < h.First.Size:
		return nil, fmt.Errorf("%s: %w: the first is %d", doing, ErrTrimmed, h.First.Size)
	}
	kvs := got.Responses[1].GetResponseRange().Kvs
	if want := min(int64(limit), max(0, h.Tree.Size-from)); int64(len(kvs)) != want {
		return nil, fmt.Errorf("%s: %w: %d are there, and should be %d", doing, ErrDamaged, len(kvs), want)
	}
	out := make([][]byte, len(kvs))
	for i, kv := range kvs {
		if string(kv.Key) != entryKey(from+int64(i)) {
			return nil, fmt.Errorf("%s: %w: entry %d is missing", doing, ErrDamaged, from+int64(i))
		}
		out[i] = kv.Value
	}
	return out, nil
}

// TrimAudit removes the entries before a checkpoint of the log's own, all of which somebody has exported, and records that. What is left of
// them is the edge of their tree, so that later exports follow earlier ones. It reads all that it removes, and holds it against the checkpoint.
func (s *Store) TrimAudit(ctx context.Context, signer *audit.Signer, upTo audit.Checkpoint) error {
	h, err := s.AuditHead(ctx)
	if err != nil {
		return err
	}
	first := h.First
	if upTo.Size < first.Size || upTo.Size > h.Tree.Size {
		return fmt.Errorf("trim the audit log to %d: %w: it has entries %d to %d", upTo.Size, ErrTrimmed, first.Size, h.Tree.Size)
	}
	for first.Size < upTo.Size {
		leaves, err := s.AuditEntries(ctx, first.Size, int(min(upTo.Size-first.Size, maxEntries)))
		if err != nil {
			return err
		}
		for _, leaf := range leaves {
			first.Append(leaf)
		}
	}
	if first.Root() != upTo.Root {
		return fmt.Errorf("trim the audit log to %d: %w: the entries are not those of the checkpoint", upTo.Size, ErrDamaged)
	}
	return s.trim(ctx, signer, first)
}

// trim moves the beginning of the log to the end of a tree, which is what was read up to there.
func (s *Store) trim(ctx context.Context, signer *audit.Signer, first audit.Tree) error {
	e := audit.Entry{What: "audit.trim", Object: fmt.Sprintf("entries before %d", first.Size), Outcome: audit.Done}
	entry, err := recorded(ctx, newMark(), e)
	if err != nil {
		return err
	}
	err = s.call(ctx, "trim the audit log", func(ctx context.Context) error {
		return again(func() (bool, error) {
			got, err := s.client.Get(ctx, headKey)
			if err != nil {
				return false, err
			}
			h, err := headOf(got.Kvs)
			if err == nil {
				err = h.genuine(signer)
			}
			if err != nil || h.First.Size >= first.Size {
				return err == nil, err // somebody else did, or an earlier try
			}
			h.First = first
			head, err := h.put(signer)
			if err != nil {
				return false, err
			}
			answer, err := s.client.Txn(ctx).If(h.same()).Then(head, entry).Commit()
			return err == nil && answer.Succeeded, err
		})
	})
	if err != nil {
		return err
	}
	return s.sweep(ctx, first.Size)
}

// sweepAtOnce bounds how many entries one transaction removes: etcd keeps everybody waiting meanwhile.
const sweepAtOnce = 10_000

// sweep removes the entries before a position, at which the log begins: those that a sweep left which was cut short, too.
func (s *Store) sweep(ctx context.Context, first int64) error {
	for {
		oldest, err := s.get(ctx, "find the oldest audit entry", entryKey(0), clientv3.WithRange(entryKey(first)), clientv3.WithLimit(1), clientv3.WithKeysOnly())
		if err != nil || len(oldest.Kvs) == 0 {
			return err
		}
		from := string(oldest.Kvs[0].Key)
		position, err := strconv.ParseInt(strings.TrimPrefix(from, entriesAt), 10, 64)
		if err != nil {
			return fmt.Errorf("remove audit entries: %w: %s", ErrDamaged, diag.Quote(from))
		}
		err = s.call(ctx, "remove audit entries", func(ctx context.Context) error {
			_, err := s.client.Delete(ctx, from, clientv3.WithRange(entryKey(min(position+sweepAtOnce, first))))
			return err
		})
		if err != nil {
			return err
		}
	}
}

// WatchAudit sends whenever something may have come into the log or waits for its place, and every few seconds anyhow. The channel is closed
// when ctx ends or the store is closed.
func (s *Store) WatchAudit(ctx context.Context) <-chan struct{} {
	out := make(chan struct{}, 1)
	s.background(ctx, func(ctx context.Context) { s.stir(ctx, out) }, func() { close(out) })
	return out
}

// stir sends what events tell until the watch breaks.
func (s *Store) stir(ctx context.Context, out chan struct{}) {
	ctx, cancel := context.WithCancel(clientv3.WithRequireLeader(ctx)) // ends the watch with this call
	defer cancel()
	events := s.client.Watch(ctx, auditAt, clientv3.WithPrefix(), clientv3.WithFilterDelete())
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case out <- struct{}{}:
		default: // whoever hears it looks at everything
		}
		select {
		case <-tick.C:
		case got, ok := <-events:
			if !ok || got.Err() != nil {
				return
			}
		}
	}
}
