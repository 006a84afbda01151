package store

import (
	"context"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// A Revision is one change of the fabric. They are numbered 1, 2, 3…, without a gap but where the fabric was restored (Surpass), and never change.
type Revision struct {
	Number   uint64
	At       time.Time
	Author   string   // who made it: an identity
	Kind     string   // what made it: "apply", "enroll", "rollback"
	Reason   string   // why, in the words of whoever made it
	Override []string // codes of findings in spite of which it was made
	File     []byte   // the fabric file
	Lock     []byte   // the lock that it was compiled with
	Seal     Seal     // zero where the controllers sign plans themselves
	Past     uint64   // what numbers had to exceed when it was made (Surpass); Commit does not look at it
}

// maxList bounds how many revisions one call lists.
const maxList = 1000

// revisionRecord is a revision as it stands in etcd.
type revisionRecord struct {
	Version  int       `json:"v"`
	Mark     string    `json:"mark"` // of the attempt that made it; its chunks stand under it
	Number   uint64    `json:"number"`
	At       time.Time `json:"at"`
	Author   string    `json:"author"`
	Kind     string    `json:"kind"`
	Reason   string    `json:"reason,omitempty"`
	Override []string  `json:"override,omitempty"`
	Past     uint64    `json:"past,omitempty"`
	Files    packing   `json:"files"`

	Seal Seal `json:"seal,omitzero"`
}

func (r *revisionRecord) check() error {
	for _, text := range append([]string{r.Author, r.Kind, r.Reason}, r.Override...) {
		if !utf8.ValidString(text) {
			return errors.New("its text is not UTF-8")
		}
	}
	if r.Number == 0 || r.Author == "" || r.Kind == "" {
		return errors.New("a revision has a number, an author and a kind")
	}
	return errors.Join(checkVersion(r.Version), checkMark(r.Mark), checkTime(r.At), r.Files.check(), r.Seal.check())
}

func (r *revisionRecord) revision() Revision {
	return Revision{Number: r.Number, At: r.At.UTC(), Author: r.Author, Kind: r.Kind, Reason: r.Reason, Override: r.Override, Past: r.Past, Seal: r.Seal}
}

func decodeRevision(number uint64, data []byte) (*revisionRecord, error) {
	var r revisionRecord
	if err := decode(data, &r); err != nil {
		return nil, fmt.Errorf("revision %d: %w", number, err)
	}
	if r.Number != number {
		return nil, fmt.Errorf("revision %d: %w: it says that it is %d", number, ErrDamaged, r.Number)
	}
	return &r, nil
}

// Newest returns the newest revision, or nil where there is none yet.
func (s *Store) Newest(ctx context.Context) (*Revision, error) {
	number, err := s.newest(ctx)
	if err != nil || number == 0 {
		return nil, err
	}
	return s.Revision(ctx, number)
}

// NewestNumber returns the number of the newest revision, 0 where there is none yet.
func (s *Store) NewestNumber(ctx context.Context) (uint64, error) { return s.newest(ctx) }

// newest returns the number of the newest revision, 0 where there is none.
func (s *Store) newest(ctx context.Context) (uint64, error) {
	got, err := s.get(ctx, "read the number of the newest revision", newestKey)
	if err != nil || len(got.Kvs) == 0 {
		return 0, err
	}
	return parseNumber(got.Kvs[0].Value)
}

// Revision returns a revision, or ErrNotFound; ErrPruned for one that there was.
func (s *Store) Revision(ctx context.Context, number uint64) (*Revision, error) {
	doing := fmt.Sprintf("read revision %d", number)
	var got *clientv3.TxnResponse
	err := s.call(ctx, doing, func(ctx context.Context) (err error) {
		chunks := clientv3.OpGet(chunksOf(number), clientv3.WithPrefix())
		got, err = s.client.Txn(ctx).Then(clientv3.OpGet(revisionKey(number)), chunks, clientv3.OpGet(prunedKey)).Commit()
		return err
	})
	if err != nil {
		return nil, err
	}
	found := got.Responses[0].GetResponseRange().Kvs
	if gone, err := newestIn(got.Responses[2]); err == nil && number > 0 && number <= gone {
		return nil, fmt.Errorf("%s: %w", doing, ErrPruned)
	}
	if len(found) == 0 { // chunks that are there wait for their revision
		return nil, fmt.Errorf("%s: %w", doing, ErrNotFound)
	}
	r, err := decodeRevision(number, found[0].Value)
	if err != nil {
		return nil, err
	}
	var chunks [][]byte
	for _, kv := range got.Responses[1].GetResponseRange().Kvs {
		chunks = append(chunks, kv.Value)
	}
	out := r.revision()
	if out.File, out.Lock, err = unpack(r.Files, chunks); err != nil {
		return nil, fmt.Errorf("%s: %w", doing, err)
	}
	return &out, nil
}

// Revisions lists those before a number, or all where it is 0, the newest first and without their files. limit is 1000 at most.
func (s *Store) Revisions(ctx context.Context, before uint64, limit int) ([]Revision, error) {
	if before == 0 {
		newest, err := s.newest(ctx)
		if err != nil {
			return nil, err
		}
		before = newest + 1
	}
	jumps, err := s.jumps(ctx)
	if err != nil {
		return nil, err
	}
	first := reach(before, max(0, min(limit, maxList)), jumps) // as all gaps are known, the range is
	if first >= before {
		return nil, nil
	}
	order := clientv3.WithSort(clientv3.SortByKey, clientv3.SortDescend)
	got, err := s.get(ctx, "list revisions", revisionKey(first), clientv3.WithRange(revisionKey(before)), order)
	if err != nil {
		return nil, err
	}
	out := make([]Revision, len(got.Kvs))
	for i, kv := range got.Kvs {
		var r revisionRecord
		if err := decode(kv.Value, &r); err != nil {
			return nil, fmt.Errorf("list revisions: %w", err)
		}
		if string(kv.Key) != revisionKey(r.Number) {
			return nil, fmt.Errorf("list revisions: %w: one says that it is %d and stands elsewhere", ErrDamaged, r.Number)
		}
		out[i] = r.revision()
	}
	return out, nil
}
