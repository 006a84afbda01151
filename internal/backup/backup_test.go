package backup_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"filippo.io/age"

	"ropeway/internal/authority"
	"ropeway/internal/backup"
	"ropeway/internal/store"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// An original is a controller's data, and somebody who can read its backups.
type original struct {
	store     *store.Store
	authority *authority.Authority
	bundle    authority.Bundle
	key       *age.X25519Identity
}

func newOriginal(t testing.TB) *original {
	t.Helper()
	dir := t.TempDir()
	a, err := authority.Open(filepath.Join(dir, "authority"), "shop", time.Now())
	must(t, err)
	s, err := store.Open(t.Context(), store.Options{Dir: filepath.Join(dir, "store")})
	must(t, err)
	t.Cleanup(func() { must(t, s.Close()) })
	must(t, s.Bind(t.Context(), a.Pin()))
	b, err := authority.Pack(filepath.Join(dir, "authority"))
	must(t, err)
	k, err := age.GenerateX25519Identity()
	must(t, err)
	return &original{s, a, b, k}
}

func revision(n uint64) store.Revision {
	return store.Revision{
		At: time.Unix(int64(n)+1, 0).UTC(), Author: "admin/ada", Kind: "apply",
		File: fmt.Appendf(nil, "fabric: shop # %d\n", n), Lock: bytes.Repeat([]byte("lock "), 50_000),
	}
}

func (o *original) commit(t testing.TB, s *store.Store, times int) (newest uint64) {
	t.Helper()
	newest, err := s.NewestNumber(t.Context())
	must(t, err)
	for range times {
		newest, err = s.Commit(t.Context(), newest, revision(newest))
		must(t, err)
	}
	return newest
}

func (o *original) backUp(t testing.TB) []byte {
	t.Helper()
	var out bytes.Buffer
	about := backup.About{Fabric: "shop", At: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
	must(t, backup.Write(&out, []age.Recipient{o.key.Recipient()}, about, o.bundle, func(take func(store.Item) error) error { return o.store.Dump(t.Context(), take) }))
	return out.Bytes()
}

func (o *original) restore(t testing.TB, from []byte, dir string) (backup.Result, error) {
	t.Helper()
	return backup.Restore(t.Context(), bytes.NewReader(from), []age.Identity{o.key}, backup.Target{Dir: dir, Fabric: "shop"})
}

func openStore(t *testing.T, dir string) *store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), store.Options{Dir: filepath.Join(dir, "store")})
	must(t, err)
	t.Cleanup(func() { must(t, s.Close()) })
	return s
}

// What is restored is the same fabric with the same authority, and its numbers are far past all that was handed out since.
func TestRestore(t *testing.T) {
	o := newOriginal(t)
	last := o.commit(t, o.store, 5)
	tok := store.Token{ID: "t", Hash: sha256.Sum256([]byte("secret")), Identity: "gateway/gw1", Author: "admin/ada", Expires: time.Now().Add(time.Hour)}
	must(t, o.store.PutToken(t.Context(), tok))
	file := o.backUp(t)
	after := o.commit(t, o.store, 100)
	for _, secret := range [][]byte{[]byte("PRIVATE KEY"), []byte("fabric: shop"), o.bundle.Files()["ca.key"][40:80]} {
		if bytes.Contains(file, secret) {
			t.Errorf("the file shows %q", secret)
		}
	}

	dir := filepath.Join(t.TempDir(), "data")
	done, err := o.restore(t, file, dir)
	must(t, err)
	if done.Last != last || done.First < after+900_000 || done.Fabric != "shop" {
		t.Errorf("%+v, and the last was %d", done, last)
	}
	a, err := authority.Open(filepath.Join(dir, "authority"), "shop", time.Now())
	must(t, err)
	if a.Pin() != o.authority.Pin() || !a.PublicKey().Equal(o.authority.PublicKey()) {
		t.Error("it is another authority")
	}
	s := openStore(t, dir)
	must(t, s.Bind(t.Context(), a.Pin()))
	r, err := s.Newest(t.Context())
	must(t, err)
	want := revision(last - 1)
	if r.Number != done.First || r.Kind != "restore" || !bytes.Equal(r.File, want.File) || !bytes.Equal(r.Lock, want.Lock) || !strings.Contains(r.Reason, "2026-03-01") {
		t.Errorf("the newest is %d, %s, %s", r.Number, r.Kind, r.Reason)
	}
	if list, err := s.Revisions(t.Context(), 0, 10); err != nil || len(list) != 6 {
		t.Errorf("%d revisions, %v", len(list), err)
	}
	if tokens, err := s.Tokens(t.Context()); err != nil || len(tokens) != 1 || tokens[0].Hash != tok.Hash {
		t.Errorf("tokens: %v, %v", tokens, err)
	}
	if _, err := o.restore(t, file, dir); !errors.Is(err, backup.ErrOccupied) {
		t.Errorf("again, to the same place: %v", err)
	}
	again, err := o.restore(t, file, filepath.Join(t.TempDir(), "data"))
	must(t, err)
	if again.First == done.First {
		t.Error("a second life numbers as the first did")
	}
}

// A fabric that nobody changed yet is restored, too.
func TestRestoreNothing(t *testing.T) {
	o := newOriginal(t)
	dir := filepath.Join(t.TempDir(), "data")
	done, err := o.restore(t, o.backUp(t), dir)
	must(t, err)
	if n := o.commit(t, openStore(t, dir), 1); n != done.First || n < 1_000_000 || done.Last != 0 {
		t.Errorf("the first is %d: %+v", n, done)
	}
}

