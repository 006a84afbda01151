package store

import (
	"context"
	"fmt"
	"strconv"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// Surpass has every revision that is made from now on exceed a number. Gateways never follow a grant whose epoch, the number of its revision,
// does not exceed the one that they hold; a fabric that was restored from a backup has to number past whatever it handed out after the backup
// was made.
func (s *Store) Surpass(ctx context.Context, number uint64) error {
	if number >= 1<<63 {
		return fmt.Errorf("number revisions past %d: no number would be left", number)
	}
	return s.call(ctx, fmt.Sprintf("number revisions past %d", number), func(ctx context.Context) error {
		return again(func() (bool, error) {
			past, fence, err := s.past(ctx)
			if err != nil || past >= number {
				return err == nil, err
			}
			got, err := s.client.Txn(ctx).If(fence).Then(clientv3.OpPut(pastKey, strconv.FormatUint(number, 10))).Commit()
			return err == nil && got.Succeeded, err
		})
	})
}

// past returns the number that the next revision has to exceed, 0 for none, and what holds as long as it is that.
func (s *Store) past(ctx context.Context) (number uint64, same clientv3.Cmp, err error) {
	got, err := s.client.Get(ctx, pastKey)
	if err != nil {
		return 0, same, err
	}
	if len(got.Kvs) == 0 {
		return 0, clientv3.Compare(clientv3.Version(pastKey), "=", 0), nil
	}
	number, err = parseNumber(got.Kvs[0].Value)
	return number, unchanged(got.Kvs[0]), err
}

// A follower is the number of the revision after another one, and what holds as long as it is that.
type follower struct {
	number, past uint64
	still        clientv3.Cmp
}

// NextNumber returns the number that a revision after base would get now.
func (s *Store) NextNumber(ctx context.Context, base uint64) (uint64, error) {
	f, err := s.follower(ctx, base)
	return f.number, err
}

func (s *Store) follower(ctx context.Context, base uint64) (f follower, err error) {
	err = s.call(ctx, "read where numbers go on", func(ctx context.Context) error {
		past, still, err := s.past(ctx)
		f = follower{max(base, past) + 1, past, still}
		return err
	})
	return f, err
}

// jumps returns, for every revision that does not follow the number before its own, the one that it follows (0: it is the first). There are as
// many as the fabric was restored.
func (s *Store) jumps(ctx context.Context) (map[uint64]uint64, error) {
	got, err := s.get(ctx, "read where numbers jump", jumpsAt, clientv3.WithPrefix())
	if err != nil {
		return nil, err
	}
	out := map[uint64]uint64{}
	for _, kv := range got.Kvs {
		to, err := strconv.ParseUint(string(kv.Key[len(jumpsAt):]), 10, 64)
		from, err2 := strconv.ParseUint(string(kv.Value), 10, 64)
		if err != nil || err2 != nil || from >= to {
			return nil, fmt.Errorf("read where numbers jump: %w", ErrDamaged)
		}
		out[to] = from
	}
	return out, nil
}

func jumpKey(number uint64) string { return fmt.Sprintf("%s%020d", jumpsAt, number) }

// reach returns the lowest of the n numbers of revisions that come before one.
func reach(before uint64, n int, jumps map[uint64]uint64) uint64 {
	low := before
	for to, from := range jumps {
		if from < before && before < to { // nothing is there
			low = from + 1
		}
	}
	for range n {
		previous := low - 1
		if from, jumped := jumps[low]; jumped {
			previous = from
		}
		if previous == 0 {
			break
		}
		low = previous
	}
	return low
}
