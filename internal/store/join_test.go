package store_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ropeway/internal/store"
)

// eventually waits until something is so.
func eventually(t *testing.T, what string, so func() bool) {
	t.Helper()
	for begun := time.Now(); time.Since(begun) < time.Minute; time.Sleep(50 * time.Millisecond) {
		if so() {
			return
		}
	}
	t.Fatalf("it is still not so that %s", what)
}

// A joiner is somebody who was admitted by one that is there.
func join(t *testing.T, by *store.Store, name string) *store.Store {
	t.Helper()
	url := "http://" + freePort(t)
	_, all, err := by.Admit(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	s := open(t, store.Options{Dir: filepath.Join(t.TempDir(), "etcd"), Name: name, PeerURL: url, InitialCluster: initial(all, name, url), Join: true})
	if err := s.Vote(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}

func initial(all []store.Peer, name, url string) string {
	var members []string
	for _, p := range all {
		called := fmt.Sprintf("member-%x", p.ID)
		if p.URL == url {
			called = name
		}
		members = append(members, called+"="+p.URL)
	}
	return strings.Join(members, ",")
}

func voters(t *testing.T, s *store.Store) (out []string) {
	t.Helper()
	all, err := s.Peers(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range all {
		if !p.Learner {
			out = append(out, p.Name)
		}
	}
	return out
}

// One that was alone becomes three, loses one, and gets another in its place; what was acknowledged is there throughout.
func TestMembersComeAndGo(t *testing.T) {
	t.Parallel() // it waits for elections
	dir, ctx := filepath.Join(t.TempDir(), "etcd"), t.Context()
	alone := open(t, store.Options{Dir: dir, Name: "a"})
	n := mustCommit(t, alone, 0, change("admin/a"))
	if err := alone.Close(); err != nil {
		t.Fatal(err)
	}
	a := open(t, store.Options{Dir: dir, Name: "a", PeerURL: "http://" + freePort(t)}) // it can be reached from now on
	n = mustCommit(t, a, n, change("admin/a"))
	b := join(t, a, "b")
	n = mustCommit(t, b, n, change("admin/b"))
	c := join(t, b, "c")
	n = mustCommit(t, c, n, change("admin/c"))
	if got := voters(t, c); len(got) != 3 {
		t.Fatalf("members with a vote: %v", got)
	}

	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	n = mustCommit(t, a, n, change("admin/a"))
	hasty, cancel := context.WithTimeout(ctx, time.Second) // else it waits whether the other one has only just come
	defer cancel()
	if err := a.Dismiss(hasty, c.Self()); !errors.Is(err, store.ErrQuorum) {
		t.Errorf("one of the last two: %v", err)
	}
	all, err := a.Peers(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range all {
		if p.Name == "b" {
			if err := a.Dismiss(ctx, p.ID); err != nil {
				t.Fatal(err)
			}
		}
	}
	b = join(t, c, "b")
	n = mustCommit(t, b, n, change("admin/b"))
	if r, err := b.Revisions(ctx, 0, 10); err != nil || uint64(len(r)) != n || n != 6 {
		t.Errorf("%d revisions of %d, %v", len(r), n, err)
	}

	if err := a.Dismiss(ctx, c.Self()); err != nil {
		t.Fatal(err)
	}
	<-c.Lost()
	if !errors.Is(c.Why(), store.ErrRemoved) {
		t.Errorf("the one that was removed says %v", c.Why())
	}
	mustCommit(t, b, n, change("admin/b"))
}

// One that was admitted and does not come costs nothing, is admitted once, and can be dismissed.
func TestAJoinerThatNeverComes(t *testing.T) {
	t.Parallel()
	a, ctx := open(t, store.Options{Dir: filepath.Join(t.TempDir(), "etcd"), Name: "a", PeerURL: "http://" + freePort(t)}), t.Context()
	url := "http://" + freePort(t)
	first, _, err := a.Admit(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	if again, all, err := a.Admit(ctx, url); err != nil || again != first || len(all) != 2 {
		t.Errorf("admitted again: %x and %x, %v, %v", first, again, all, err)
	}
	n := mustCommit(t, a, 0, change("admin/a"))
	if _, _, err := a.Admit(ctx, "http://"+freePort(t)); !errors.Is(err, store.ErrJoining) {
		t.Errorf("another one: %v", err)
	}
	all, err := a.Peers(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range all {
		if p.ID == a.Self() {
			if _, _, err := a.Admit(ctx, p.URL); !errors.Is(err, store.ErrExists) {
				t.Errorf("where one is: %v", err)
			}
		}
	}
	if err := a.Dismiss(ctx, first); err != nil {
		t.Fatal(err)
	}
	if err := a.Dismiss(ctx, first); err != nil {
		t.Errorf("dismissed again: %v", err)
	}
	if err := a.Dismiss(ctx, a.Self()); !errors.Is(err, store.ErrQuorum) {
		t.Errorf("the last one: %v", err)
	}
	mustCommit(t, a, n, change("admin/a"))
}

// What controllers say of themselves is heard by all, and a name is one's own.
func TestControllers(t *testing.T) {
	s, ctx := alone(t), t.Context()
	heard := make(chan []store.Controller, 100)
	go s.WatchControllers(ctx, func(list []store.Controller) { heard <- list })
	hears := func(names ...string) {
		t.Helper()
		eventually(t, fmt.Sprint("all hear of ", names), func() bool {
			select {
			case list := <-heard:
				var got []string
				for _, c := range list {
					got = append(got, c.Name)
				}
				return fmt.Sprint(got) == fmt.Sprint(names)
			default:
				return false
			}
		})
	}
	at := time.Unix(1, 0)
	me := store.Controller{Name: "a", URL: "https://a.example.net:8443", Peer: s.Self(), At: at}
	for range 2 {
		if err := s.Announce(ctx, me); err != nil {
			t.Fatal(err)
		}
	}
	hears("a")
	if err := s.Announce(ctx, store.Controller{Name: "b", URL: "https://[2001:db8::1]:8443", At: at}); err != nil {
		t.Fatal(err)
	}
	hears("a", "b")
	if err := s.Announce(ctx, store.Controller{Name: "a", URL: "https://c:1", Peer: s.Self() + 1, At: at}); !errors.Is(err, store.ErrExists) {
		t.Errorf("another one of the same name: %v", err)
	}
	for _, url := range []string{"", "http://a:1", "https://a", "https://a:1/x", "https://u@a:1", "https://a:1,https://b:1/\n", "https://" + strings.Repeat("a", 400) + ":1"} {
		if err := s.Announce(ctx, store.Controller{Name: "d", URL: url, At: at}); err == nil {
			t.Errorf("%q was taken", url)
		}
	}
	if err := errors.Join(s.Forget(ctx, "a"), s.Forget(ctx, "a")); err != nil {
		t.Fatal(err)
	}
	hears("b")
}

// A store belongs to the authority that was first.
func TestBind(t *testing.T) {
	s, ctx := alone(t), t.Context()
	if bound, err := s.Bound(ctx); bound || err != nil {
		t.Errorf("bound: %t, %v", bound, err)
	}
	for range 2 {
		if err := s.Bind(ctx, [32]byte{1}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Bind(ctx, [32]byte{2}); !errors.Is(err, store.ErrForeign) {
		t.Errorf("another one: %v", err)
	}
	if bound, err := s.Bound(ctx); !bound || err != nil {
		t.Errorf("bound: %t, %v", bound, err)
	}
}

func TestStatus(t *testing.T) {
	s, ctx := open(t, store.Options{Dir: filepath.Join(t.TempDir(), "etcd"), Quota: 64 << 20}), t.Context()
	mustCommit(t, s, 0, change("admin/a"))
	st, err := s.Status(ctx)
	if err != nil || !st.Answers || !st.Embedded || st.Self != s.Self() || st.Leader != s.Self() || st.Learner || st.Full || st.Damaged ||
		st.Size == 0 || st.InUse == 0 || st.Quota != 64<<20 || st.Index == 0 || st.Version == "" {
		t.Errorf("%+v, %v", st, err)
	}
}
