package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// An Item is one thing that is stored, as it stands there.
type Item struct {
	Key, Value []byte
	Expires    time.Time // zero: never
}

const (
	page     = 32      // items that are read at once: a value takes a mebibyte at most
	maxBatch = 64      // items that are written at once
	maxBytes = 1 << 20 // of theirs, beyond the first
	maxItem  = 2 << 20 // of one
)

// Dump calls take with everything that is stored, in the order of keys, as all of it was at one moment.
func (s *Store) Dump(ctx context.Context, take func(Item) error) error {
	end := clientv3.GetPrefixRangeEnd(root)
	expires := map[int64]time.Time{}
	at := int64(0) // the revision of etcd that all is read at
	for key := root; ; {
		got, err := s.get(ctx, "read everything", key, clientv3.WithRange(end), clientv3.WithRev(at), clientv3.WithLimit(page))
		if errors.Is(err, rpctypes.ErrCompacted) {
			return fmt.Errorf("read everything: %w: space was reclaimed meanwhile", ErrUnavailable)
		}
		if err != nil {
			return err
		}
		if at == 0 {
			at = got.Header.Revision // all of it is read as it was for the first page
		}
		for _, kv := range got.Kvs {
			item, err := s.item(ctx, kv, expires)
			if err == nil {
				err = take(item)
			}
			if err != nil {
				return err
			}
		}
		if !got.More {
			return nil
		}
		key = string(got.Kvs[len(got.Kvs)-1].Key) + "\x00"
	}
}

// item asks once for each lease when it ends.
func (s *Store) item(ctx context.Context, kv *mvccpb.KeyValue, expires map[int64]time.Time) (Item, error) {
	out := Item{Key: kv.Key, Value: kv.Value}
	if kv.Lease == 0 {
		return out, nil
	}
	if _, known := expires[kv.Lease]; !known {
		var got *clientv3.LeaseTimeToLiveResponse
		err := s.call(ctx, "ask when a key expires", func(ctx context.Context) (err error) {
			got, err = s.client.TimeToLive(ctx, clientv3.LeaseID(kv.Lease))
			return err
		})
		if err != nil {
			return out, err
		}
		expires[kv.Lease] = time.Now().Add(max(0, time.Duration(got.TTL)*time.Second)).UTC().Truncate(time.Second) // -1 is over
	}
	out.Expires = expires[kv.Lease]
	return out, nil
}

// ErrOccupied is returned by Load for a store that holds something.
var ErrOccupied = errors.New("the store is not empty")

// Load stores what next returns until it returns an item without a key: what Dump told, in an empty store. What has expired is left out, and so
// is who served the fabric: the controllers of a store that is gone, and their standing as members. A store that was loaded by half is for the
// bin.
func (s *Store) Load(ctx context.Context, next func() (Item, error)) error {
	got, err := s.get(ctx, "see that the store is empty", root, clientv3.WithPrefix(), clientv3.WithCountOnly())
	if err != nil {
		return err
	}
	if got.Count > 0 {
		return ErrOccupied
	}
	l := &loading{store: s, leases: map[time.Time]clientv3.LeaseID{}}
	for {
		item, err := next()
		switch {
		case err != nil:
			return err
		case len(item.Key) == 0:
			return l.flush(ctx)
		case !strings.HasPrefix(string(item.Key), root) || len(item.Key)+len(item.Value) > maxItem:
			return fmt.Errorf("%w: an item that no store of this version holds", ErrDamaged)
		}
		if err := l.add(ctx, item); err != nil {
			return err
		}
	}
}

// A loading is what waits to be written.
type loading struct {
	store  *Store
	leases map[time.Time]clientv3.LeaseID
	ops    []clientv3.Op
	size   int
}

// left are the beginnings of the keys that are not brought back.
func (l *loading) left(item Item) bool {
	key := string(item.Key)
	for _, prefix := range []string{controllersAt, seenAt, membersAt + "controller/", standingAt + "controller/"} {
		if strings.HasPrefix(key, prefix) {
			return true
		}
	}
	return !item.Expires.IsZero() && !time.Now().Before(item.Expires)
}

func (l *loading) add(ctx context.Context, item Item) error {
	if l.left(item) {
		return nil
	}
	var opts []clientv3.OpOption
	if !item.Expires.IsZero() {
		lease, err := l.lease(ctx, item.Expires)
		if err != nil {
			return err
		}
		opts = append(opts, clientv3.WithLease(lease))
	}
	size := len(item.Key) + len(item.Value)
	if len(l.ops) == maxBatch || len(l.ops) > 0 && l.size+size > maxBytes {
		if err := l.flush(ctx); err != nil {
			return err
		}
	}
	l.ops, l.size = append(l.ops, clientv3.OpPut(string(item.Key), string(item.Value), opts...)), l.size+size
	return nil
}

// lease returns one that ends at a time. Keys that ended together do so again.
func (l *loading) lease(ctx context.Context, ends time.Time) (clientv3.LeaseID, error) {
	if id, ok := l.leases[ends]; ok {
		return id, nil
	}
	err := l.store.call(ctx, "let a key expire", func(ctx context.Context) error {
		got, err := l.store.client.Grant(ctx, int64(max(1, time.Until(ends)/time.Second)))
		if err == nil {
			l.leases[ends] = got.ID
		}
		return err
	})
	return l.leases[ends], err
}

func (l *loading) flush(ctx context.Context) error {
	if len(l.ops) == 0 {
		return nil
	}
	err := l.store.call(ctx, "load the store", func(ctx context.Context) error {
		_, err := l.store.client.Txn(ctx).Then(l.ops...).Commit()
		return err
	})
	l.ops, l.size = nil, 0
	return err
}
