package store

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"ropeway/internal/audit"
)

// An attempt is one try to make a revision.
type attempt struct {
	base, number uint64
	numbered     clientv3.Cmp // holds as long as number is the one that follows base
	mark         string
	record       string
	chunks       [][]byte
	along        *along // nil: nothing
	entry        audit.Entry
}

// Commit makes a revision that follows base, the number of the newest one or 0 where there is none, and returns its number: the next one, or one
// past what Surpass was told. Where another revision is the newest, or its seal is for another number, it returns the newest one's number and
// ErrMoved. The number of r is not looked at.
//
// After ErrUnavailable, or where ctx ended, the revision may be there all the same.
func (s *Store) Commit(ctx context.Context, base uint64, r Revision) (number uint64, err error) {
	return s.commit(ctx, base, r, nil)
}

// commit makes a revision with what it brings along, if anything.
func (s *Store) commit(ctx context.Context, base uint64, r Revision, with func(number uint64) (*along, error)) (number uint64, err error) {
	next, err := s.follower(ctx, base)
	if err != nil {
		return 0, err
	}
	if !r.Seal.fits(next.number) {
		return base, ErrMoved
	}
	a, err := newAttempt(base, next, r)
	if err == nil && with != nil {
		a.along, err = with(a.number)
	}
	if err != nil {
		return 0, fmt.Errorf("commit a revision after %d: %w", base, err)
	}
	if len(a.chunks) > 1 { // one fits into the transaction that makes the revision
		number, err = s.upload(ctx, a)
	}
	if err == nil {
		number, err = s.conclude(ctx, a)
	}
	if errors.Is(err, ErrFull) {
		return 0, errors.Join(err, s.discard(ctx, a))
	}
	return number, err
}

func newAttempt(base uint64, next follower, r Revision) (*attempt, error) {
	a := &attempt{base: base, number: next.number, numbered: next.still, mark: newMark(), entry: committed(next.number, r)}
	files, chunks, err := pack(r.File, r.Lock)
	if err != nil {
		return nil, err
	}
	a.chunks = chunks
	a.record, err = encode(&revisionRecord{
		Version: version, Mark: a.mark, Number: a.number, At: r.At.UTC(),
		Author: r.Author, Kind: r.Kind, Reason: r.Reason, Override: r.Override, Past: next.past, Files: files, Seal: r.Seal,
	})
	return a, err
}

// fence holds as long as base is the newest revision.
func (a *attempt) fence() clientv3.Cmp {
	if a.base == 0 {
		return clientv3.Compare(clientv3.Version(newestKey), "=", 0)
	}
	return clientv3.Compare(clientv3.Value(newestKey), "=", strconv.FormatUint(a.base, 10))
}

// unmade holds as long as there is no revision of the number.
func (a *attempt) unmade() clientv3.Cmp {
	return clientv3.Compare(clientv3.Version(revisionKey(a.number)), "=", 0)
}

func (a *attempt) putChunk(i int) clientv3.Op {
	return clientv3.OpPut(chunkKey(a.number, a.mark, i), string(a.chunks[i]))
}

// upload writes the chunks before their revision, each fenced: once somebody else has made the revision of this number, nothing is written
// under it any more. If that fails, what was written goes when a revision gets the number.
func (s *Store) upload(ctx context.Context, a *attempt) (newest uint64, err error) {
	doing := fmt.Sprintf("write the files of revision %d", a.number)
	for i := range a.chunks {
		err := s.call(ctx, doing, func(ctx context.Context) error {
			got, err := s.client.Txn(ctx).If(a.fence()).Then(a.putChunk(i)).Else(clientv3.OpGet(newestKey)).Commit()
			if err != nil || got.Succeeded {
				return err
			}
			newest, err = newestIn(got.Responses[0])
			return moved(err)
		})
		if err != nil {
			return newest, err
		}
	}
	return 0, nil
}

// discard removes the chunks of an attempt that did not fit, for space is short.
func (s *Store) discard(ctx context.Context, a *attempt) error {
	prefix, past := chunksBy(a.number, a.mark)
	return s.call(ctx, "remove the files of a revision that did not fit", func(ctx context.Context) error {
		_, err := s.client.Txn(ctx).If(a.unmade()).Then(clientv3.OpDelete(prefix, clientv3.WithRange(past))).Commit()
		return err
	})
}

// conclude makes the revision, if base is still the newest.
func (s *Store) conclude(ctx context.Context, a *attempt) (number uint64, err error) {
	entry, err := recorded(ctx, a.mark, a.entry)
	if err != nil {
		return 0, fmt.Errorf("commit revision %d: %w", a.number, err)
	}
	prefix, past := chunksBy(a.number, a.mark)
	then := []clientv3.Op{
		clientv3.OpPut(newestKey, strconv.FormatUint(a.number, 10)),
		clientv3.OpPut(revisionKey(a.number), a.record),
		entry,
		clientv3.OpDelete(chunksOf(a.number), clientv3.WithRange(prefix)), // what others wrote for this number
		clientv3.OpDelete(past, clientv3.WithRange(clientv3.GetPrefixRangeEnd(chunksOf(a.number)))),
	}
	if len(a.chunks) == 1 {
		then = append(then, a.putChunk(0))
	}
	if a.number != a.base+1 {
		then = append(then, clientv3.OpPut(jumpKey(a.number), strconv.FormatUint(a.base, 10)))
	}
	fences := []clientv3.Cmp{a.fence(), a.unmade(), a.numbered}
	if a.along != nil {
		fences, then = append(fences, a.along.fence), append(then, a.along.put)
	}
	err = s.call(ctx, fmt.Sprintf("commit revision %d", a.number), func(ctx context.Context) error {
		got, err := s.client.Txn(ctx).If(fences...).Then(then...).
			Else(clientv3.OpGet(newestKey), clientv3.OpGet(revisionKey(a.number))).Commit()
		if err != nil {
			return err
		}
		if got.Succeeded || a.made(got.Responses[1]) {
			number = a.number
			return nil
		}
		number, err = newestIn(got.Responses[0])
		if err == nil && a.stepMoved(number) {
			return ErrStep
		}
		return moved(err)
	})
	return number, err
}

// made reports whether the revision that is there came of an earlier try of this attempt, whose answer was lost.
func (a *attempt) made(found *pb.ResponseOp) bool {
	kvs := found.GetResponseRange().Kvs
	return len(kvs) > 0 && string(kvs[0].Value) == a.record
}

// newestIn reads the number of the newest revision out of the answer to a transaction.
func newestIn(found *pb.ResponseOp) (uint64, error) {
	kvs := found.GetResponseRange().Kvs
	if len(kvs) == 0 {
		return 0, nil
	}
	return parseNumber(kvs[0].Value)
}

func moved(err error) error {
	if err != nil {
		return err
	}
	return ErrMoved
}
