package store

import (
	"context"
	"strings"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"

	"ropeway/internal/audit"
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

// Pending counts the audit entries without a place.
func Pending(t testing.TB, s *Store) int { return count(t, s, pendingAt) }

// PendingOf returns the audit entries of an action that have no place yet.
func PendingOf(t testing.TB, s *Store, what string) (out []string) {
	t.Helper()
	got, err := s.get(t.Context(), "list", pendingAt, clientv3.WithPrefix())
	if err != nil {
		t.Fatal(err)
	}
	for _, kv := range got.Kvs {
		if strings.Contains(string(kv.Value), `"`+what+`"`) {
			out = append(out, string(kv.Value))
		}
	}
	return out
}

// EntriesLeft counts the audit entries that are still there.
func EntriesLeft(t testing.TB, s *Store) int { return count(t, s, entriesAt) }

func count(t testing.TB, s *Store, prefix string) int {
	t.Helper()
	got, err := s.get(t.Context(), "count", prefix, clientv3.WithPrefix(), clientv3.WithCountOnly())
	if err != nil {
		t.Fatal(err)
	}
	return int(got.Count)
}

// RecordAs is Record with a mark that was chosen.
func RecordAs(ctx context.Context, s *Store, mark string, entries ...audit.Entry) error {
	return s.record(ctx, mark, entries)
}

// Spoil removes an entry of the audit log.
func Spoil(t testing.TB, s *Store, position int64) {
	t.Helper()
	if _, err := s.client.Delete(t.Context(), entryKey(position)); err != nil {
		t.Fatal(err)
	}
}

// Leads reports whether an embedded member leads its cluster.
func Leads(s *Store) bool { return s.etcd.Server.Leader() == s.etcd.Server.MemberID() }

// Stands reports whether a roster lets somebody in without asking the store.
func Stands(r *Roster, identity string) bool { return r.stands(identity) != nil }
