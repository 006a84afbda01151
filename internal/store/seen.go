package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// A Seen is a gateway as one controller, to which it is connected, sees it.
type Seen struct {
	Gateway string
	At      time.Time // when it said so
	Report  []byte    // what it said; the store does not look into it
}

type seenRecord struct {
	Version int       `json:"v"`
	Gateway string    `json:"gateway"`
	At      time.Time `json:"at"`
	Report  []byte    `json:"report,omitempty"`
}

func (r *seenRecord) check() error {
	return errors.Join(checkVersion(r.Version), checkName("gateway", r.Gateway), checkTime(r.At))
}

const (
	seenLife  = 20 * time.Second // how long what a controller sees is believed when it says nothing more
	seenAgain = seenLife / 4
)

// A Teller tells what one controller sees to the others. It is for one goroutine.
type Teller struct {
	store      *Store
	controller string
	lease      clientv3.LeaseID
	renewed    time.Time
	told       map[string]string // by key
}

// NewTeller returns one that has told nothing yet.
func (s *Store) NewTeller(controller string) *Teller {
	return &Teller{store: s, controller: controller}
}

// Tell makes it so that the others know of the gateways given, and of no other ones. What they know already costs nothing. It has to be called
// every few seconds, even where nothing changed: else it is forgotten, as it is when the controller ends.
func (t *Teller) Tell(ctx context.Context, seen []Seen) error {
	if err := checkName("controller", t.controller); err != nil {
		return fmt.Errorf("tell what is seen: %w", err)
	}
	want := map[string]string{}
	for _, g := range seen {
		text, err := encode(&seenRecord{version, g.Gateway, g.At.UTC(), g.Report})
		if err != nil {
			return fmt.Errorf("tell what is seen of %s: %w", g.Gateway, err)
		}
		want[seenAt+t.controller+"/"+g.Gateway] = text
	}
	if err := t.renew(ctx); err != nil {
		return err
	}
	var changed []string
	for key, text := range want {
		if t.told[key] != text {
			changed = append(changed, key)
		}
	}
	for key := range t.told {
		if _, still := want[key]; !still {
			changed = append(changed, key)
		}
	}
	slices.Sort(changed)
	for batch := range slices.Chunk(changed, maxBatch) {
		if err := t.put(ctx, batch, want); err != nil {
			return err
		}
	}
	return nil
}

// renew keeps alive what was told, or begins anew where it was forgotten.
func (t *Teller) renew(ctx context.Context) error {
	if t.told != nil && time.Since(t.renewed) < seenAgain {
		return nil
	}
	return t.store.call(ctx, "tell what is seen", func(ctx context.Context) error {
		if t.told != nil {
			_, err := t.store.client.KeepAliveOnce(ctx, t.lease)
			if err == nil {
				t.renewed = time.Now()
			}
			if !errors.Is(err, rpctypes.ErrLeaseNotFound) {
				return err
			}
		}
		got, err := t.store.client.Grant(ctx, int64(seenLife/time.Second))
		if err == nil {
			t.lease, t.renewed, t.told = got.ID, time.Now(), map[string]string{}
		}
		return err
	})
}

func (t *Teller) put(ctx context.Context, keys []string, want map[string]string) error {
	var ops []clientv3.Op
	for _, key := range keys {
		if text, there := want[key]; there {
			ops = append(ops, clientv3.OpPut(key, text, clientv3.WithLease(t.lease)))
		} else {
			ops = append(ops, clientv3.OpDelete(key))
		}
	}
	err := t.store.call(ctx, "tell what is seen", func(ctx context.Context) error {
		_, err := t.store.client.Txn(ctx).Then(ops...).Commit()
		if errors.Is(err, rpctypes.ErrLeaseNotFound) {
			t.told = nil // the next time tells all of it
		}
		return err
	})
	if err != nil {
		return err
	}
	for _, key := range keys {
		if text, there := want[key]; there {
			t.told[key] = text
		} else {
			delete(t.told, key)
		}
	}
	return nil
}

// WatchSeen calls tell with what the other controllers see, by their names, and again when that changed, until ctx ends or the store is closed. It is
// not called more often than once a second.
func (s *Store) WatchSeen(ctx context.Context, but string, tell func(map[string][]Seen)) {
	s.attend(ctx, seenAt, time.Second, func(ctx context.Context) error {
		got, err := s.get(ctx, "read what is seen", seenAt, clientv3.WithPrefix())
		if err != nil {
			return err
		}
		out := map[string][]Seen{}
		for _, kv := range got.Kvs {
			controller, gateway, _ := strings.Cut(strings.TrimPrefix(string(kv.Key), seenAt), "/")
			if controller == but {
				continue
			}
			var r seenRecord
			if err := decode(kv.Value, &r); err != nil || r.Gateway != gateway {
				continue // that of another version, which says nothing to this one
			}
			out[controller] = append(out[controller], Seen{Gateway: r.Gateway, At: r.At.UTC(), Report: r.Report})
		}
		tell(out)
		return nil
	})
}
