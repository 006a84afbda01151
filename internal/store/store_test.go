package store_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"ropeway/internal/store"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(childEnv); dir != "" {
		commitUntilKilled(dir)
		return
	}
	os.Exit(m.Run())
}

func open(t testing.TB, o store.Options) *store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func alone(t testing.TB) *store.Store {
	return open(t, store.Options{Dir: filepath.Join(t.TempDir(), "etcd")})
}

func change(author string) store.Revision {
	at := time.Date(2026, 3, 1, 12, 0, 0, 123456789, time.UTC)
	return store.Revision{At: at, Author: author, Kind: "apply", File: []byte("fabric: acme\n"), Lock: []byte("{}\n")}
}

// noise does not compress.
func noise(seed uint64, n int) []byte {
	b, err := io.ReadAll(io.LimitReader(rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8), 1}), int64(n)))
	if err != nil {
		panic(err)
	}
	return b
}

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	exposed, link := filepath.Join(dir, "exposed"), filepath.Join(dir, "link")
	if err := errors.Join(os.Mkdir(exposed, 0o755), os.Symlink(t.TempDir(), link)); err != nil {
		t.Fatal(err)
	}
	member := store.Options{Dir: filepath.Join(dir, "m"), Name: "a", InitialCluster: "a=x"}
	at := func(u string) store.Options { o := member; o.PeerURL = u; return o }
	for name, tt := range map[string]struct {
		o    store.Options
		says string
	}{
		"nothing":         {store.Options{}, "either a data directory or"},
		"both":            {store.Options{Dir: dir, Endpoints: []string{"https://a:1"}}, "either a data directory or"},
		"exposed":         {store.Options{Dir: exposed}, "others may"},
		"link":            {store.Options{Dir: link}, "symbolic link"},
		"quota":           {store.Options{Dir: dir, Quota: -1}, "negative"},
		"half a member":   {member, "needs a name"},
		"peer in clear":   {at("http://192.0.2.1:1"), "in clear"},
		"peer by name":    {at("http://localhost:1"), "in clear"},
		"peer, no TLS":    {at("https://192.0.2.1:1"), "needs TLS"},
		"client in clear": {store.Options{Endpoints: []string{"http://192.0.2.1:1"}}, "in clear"},
		"client, no TLS":  {store.Options{Endpoints: []string{"https://192.0.2.1:1"}}, "needs TLS"},
		"no URL":          {store.Options{Endpoints: []string{"192.0.2.1:1"}}, "not of the form"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := store.Open(t.Context(), tt.o); err == nil || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("got %v, want %q", err, tt.says)
			}
		})
	}
}

func TestOnlyOneUsesADirectory(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "etcd")
	s := open(t, store.Options{Dir: dir})
	begun := time.Now()
	if _, err := store.Open(t.Context(), store.Options{Dir: dir}); !errors.Is(err, store.ErrInUse) {
		t.Errorf("got %v", err)
	}
	if took := time.Since(begun); took > time.Second {
		t.Errorf("the refusal took %v", took)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	open(t, store.Options{Dir: dir})
}

func TestAfterClose(t *testing.T) {
	before := runtime.NumGoroutine()
	s := alone(t)
	watch := s.WatchNewest(t.Context(), 0)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, open := <-watch; open {
		t.Error("a watch goes on")
	}
	if _, err := s.Newest(t.Context()); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("Newest: %v", err)
	}
	if _, open := <-s.WatchNewest(t.Context(), 0); open {
		t.Error("a new watch goes on")
	}
	var now int
	for range 50 { // some of etcd's end a moment after it says so
		if now = runtime.NumGoroutine(); now <= before+1 {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	var stacks [64 << 10]byte
	t.Errorf("%d goroutines before, %d after:\n%s", before, now, stacks[:runtime.Stack(stacks[:], true)])
}

func TestContextsAreMinded(t *testing.T) {
	s := alone(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Newest(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Newest: %v", err)
	}
	if _, err := s.Commit(ctx, 0, change("admin/a")); !errors.Is(err, context.Canceled) {
		t.Errorf("Commit: %v", err)
	}
}

func TestEtcdSpeaksThroughTheLogger(t *testing.T) {
	var log bytes.Buffer
	handler := slog.NewTextHandler(&log, nil)
	s := open(t, store.Options{Dir: filepath.Join(t.TempDir(), "etcd"), Log: slog.New(handler)})
	if _, err := s.Commit(t.Context(), 0, change("admin/a")); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if lines := strings.Count(log.String(), "\n"); lines > 0 {
		t.Errorf("a good life takes %d lines:\n%s", lines, &log)
	}
}

func TestNothingListensWhenAlone(t *testing.T) {
	sockets := func() string {
		var out strings.Builder
		for _, table := range []string{"tcp", "tcp6"} {
			data, err := os.ReadFile("/proc/self/net/" + table)
			if err != nil {
				t.Fatal(err)
			}
			for line := range strings.Lines(string(data)) {
				if f := strings.Fields(line); len(f) > 9 && f[3] == "0A" && ours(t, f[9]) {
					fmt.Fprintln(&out, f[1])
				}
			}
		}
		return out.String()
	}
	before := sockets()
	alone(t)
	if now := sockets(); now != before {
		t.Errorf("listens at %s", now)
	}
}

// ours reports whether a socket is one of this process.
func ours(t *testing.T, inode string) bool {
	t.Helper()
	fds, err := filepath.Glob("/proc/self/fd/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range fds {
		if to, err := os.Readlink(fd); err == nil && to == "socket:["+inode+"]" {
			return true
		}
	}
	return false
}
