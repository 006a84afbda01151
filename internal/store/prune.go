package store

import (
	"context"
	"fmt"
	"strconv"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"ropeway/internal/audit"
)

// Revisions are kept for people to look back at and to go back to. So the old ones may go, files and all, once there are many younger ones: the audit log
// tells of them for as long as anybody keeps it.

// A Keep says which revisions stay: the newest ones, so many, and those that were made within some time before the newest.
type Keep struct {
	Least int
	Since time.Duration
	Batch int // how many more there have to be before any goes, so that not every change has another follow it
}

// Pruned returns the number of the last revision that is gone, 0 where none is.
func (s *Store) Pruned(ctx context.Context) (uint64, error) {
	n, _, err := s.pruned(ctx)
	return n, err
}

func (s *Store) pruned(ctx context.Context) (number uint64, same clientv3.Cmp, err error) {
	got, err := s.get(ctx, "read which revisions were pruned", prunedKey)
	if err != nil {
		return 0, same, err
	}
	if len(got.Kvs) == 0 {
		return 0, clientv3.Compare(clientv3.Version(prunedKey), "=", 0), nil
	}
	number, err = parseNumber(got.Kvs[0].Value)
	return number, unchanged(got.Kvs[0]), err
}

// Prune removes revisions that need not be kept, the oldest first, and returns the number of the last one that is gone. What an active rollout goes back to
// stays. Of several controllers that do so at once one is first.
func (s *Store) Prune(ctx context.Context, keep Keep) (last uint64, err error) {
	gone, same, err := s.pruned(ctx)
	if err != nil {
		return 0, err
	}
	newest, r, err := s.Present(ctx)
	if err != nil || newest-gone < uint64(keep.Least+keep.Batch) { // numbers jump, but there are no more revisions than numbers
		return gone, err
	}
	first, err := s.firstKept(ctx, keep)
	if err != nil {
		return gone, err
	}
	step := int64(0)
	if r != nil {
		step = r.Step
		if r.Active() {
			first = min(first, r.Base)
		}
	}
	older, err := s.Revisions(ctx, first, max(keep.Batch, 1))
	if err != nil || len(older) < max(keep.Batch, 1) {
		return gone, err
	}
	done, err := s.prune(ctx, first, []clientv3.Cmp{same, atStep(step)})
	if err != nil || !done {
		return gone, err
	}
	return first - 1, nil
}

// firstKept returns the number of the oldest revision that is to be kept.
func (s *Store) firstKept(ctx context.Context, keep Keep) (first uint64, err error) {
	var since time.Time // from the newest on, and not from now: a clock that is wrong removes nothing
	kept := 0
	for {
		list, err := s.Revisions(ctx, first, maxList) // before 0: the newest
		if err != nil || len(list) == 0 {
			return first, err
		}
		if since.IsZero() {
			since = list[0].At.Add(-keep.Since)
		}
		for _, r := range list {
			if kept >= max(keep.Least, 1) && r.At.Before(since) {
				return first, nil
			}
			first = r.Number
			kept++
		}
	}
}

// prune removes every revision before a number, with its files, as long as the fences hold.
func (s *Store) prune(ctx context.Context, first uint64, fences []clientv3.Cmp) (done bool, err error) {
	entry, err := recorded(ctx, newMark(), audit.Entry{
		What: "fabric.prune", Object: "revisions", Outcome: audit.Done, Detail: fmt.Sprintf("revisions up to %d were old, and are gone with their files", first-1),
	})
	if err != nil {
		return false, err
	}
	err = s.call(ctx, "remove old revisions", func(ctx context.Context) error {
		got, err := s.client.Txn(ctx).If(fences...).Then(
			clientv3.OpPut(prunedKey, strconv.FormatUint(first-1, 10)),
			clientv3.OpDelete(revisionsAt, clientv3.WithRange(revisionKey(first))),
			clientv3.OpDelete(chunksAt, clientv3.WithRange(chunksOf(first))),
			entry,
		).Commit()
		done = err == nil && got.Succeeded
		return err
	})
	return done, err
}
