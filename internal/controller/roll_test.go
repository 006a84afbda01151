package controller

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	ropewayv1 "ropeway/api/ropeway/v1"
	"ropeway/internal/key"
	"ropeway/internal/role"
	"ropeway/internal/rollout"
	"ropeway/internal/store"
)

// A stage is some controllers of one store, and gateways that speak with one of them each. The gateways are real to the controllers: they look into the
// outbox as Watch does, and report as agents do.
type stage struct {
	t           *testing.T
	store       *store.Store
	controllers []*Controller

	mu  sync.Mutex
	ill map[string]uint64 // gateways that are not well with a revision, from that one on
	got map[string]uint64 // what gateways have
}

var places = []string{"east", "west", "north", "south"}

// fabricFile is a fabric of four places with two gateways each.
func fabricFile(access string) []byte {
	var b strings.Builder
	b.WriteString("apiVersion: ropeway/v1\nkind: Fabric\nmetadata: {name: shop}\nspec:\n  topology: {mode: mesh}\n  regions:\n")
	for i, place := range places {
		fmt.Fprintf(&b, "    - {name: %s, prefixes: [10.%d.0.0/24], gateways: [{name: %s-a, endpoint: 192.0.2.%d}, {name: %s-b, endpoint: 192.0.2.%d}]}\n", place, i+1, place, 10*i+1, place, 10*i+2)
	}
	fmt.Fprintf(&b, "  access: [%s]\n", access)
	return []byte(b.String())
}

