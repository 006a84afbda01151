package store_test

import (
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"ropeway/internal/store"
)

// heard is what one controller hears of others.
type heard struct {
	mu  sync.Mutex
	all map[string][]store.Seen
}

func (h *heard) set(all map[string][]store.Seen) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.all = all
}

// String returns "CONTROLLER: GATEWAY=REPORT …" for each.
func (h *heard) String() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	out := ""
	for _, name := range slices.Sorted(maps.Keys(h.all)) {
		out += name + ":"
		for _, g := range h.all[name] {
			out += fmt.Sprintf(" %s=%s", g.Gateway, g.Report)
		}
		out += ";"
	}
	return out
}

// What a controller sees is heard by the others, as it is now, and forgotten when it says nothing more.
func TestTell(t *testing.T) {
	t.Parallel() // it waits until something is forgotten
	s, ctx := alone(t), t.Context()
	var h heard
	go s.WatchSeen(ctx, "me", h.set)
	hears := func(want string) {
		t.Helper()
		eventually(t, "it hears "+want, func() bool { return h.String() == want })
	}
	seen := func(pairs ...string) (out []store.Seen) {
		for i := 0; i < len(pairs); i += 2 {
			out = append(out, store.Seen{Gateway: pairs[i], At: noon(), Report: []byte(pairs[i+1])})
		}
		return out
	}
	me, a, b := s.NewTeller("me"), s.NewTeller("a"), s.NewTeller("b")
	tell := func(teller *store.Teller, seen []store.Seen) {
		t.Helper()
		if err := teller.Tell(ctx, seen); err != nil {
			t.Fatal(err)
		}
	}
	tell(me, seen("gw0", "0"))
	tell(a, seen("gw1", "1", "gw2", "2"))
	tell(b, seen("gw3", "3"))
	hears("a: gw1=1 gw2=2;b: gw3=3;")
	tell(a, seen("gw1", "1", "gw2", "22"))
	tell(b, nil)
	hears("a: gw1=1 gw2=22;")
	var many []store.Seen
	for i := range 200 {
		many = append(many, seen(fmt.Sprint("gw", i), "x")...)
	}
	tell(b, many)
	eventually(t, "it hears of many", func() bool { h.mu.Lock(); defer h.mu.Unlock(); return len(h.all["b"]) == 200 })
	tell(b, seen("gw3", "3"))
	hears("a: gw1=1 gw2=22;b: gw3=3;")
	eventually(t, "b is forgotten, while a goes on", func() bool {
		tell(a, seen("gw1", "1", "gw2", "22"))
		time.Sleep(time.Second)
		return h.String() == "a: gw1=1 gw2=22;"
	})
	tell(b, seen("gw3", "3"))
	hears("a: gw1=1 gw2=22;b: gw3=3;")
	if err := s.NewTeller("a\nb").Tell(ctx, nil); err == nil {
		t.Error("a hostile name")
	}
	if err := a.Tell(ctx, seen("gw\n", "1")); err == nil {
		t.Error("a hostile gateway")
	}
}
