package store

import (
	"context"
	"strings"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// StrayChunks counts the chunks that belong to no revision.
func StrayChunks(t testing.TB, s *Store) (stray int) {
	t.Helper()
	got, err := s.get(t.Context(), "list chunks", chunksAt, clientv3.WithPrefix(), clientv3.WithKeysOnly())
	if err != nil {
		t.Fatal(err)
	}
	for _, kv := range got.Kvs {
		number, rest, _ := strings.Cut(strings.TrimPrefix(string(kv.Key), chunksAt), "/")
		mark, _, _ := strings.Cut(rest, "/")
		of, err := s.get(t.Context(), "read a revision", revisionsAt+number)
		if err != nil {
			t.Fatal(err)
		}
		if len(of.Kvs) == 0 || !strings.Contains(string(of.Kvs[0].Value), mark) {
			stray++
		}
	}
	return stray
}

// Compact has etcd forget everything but the present.
func Compact(ctx context.Context, s *Store) error {
	now, err := s.client.Get(ctx, newestKey)
	if err != nil {
		return err
	}
	_, err = s.client.Compact(ctx, now.Header.Revision, clientv3.WithCompactPhysical())
	return err
}

// Leads reports whether an embedded member leads its cluster.
func Leads(s *Store) bool { return s.etcd.Server.Leader() == s.etcd.Server.MemberID() }

// Stands reports whether a roster lets somebody in without asking the store.
func Stands(r *Roster, identity string) bool { return r.stands(identity) != nil }