func newStage(t *testing.T, controllers int, skip ...string) *stage {
	s, err := store.Open(t.Context(), store.Options{Dir: t.TempDir() + "/store", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	st := &stage{t: t, store: s, ill: map[string]uint64{}, got: map[string]uint64{}}
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	t.Cleanup(func() {
		cancel()
		all.Wait()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	for i := range controllers {
		c := New(Options{
			Fabric: "shop", Name: fmt.Sprint("c", i), Store: s, Log: slog.New(slog.DiscardHandler), Waves: Waves{Soak: 100 * time.Millisecond, Timeout: time.Minute},
		})
		c.desk.ready, c.rolling.begun = nil, time.Now().Add(-time.Hour) // nobody signs here, and gateways had time to come
		st.controllers = append(st.controllers, c)
		if controllers > 1 {
			c.addresses.set([]store.Controller{{URL: "https://c0"}, {URL: "https://c1"}})
			all.Go(func() { _ = c.share(ctx) })
		}
		all.Go(func() { _ = c.follow(ctx) })
		all.Go(func() { c.roll(ctx) })
	}
	st.apply("{from: any, to: any}", pace{})
	away := map[string]bool{}
	for _, name := range skip {
		away[name] = true
	}
	for i, place := range places {
		for j, name := range []string{place + "-a", place + "-b"} {
			private, err := key.NewPrivate()
			if err != nil {
				t.Fatal(err)
			}
			if err := st.controllers[0].desk.know(ctx, name, private.Public(), time.Unix(2, 0)); err != nil {
				t.Fatal(err)
			}
			if !away[name] {
				c := st.controllers[(i+j)%controllers]
				woken := make(waiter, 1)
				c.outbox.attend(name, woken)
				all.Go(func() { defer c.outbox.leave(name, woken); st.gateway(ctx, c, name, woken) })
			}
		}
	}
	newest, _ := st.present()
	st.wait("everybody follows the first revisions", func() bool {
		mine := func(i, j int) *outbox { return st.controllers[(i+j)%controllers].outbox } // another one may know a plan by a later revision
		for _, c := range st.controllers {
			if now, _, _ := c.rolling.view(); now.newest.number != newest {
				return false
			}
		}
		for i, place := range places {
			for j, name := range []string{place + "-a", place + "-b"} {
				if p := mine(i, j).look(name); !away[name] && (p == nil || st.has(name) != p.epoch || !st.allHear(name)) {
					return false
				}
			}
		}
		return true
	})
	return st
}

// allHear reports whether every controller knows that a gateway is connected.
func (st *stage) allHear(name string) bool {
	return !slices.ContainsFunc(st.controllers, func(c *Controller) bool { return !c.connected(name) })
}

// gateway is an agent: it takes what is there for it, and reports.
func (st *stage) gateway(ctx context.Context, c *Controller, name string, woken waiter) {
	who := context.WithValue(ctx, callerKey{}, caller{Identity: role.Identity{Role: role.Gateway, Name: name}})
	held := uint64(0)
	for ctx.Err() == nil {
		p := c.outbox.look(name)
		if p != nil && p.epoch > held {
			held = p.epoch
			st.mayHave(name, held)
			healthy := st.take(name, held)
			if _, err := (gatewayService{c}).Report(who, &ropewayv1.ReportRequest{KeptEpoch: held, AppliedEpoch: held, Healthy: healthy, Message: "a story"}); err != nil {
				st.t.Error(err)
			}
		}
		select {
		case <-ctx.Done():
		case <-woken:
		}
	}
}

// mayHave holds what a gateway was given against the rollout: a step is never taken back, so it must be admitted by now.
func (st *stage) mayHave(name string, epoch uint64) {
	_, r, err := st.store.Present(context.WithoutCancel(st.t.Context()))
	if err == nil && r != nil && r.Active() && epoch >= r.Revision && !r.Admits(name) {
		st.t.Errorf("%s has revision %d and is in wave %d, and wave %d was admitted", name, epoch, r.WaveOf(name), r.Wave)
	}
}

func (st *stage) take(name string, epoch uint64) (healthy bool) {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.got[name] = epoch
	from, ill := st.ill[name]
	return !ill || epoch < from
}

func (st *stage) has(name string) uint64 {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.got[name]
}

func (st *stage) present() (uint64, *store.Rollout) {
	st.t.Helper()
	newest, r, err := st.store.Present(st.t.Context())
	if err != nil {
		st.t.Fatal(err)
	}
	return newest, r
}

func (st *stage) apply(access string, p pace) uint64 {
	st.t.Helper()
	base, _ := st.present()
	if p.connected == nil {
		p.connected = st.controllers[0].connected
	}
	n, _, err := st.controllers[0].desk.apply(st.t.Context(), change{author: "operator/ada", name: "f", file: fabricFile(access), base: base, at: time.Unix(3, 0), pace: p})
	if err != nil {
		st.t.Fatal(err)
	}
	return n
}

func (st *stage) wait(what string, so func() bool) {
	st.t.Helper()
	for begun := time.Now(); time.Since(begun) < time.Minute; time.Sleep(20 * time.Millisecond) {
		if so() {
			return
		}
	}
	st.t.Fatalf("it is still not so that %s", what)
}

func (st *stage) ends(revision uint64) *store.Rollout {
	st.t.Helper()
	var r *store.Rollout
	st.wait(fmt.Sprintf("the rollout of revision %d has come to its end", revision), func() bool {
		_, r = st.present()
		return r.Revision == revision && !r.Active()
	})
	return r
}

const web = "{from: any, to: any, ports: [tcp/443]}"

// Two controllers, each of whom half of the gateways speak with, bring one revision to all of them, wave by wave.
func TestSeveralControllersRoll(t *testing.T) {
	t.Parallel() // it waits for the disk
	st := newStage(t, 2)
	n := st.apply(web, pace{})
	if r := st.ends(n); r.State != rollout.Done || r.Total() != 3 || len(r.Away) > 0 || !strings.HasPrefix(r.By, "controller/c") {
		t.Errorf("it ended as %+v", r)
	}
	st.wait("everybody has it", func() bool {
		for _, place := range places {
			if st.has(place+"-a") != n || st.has(place+"-b") != n {
				return false
			}
		}
		return true
	})
	// A plan that a revision did not change is known by another one to a controller that did not see them all.
	viewer := context.WithValue(t.Context(), callerKey{}, caller{Identity: role.Identity{Role: role.Viewer, Name: "eve"}})
	st.controllers[1].outbox.put(map[string]*parcel{"east-a": newParcel(n+1000, 1, nil)}) // which speaks with the other one
	st.wait("either controller sees everybody where he should be", func() bool {
		for _, c := range st.controllers {
			list, err := fabricService{c}.ListGateways(viewer, &ropewayv1.ListGatewaysRequest{})
			if err != nil || slices.ContainsFunc(list.Gateways, func(g *ropewayv1.Gateway) bool {
				return g.Reported.GetAppliedEpoch() < g.Epoch || g.Epoch > n
			}) {
				return false
			}
		}
		return true
	})
}

// Who is not well with what it got makes the fabric go back, and those whose wave had not come notice nothing. A key that comes meanwhile stays.
func TestRollingBack(t *testing.T) {
	t.Parallel()
	st := newStage(t, 2, "south-b")
	base, _ := st.present()
	st.mu.Lock()
	st.ill["west-a"] = base + 1
	st.mu.Unlock()
	n := st.apply(web, pace{})
	private, err := key.NewPrivate()
	if err != nil {
		t.Fatal(err)
	}
	st.wait("the wave is admitted in which somebody is ill", func() bool { return st.has("west-a") >= n })
	if err := st.controllers[1].desk.know(t.Context(), "south-b", private.Public(), time.Unix(4, 0)); err != nil {
		t.Fatal(err)
	}
	r := st.ends(n)
	newest, _ := st.present()
	if r.State != rollout.Failed || r.Back != newest || !strings.Contains(r.Why, "west-a is not as the plan says: a story") {
		t.Errorf("it ended as %+v, and the newest is %d", r, newest)
	}
	now, err := st.controllers[0].desk.current(t.Context())
	if err != nil || string(now.file) != string(fabricFile("{from: any, to: any}")) || now.lock.Gateways["south-b"].PublicKey != private.Public() {
		t.Errorf("the fabric is not what it was, with the new key: %v", err)
	}
}

// At once is at once, and also takes the place of a rollout that is under way; another change waits for that.
func TestAtOnce(t *testing.T) {
	t.Parallel()
	st := newStage(t, 1)
	n := st.apply(web, pace{Waves: Waves{Soak: time.Hour}})
	_, _, err := st.controllers[0].desk.apply(t.Context(), change{author: "a", name: "f", file: fabricFile("{from: any, to: any, ports: [icmp]}"), base: n, at: time.Unix(5, 0)})
	if codeOf(err) != "RW7301" {
		t.Errorf("a change during a rollout: %v", err)
	}
	m := st.apply("{from: any, to: any, ports: [icmp]}", pace{atOnce: true})
	if _, r := st.present(); r.State != rollout.Done || !r.AtOnce || r.Revision != m {
		t.Errorf("it is %+v", r)
	}
	st.wait("everybody has it", func() bool { return st.has("north-b") == m && st.has("east-a") == m })
	if rev, err := st.store.Revision(t.Context(), m); err != nil || rev.Kind != "apply at once" {
		t.Errorf("recorded as %+v, %v", rev, err)
	}
}

// Whoever is revoked during a rollout is nobody's peer any more at once, also of those whose wave has not come: the fabric goes back first.
func TestRevokedDuringARollout(t *testing.T) {
	t.Parallel()
	st := newStage(t, 1)
	n := st.apply(web, pace{Waves: Waves{Soak: time.Hour}})
	d := st.controllers[0].desk
	if _, err := d.forget(t.Context(), "east-b", "admin/ada", time.Unix(6, 0)); err != nil {
		t.Fatal(err)
	}
	if r := st.ends(n); r.State != rollout.Aborted || !strings.Contains(r.Why, "east-b was revoked") {
		t.Errorf("it ended as %+v", r)
	}
	newest, _ := st.present()
	st.wait("everybody has lost the peer", func() bool { return st.has("north-b") == newest && st.has("west-a") == newest })
	now, err := d.current(t.Context())
	if err != nil || !now.lock.Gateways["east-b"].PublicKey.IsZero() || string(now.file) != string(fabricFile("{from: any, to: any}")) {
		t.Errorf("the fabric is not what it was, without the key: %v", err)
	}
}