// What was changed or cut off anywhere is refused, and leaves nothing.
func TestDamagedBackups(t *testing.T) {
	o := newOriginal(t)
	o.commit(t, o.store, 3)
	file := o.backUp(t)
	dir := filepath.Join(t.TempDir(), "data")
	refused := func(what string, bad []byte, want error) {
		t.Helper()
		if done, err := o.restore(t, bad, dir); !errors.Is(err, want) {
			t.Errorf("%s: %+v, %v", what, done, err)
		} else if strings.ContainsAny(err.Error(), "\x00\x1b") {
			t.Errorf("%s: the error repeats what it read: %q", what, err)
		}
		if left, _ := filepath.Glob(dir + "/*"); len(left) > 0 {
			t.Fatalf("%s left %v", what, left)
		}
	}
	cuts := []int{0, 1, 21, 100, 200, len(file) / 2, len(file) - 17, len(file) - 1}
	for range 10 {
		cuts = append(cuts, rand.IntN(len(file)))
	}
	for _, n := range cuts {
		refused(fmt.Sprint("cut after ", n), file[:n], backup.ErrDamaged)
	}
	for range 20 {
		bad, at := bytes.Clone(file), 30+rand.IntN(len(file)-30)
		bad[at] ^= 1 << rand.IntN(8)
		_, err := o.restore(t, bad, dir)
		if !errors.Is(err, backup.ErrDamaged) && !errors.Is(err, backup.ErrKey) { // a changed header may be for nobody
			t.Errorf("changed at %d: %v", at, err)
		}
	}
	refused("with an end of its own", append(bytes.Clone(file), 0), backup.ErrDamaged)
	refused("noise", []byte("no backup at all"), backup.ErrDamaged)

	other := newOriginal(t)
	if _, err := other.restore(t, file, dir); !errors.Is(err, backup.ErrKey) {
		t.Errorf("another key: %v", err)
	}
	_, err := backup.Restore(t.Context(), bytes.NewReader(file), []age.Identity{o.key}, backup.Target{Dir: dir, Fabric: "shoe"})
	if !errors.Is(err, backup.ErrForeign) {
		t.Errorf("another fabric: %v", err)
	}
}

// forged encrypts a clear text of somebody else's making.
func (o *original) forged(t testing.TB, text string) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := age.Encrypt(&out, o.key.Recipient())
	must(t, err)
	_, err = io.WriteString(w, text)
	must(t, err)
	must(t, w.Close())
	return out.Bytes()
}

// Encrypted well, and wrong all the same.
func TestForgedBackups(t *testing.T) {
	o := newOriginal(t)
	o.commit(t, o.store, 2)
	plain, err := age.Decrypt(bytes.NewReader(o.backUp(t)), o.key)
	must(t, err)
	data, err := io.ReadAll(plain)
	must(t, err)
	lines := strings.SplitAfter(string(data), "\n")
	last := len(lines) - 2 // an empty piece follows the last
	without := func(i int) string { return strings.Join(append(append([]string{}, lines[:i]...), lines[i+1:]...), "") }
	for name, c := range map[string]struct {
		text string
		want error
	}{
		"a line less":     {without(last - 1), backup.ErrDamaged},
		"a file less":     {without(1), backup.ErrDamaged},
		"no head":         {without(0), backup.ErrForeign},
		"no end":          {without(last), backup.ErrDamaged},
		"a line twice":    {strings.Join(append(append([]string{}, lines[:last]...), lines[last-1], lines[last]), ""), backup.ErrDamaged},
		"two of it":       {string(data) + string(data), backup.ErrDamaged},
		"another version": {strings.Replace(string(data), `"v":1`, `"v":2`, 1), backup.ErrForeign},
		"unknown field":   {strings.Replace(string(data), `"v":1`, `"v":1,"x":1`, 1), backup.ErrDamaged},
		"nothing":         {"", backup.ErrDamaged},
		"null":            {"null\n", backup.ErrForeign},
		"a long line":     {strings.Repeat("x", 5<<20), backup.ErrDamaged},
	} {
		if _, err := o.restore(t, o.forged(t, c.text), filepath.Join(t.TempDir(), "data")); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := o.restore(t, o.forged(t, string(data)), filepath.Join(t.TempDir(), "data")); err != nil {
		t.Errorf("as it was: %v", err)
	}
}

// A backup that fails in the middle is no backup.
func TestABackupThatFails(t *testing.T) {
	o := newOriginal(t)
	var out bytes.Buffer
	broken := errors.New("broken")
	err := backup.Write(&out, []age.Recipient{o.key.Recipient()}, backup.About{Fabric: "shop", At: time.Now()}, o.bundle, func(take func(store.Item) error) error {
		return errors.Join(take(store.Item{Key: []byte("ropeway/1/x"), Value: []byte("y")}), broken)
	})
	if !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
	if _, err := o.restore(t, out.Bytes(), filepath.Join(t.TempDir(), "data")); !errors.Is(err, backup.ErrDamaged) {
		t.Errorf("it was restored: %v", err)
	}
}

// FuzzRead: whatever was encrypted, reading it ends, and what it tells to the end is what a writer wrote.
func FuzzRead(f *testing.F) {
	o := newOriginal(f)
	plain, err := age.Decrypt(bytes.NewReader(o.backUp(f)), o.key)
	must(f, err)
	data, err := io.ReadAll(plain)
	must(f, err)
	f.Add(string(data))
	f.Add("{}\n")
	f.Fuzz(func(t *testing.T, text string) {
		r, err := backup.Open(bytes.NewReader(o.forged(t, text)), []age.Identity{o.key})
		for err == nil {
			var item store.Item
			if item, err = r.Next(); err == nil && len(item.Key) == 0 {
				return
			}
		}
		if !errors.Is(err, backup.ErrDamaged) && !errors.Is(err, backup.ErrForeign) {
			t.Errorf("%q: %v", text, err)
		}
	})
}
