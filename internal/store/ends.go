package store

import (
	"context"
	"fmt"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// NoteEnd notes when the newest certificate of a member ends. Nothing depends on it: it is for people who want to know.
func (s *Store) NoteEnd(ctx context.Context, identity string, end time.Time) error {
	if err := checkName("identity", identity); err != nil {
		return fmt.Errorf("note when a certificate ends: %w", err)
	}
	return s.call(ctx, "note when a certificate ends", func(ctx context.Context) error {
		_, err := s.client.Put(ctx, endsAt+identity, end.UTC().Format(time.RFC3339))
		return err
	})
}

// Ends returns when the newest certificate of each member ends, as far as that was noted.
func (s *Store) Ends(ctx context.Context) (map[string]time.Time, error) {
	got, err := s.get(ctx, "read when certificates end", endsAt, clientv3.WithPrefix())
	if err != nil {
		return nil, err
	}
	out := map[string]time.Time{}
	for _, kv := range got.Kvs {
		end, err := time.Parse(time.RFC3339, string(kv.Value))
		if err != nil {
			return nil, fmt.Errorf("read when certificates end: %w: one is no time", ErrDamaged)
		}
		out[strings.TrimPrefix(string(kv.Key), endsAt)] = end.UTC()
	}
	return out, nil
}
