package controller

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"ropeway/internal/audit"
	"ropeway/internal/authority"
	"ropeway/internal/sink"
	"ropeway/internal/store"
)

// flaky is a sink that fails as long as it is told to, having taken half.
type flaky struct {
	mu     sync.Mutex
	down   bool
	closed bool
	got    []int64
}

func (*flaky) Name() string { return "flaky" }

func (f *flaky) Send(_ context.Context, events []sink.Event) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := len(events)
	if f.down {
		n /= 2
	}
	for _, e := range events[:n] {
		f.got = append(f.got, e.Position)
	}
	if f.down {
		return errors.New("away")
	}
	return nil
}

func (f *flaky) Close() error { f.closed = true; return nil }

func (f *flaky) set(down bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.down = down
}

func (f *flaky) seen() []int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]int64(nil), f.got...)
}

func newBook(t *testing.T) *book {
	t.Helper()
	d := deskOf(t)
	ca, err := authority.Open(t.TempDir()+"/authority", "shop", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	c := New(Options{Fabric: "shop", Store: d.store, Authority: ca, Log: slog.New(slog.DiscardHandler)})
	if err := c.openBook(); err != nil {
		t.Fatal(err)
	}
	return c.book
}

func (b *book) add(t *testing.T, n int) {
	t.Helper()
	for range n {
		if err := b.store.Record(t.Context(), audit.Entry{At: 1, What: "test", Outcome: audit.Refused}); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.drain(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// covers reports whether a sink has 0 to n-1, in order but for what came again.
func covers(got []int64, n int) error {
	next := int64(0)
	for _, p := range got {
		if p > next {
			return fmt.Errorf("%d comes where %d is due", p, next)
		}
		next = max(next, p+1)
	}
	if next != int64(n) {
		return fmt.Errorf("it ends before %d, want %d", next, n)
	}
	return nil
}

func until(t *testing.T, what string, so func() bool) {
	t.Helper()
	for begun := time.Now(); !so(); time.Sleep(20 * time.Millisecond) {
		if time.Since(begun) > time.Minute {
			t.Fatalf("it is still not so that %s", what)
		}
	}
}

// A sink that is away misses nothing and holds up nobody, across restarts of the forwarder, too.
func TestForward(t *testing.T) {
	b, dir := newBook(t), t.TempDir()
	s := &flaky{}
	run := func() (stop func()) {
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		f := &forwarder{book: b, sink: s, dir: dir}
		go func() { done <- f.run(ctx) }()
		return func() {
			cancel()
			if err := <-done; err != nil || !s.closed {
				t.Errorf("it ended with %v", err)
			}
		}
	}
	stop := run()
	b.add(t, 5)
	until(t, "the first five came", func() bool { return covers(s.seen(), 5) == nil })
	s.set(true)
	b.add(t, 7) // nobody waits
	until(t, "it was tried", func() bool { return len(s.seen()) > 5 })
	stop()
	b.add(t, 3)
	s.set(false)
	stop = run()
	until(t, "all fifteen came", func() bool { return covers(s.seen(), 15) == nil })
	stop()
	once := len(s.seen())
	stop = run()
	b.add(t, 1)
	until(t, "the last came", func() bool { return covers(s.seen(), 16) == nil })
	stop()
	if n := len(s.seen()); n != once+1 {
		t.Errorf("after a restart %d came again", n-once-1)
	}
}

// A store that was restored is another log: all of it is sent. What was removed before it was sent is passed over, and told.
func TestForwardAnotherLog(t *testing.T) {
	a, b, dir := newBook(t), newBook(t), t.TempDir()
	a.add(t, 6)
	b.add(t, 3)
	s := &flaky{}
	forward := func(b *book) {
		t.Helper()
		if err := (&forwarder{book: b, sink: s, dir: dir}).forward(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	forward(a)
	forward(b)
	if got := s.seen(); len(got) != 9 {
		t.Errorf("%v", got)
	}
	c := newBook(t)
	c.add(t, 4)
	head, err := c.store.AuditHead(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	upTo, err := audit.OpenCheckpoint(head.Checkpoint, c.signer.Key())
	if err != nil {
		t.Fatal(err)
	}
	if err := c.store.TrimAudit(store.By(t.Context(), "admin/ada", ""), c.signer, upTo); err != nil {
		t.Fatal(err)
	}
	if err := c.drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	late := &flaky{}
	if err := (&forwarder{book: c, sink: late, dir: t.TempDir()}).forward(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := late.seen(); len(got) != 1 || got[0] != 4 {
		t.Errorf("what is left is sent as %v", got)
	}
}
