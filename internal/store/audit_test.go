package store_test

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"ropeway/internal/audit"
	"ropeway/internal/store"
)

const logName = "ropeway/acme/audit"

func auditor(seed byte) *audit.Signer {
	s, err := audit.NewSigner(logName, ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, 32)))
	if err != nil {
		panic(err)
	}
	return s
}

// drain gives everything pending its place.
func drain(t testing.TB, s *store.Store) {
	t.Helper()
	for {
		n, err := s.Sequence(t.Context(), auditor(1))
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			return
		}
	}
}

// logged returns the log from its first entry, once it has proven it.
func logged(t testing.TB, s *store.Store) (first int64, entries []audit.Entry) {
	t.Helper()
	head, text := exported(t, s)
	if _, err := audit.Verify(audit.Known{Key: auditor(1).Key()}, audit.File{Name: "export", Reader: strings.NewReader(text)}); err != nil {
		t.Fatal(err)
	}
	for n, line := range strings.Split(strings.TrimSpace(text), "\n")[1:] {
		position, e, err := audit.ParseLine(logName, []byte(line))
		if err != nil || position != head.First.Size+int64(n) {
			t.Fatalf("entry %d: %v", position, err)
		}
		entries = append(entries, e)
	}
	return head.First.Size, entries
}

func exported(t testing.TB, s *store.Store) (*store.Head, string) {
	t.Helper()
	head, err := s.AuditHead(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	if head.Checkpoint == "" {
		t.Fatal("the log is empty")
	}
	err = audit.WriteHeader(&b, audit.Header{Log: logName, First: head.First, Checkpoint: head.Checkpoint, Key: auditor(1).Key()})
	for next := head.First.Size; next < head.Tree.Size && err == nil; {
		var leaves [][]byte
		if leaves, err = s.AuditEntries(t.Context(), next, 100); err != nil || len(leaves) == 0 {
			t.Fatalf("read from %d: %d entries, %v", next, len(leaves), err)
		}
		for _, leaf := range leaves {
			err = errors.Join(err, audit.WriteEntry(&b, logName, next, leaf))
			next++
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	return head, b.String()
}

func brief(entries []audit.Entry) (out []string) {
	for _, e := range entries {
		out = append(out, fmt.Sprintf("%s %s %s %s %d", e.Who, e.What, e.Object, e.From, e.Revision))
	}
	return out
}

// Every change has its entry, in the order in which they were made, and what failed has none.
func TestEveryChangeIsInTheLog(t *testing.T) {
	t.Parallel() // it waits for the disk
	s := alone(t)
	ctx := store.By(t.Context(), "admin/ada", "192.0.2.7")
	commit := func(base uint64, r store.Revision) {
		t.Helper()
		if _, err := s.Commit(ctx, base, r); err != nil {
			t.Fatal(err)
		}
	}
	once := change("admin/ada")
	once.Kind, once.Reason = "apply at once", "it burns"
	commit(0, once)
	override := change("admin/ada")
	override.Override, override.Reason = []string{"RW3010"}, "it has to be"
	commit(1, override)
	if _, err := s.Commit(ctx, 1, change("admin/ada")); !errors.Is(err, store.ErrMoved) {
		t.Fatal(err)
	}
	key := change(gateway)
	key.Kind = "enroll"
	commit(2, key)
	large := change("admin/ada")
	large.File = noise(1, 3<<20)
	commit(3, large)
	for _, what := range []string{"one", "two"} {
		if err := s.PutToken(ctx, token(what)); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.PutToken(ctx, token("two")); !errors.Is(err, store.ErrExists) {
		t.Fatal(err)
	}
	if err := redeem(t, s, "one", "a"); err != nil {
		t.Fatal(err)
	}
	if err := redeem(t, s, "one", "b"); !errors.Is(err, store.ErrToken) {
		t.Fatal(err)
	}
	if err := errors.Join(s.RevokeToken(ctx, "id-of-two"), s.Revoke(ctx, gateway), s.Revoke(ctx, gateway)); err != nil {
		t.Fatal(err)
	}
	again := token("three")
	again.Replace, again.Author = true, "ropewayd"
	if err := s.PutToken(t.Context(), again); err != nil {
		t.Fatal(err)
	}
	if err := redeem(t, s, "three", "c"); err != nil {
		t.Fatal(err)
	}
	drain(t, s)
	_, entries := logged(t, s)
	author := token("one").Author
	want := []string{
		"admin/ada fabric.apply revision/1 192.0.2.7 1", "admin/ada fabric.override revision/2 192.0.2.7 2", gateway + " key.register " + gateway + " 192.0.2.7 3",
		"admin/ada fabric.apply revision/4 192.0.2.7 4", author + " token.create token/id-of-one 192.0.2.7 0", author + " token.create token/id-of-two 192.0.2.7 0",
		gateway + " member.enroll " + gateway + "  0", "admin/ada token.revoke token/id-of-two 192.0.2.7 0", "admin/ada member.revoke " + gateway + " 192.0.2.7 0",
		"ropewayd token.create token/id-of-three  0", gateway + " member.replace " + gateway + "  0",
	}
	if got := brief(entries); !slices.Equal(got, want) {
		t.Errorf("the log:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if e := entries[0]; e.Detail != "apply at once: it burns" {
		t.Errorf("what was applied at once: %+v", e)
	}
	if e := entries[1]; e.Detail != "it has to be" || !slices.Equal(e.Override, []string{"RW3010"}) || e.Outcome != audit.Done {
		t.Errorf("the override: %+v", e)
	}
	if left := store.Pending(t, s); left != 0 {
		t.Errorf("%d entries wait still", left)
	}
}

// Whoever writes and whoever gives places, however many there are: every entry has one place, and those of one writer are in his order.
func TestSequencersRace(t *testing.T) {
	t.Parallel() // it waits for the disk
	s := alone(t)
	const writers, each = 4, 60
	var writing, placing sync.WaitGroup
	stop := make(chan struct{})
	for range 3 {
		placing.Go(func() {
			for {
				if _, err := s.Sequence(t.Context(), auditor(1)); err != nil {
					t.Error(err)
					return
				}
				select {
				case <-stop:
					return
				default:
				}
			}
		})
	}
	for w := range writers {
		writing.Go(func() {
			for n := 0; n < each; n += 1 + n%3 {
				var some []audit.Entry
				for i := range 1 + n%3 {
					some = append(some, audit.Entry{At: 1, Who: fmt.Sprint("w", w), What: "test", Object: fmt.Sprintf("%04d", n+i), Outcome: audit.Refused})
				}
				if err := s.Record(t.Context(), some...); err != nil {
					t.Error(err)
				}
			}
		})
	}
	writing.Wait()
	close(stop)
	placing.Wait()
	drain(t, s)
	_, entries := logged(t, s)
	last, count := map[string]string{}, map[string]int{}
	for _, e := range entries {
		if e.Object <= last[e.Who] {
			t.Errorf("%s: %s stands after %s", e.Who, e.Object, last[e.Who])
		}
		last[e.Who] = e.Object
		count[e.Who]++
	}
	for w, n := range count {
		if want := count["w0"]; n != want || n < each {
			t.Errorf("%s has %d entries, want %d", w, n, want)
		}
	}
	if len(count) != writers {
		t.Errorf("%v", slices.Sorted(maps.Keys(count)))
	}
}

// A write that is tried again because its answer was lost is made once, wherever its entries are by now.
func TestRecordedOnce(t *testing.T) {
	t.Parallel() // it waits for the disk
	s := alone(t)
	mark := strings.Repeat("ab", 16)
	e := audit.Entry{At: 1, What: "test", Outcome: audit.Refused}
	for range 3 {
		if err := store.RecordAs(t.Context(), s, mark, e, e); err != nil {
			t.Fatal(err)
		}
		drain(t, s)
	}
	if _, entries := logged(t, s); len(entries) != 2 {
		t.Errorf("%d entries", len(entries))
	}
	if err := s.Record(t.Context()); err == nil {
		t.Error("no entries were recorded")
	}
	if err := s.Record(t.Context(), make([]audit.Entry, 61)...); err == nil {
		t.Error("more entries than fit were recorded")
	}
	if err := s.Record(t.Context(), audit.Entry{}); !errors.Is(err, audit.ErrFormat) {
		t.Errorf("what says nothing: %v", err)
	}
}

// A full store still revokes; what it could not write is written once there is room.
func TestRevokedWhereTheStoreIsFull(t *testing.T) {
	t.Parallel() // it waits for the disk
	s, ctx := open(t, store.Options{Dir: filepath.Join(t.TempDir(), "etcd"), Quota: 16 << 20}), t.Context()
	put(t, s, token("member"), token("other"))
	if err := redeem(t, s, "member", "one"); err != nil {
		t.Fatal(err)
	}
	drain(t, s)
	_, before := logged(t, s)
	var n uint64
	var err error
	for seed := uint64(0); err == nil && seed < 100; seed++ {
		r, last := change("admin/a"), n
		r.File = noise(seed, 2500<<10)
		if n, err = s.Commit(ctx, n, r); err != nil {
			n = last
		}
	}
	if !errors.Is(err, store.ErrFull) {
		t.Fatal(err)
	}
	if err := errors.Join(s.Revoke(ctx, gateway), s.RevokeToken(ctx, "id-of-other")); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Sequence(ctx, auditor(1)); !errors.Is(err, store.ErrFull) {
		t.Errorf("the log of a full store grows: %v", err)
	}
	if _, entries := logged(t, s); len(entries) != len(before) {
		t.Errorf("%d entries, %d before", len(entries), len(before))
	}
	if err := s.Reclaim(ctx); err != nil {
		t.Fatal(err)
	}
	drain(t, s)
	_, entries := logged(t, s)
	got := brief(entries[len(before):])
	slices.Sort(got)
	if !slices.Contains(got, "ropewayd member.revoke "+gateway+"  0") || !slices.Contains(got, "ropewayd token.revoke token/id-of-other  0") {
		t.Errorf("after space was reclaimed:\n%s", strings.Join(got, "\n"))
	}
}

// Trimming leaves the hashes, so that exports of before and after are one proof; and only what was exported goes.
func TestTrim(t *testing.T) {
	t.Parallel() // it waits for the disk
	s, ctx := alone(t), store.By(t.Context(), "admin/ada", "192.0.2.7")
	record := func(n int) {
		t.Helper()
		for range n {
			if err := s.Record(ctx, audit.Entry{At: 1, What: "test", Outcome: audit.Refused}); err != nil {
				t.Fatal(err)
			}
		}
		drain(t, s)
	}
	record(13)
	head, old := exported(t, s)
	record(4)
	upTo, err := audit.OpenCheckpoint(head.Checkpoint, auditor(1).Key())
	if err != nil {
		t.Fatal(err)
	}
	wrong := upTo
	wrong.Root[0] ^= 1
	if err := s.TrimAudit(ctx, auditor(1), wrong); !errors.Is(err, store.ErrDamaged) {
		t.Errorf("trimmed to another log: %v", err)
	}
	for range 2 { // the second has nothing to do
		if err := s.TrimAudit(ctx, auditor(1), upTo); err != nil {
			t.Fatal(err)
		}
	}
	drain(t, s)
	first, entries := logged(t, s)
	if first != 13 || len(entries) != 5 || entries[4].What != "audit.trim" || entries[4].Who != "admin/ada" {
		t.Errorf("after it was trimmed: %d, %v", first, brief(entries))
	}
	if _, err := s.AuditEntries(ctx, 12, 1); !errors.Is(err, store.ErrTrimmed) {
		t.Errorf("entry 12: %v", err)
	}
	if left := store.EntriesLeft(t, s); left != 5 {
		t.Errorf("%d entries are left", left)
	}
	_, next := exported(t, s)
	v, err := audit.Verify(audit.Known{Checkpoint: head.Checkpoint}, audit.File{Name: "old", Reader: strings.NewReader(old)}, audit.File{Name: "next", Reader: strings.NewReader(next)})
	if err != nil || v.Size != 18 || v.Kept != 13 {
		t.Errorf("both exports: %+v, %v", v, err)
	}
	past := upTo
	past.Size = 99
	if err := s.TrimAudit(ctx, auditor(1), past); !errors.Is(err, store.ErrTrimmed) {
		t.Errorf("trimmed beyond the end: %v", err)
	}
}

// Nothing is built on a log that somebody changed.
func TestADamagedLogIsNotContinued(t *testing.T) {
	t.Parallel() // it waits for the disk
	s, ctx := alone(t), t.Context()
	e := audit.Entry{At: 1, What: "test", Outcome: audit.Refused}
	for range 3 {
		if err := s.Record(ctx, e); err != nil {
			t.Fatal(err)
		}
	}
	drain(t, s)
	if err := s.Record(ctx, e); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Sequence(ctx, auditor(2)); !errors.Is(err, store.ErrDamaged) {
		t.Errorf("the log of another authority: %v", err)
	}
	store.Spoil(t, s, 1)
	if _, err := s.AuditEntries(ctx, 0, 10); !errors.Is(err, store.ErrDamaged) {
		t.Errorf("an entry is missing: %v", err)
	}
	if store.Pending(t, s) != 1 {
		t.Error("an entry got lost")
	}
}

// Whoever watches hears of what waits and of what is in the log.
func TestWatchAudit(t *testing.T) {
	t.Parallel() // it waits for the disk
	s := alone(t)
	stirs := s.WatchAudit(t.Context())
	hear := func(what string) {
		t.Helper()
		select {
		case _, ok := <-stirs:
			if !ok {
				t.Fatal("the watch ended")
			}
		case <-time.After(30 * time.Second):
			t.Fatalf("nobody tells of %s", what)
		}
	}
	hear("the beginning")
	if err := s.Record(t.Context(), audit.Entry{At: 1, What: "test", Outcome: audit.Refused}); err != nil {
		t.Fatal(err)
	}
	hear("an entry")
	drain(t, s)
	hear("the log")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for range stirs { // what was left, and then the end
	}
}
