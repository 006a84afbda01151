package courier

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"ropeway/internal/grant"
)

// again is the courier of a process that starts where this one was killed.
func (c *Courier) again(t *testing.T) *Courier {
	t.Helper()
	next := &Courier{opts: c.opts, log: c.log, met: map[string]bool{}, held: grant.Verifier{Authority: c.held.Authority, Fabric: "shop", Gateway: "gw1"}}
	if err := next.remember(); err != nil {
		t.Fatal(err)
	}
	return next
}

// applies has the machine become what the plan says, and a controller hear of it.
func (c *Courier) applies(*testing.T) {
	revision := c.revision
	c.opts.Status = func() Status { return Status{Applied: revision, Healthy: true} }
	c.confirm(c.now().AppliedEpoch)
}

// A plan that a controller heard of stays, however long no controller is there afterwards; one that none heard of does not, also after a restart.
func TestATrial(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, key := newCourier(t)
		first, second, third := document(t, "gw1", 1), document(t, "gw1", 2), document(t, "gw1", 3)
		take := func(epoch uint64, text []byte) error { return c.take(t.Context(), signed(t, key, epoch, text)) }
		ctx, cancel := context.WithCancel(t.Context())
		guard := func() { go c.guard(ctx) }
		guard()
		if err := take(5, first); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour) // there is nothing to go back to
		if !bytes.Equal(c.plan(t), first) || c.Contact().OnTrial {
			t.Fatal("the first plan is on trial")
		}
		c.applies(t)
		if err := take(6, second); err != nil {
			t.Fatal(err)
		}
		time.Sleep(c.opts.ConfirmWithin - time.Second)
		if !c.Contact().OnTrial {
			t.Error("nobody has confirmed the plan, and it is not on trial")
		}
		c.applies(t)
		time.Sleep(time.Hour)
		if !bytes.Equal(c.plan(t), second) || c.Contact().OnTrial {
			t.Fatal("a plan that was confirmed is gone, or on trial")
		}
		if err := take(8, third); err != nil {
			t.Fatal(err)
		}
		time.Sleep(c.opts.ConfirmWithin + time.Second)
		if now := c.now(); !bytes.Equal(c.plan(t), second) || now.KeptEpoch != 6 || now.RevertedEpoch != 8 {
			t.Fatalf("nobody confirmed the plan, and it stays: %v", now)
		}
		cancel()
		synctest.Wait()
		c = c.again(t)
		ctx, cancel = context.WithCancel(t.Context())
		defer cancel()
		guard()
		if now := c.now(); !bytes.Equal(c.plan(t), second) || now.KeptEpoch != 6 || now.RevertedEpoch != 8 || c.asks().Epoch != 7 || c.asks().RevertedEpoch != 8 {
			t.Errorf("after a restart: %v, asks %v", now, c.asks())
		}
		for _, old := range []uint64{6, 7} {
			if err := take(old, first); !errors.Is(err, grant.ErrOld) {
				t.Errorf("epoch %d came back: %v", old, err)
			}
		}
		if err := take(8, third); err != nil || !bytes.Equal(c.plan(t), third) {
			t.Errorf("the one that it went back from, sent anew: %v", err)
		}
		c.applies(t)
		if now := c.now(); now.RevertedEpoch != 0 || now.AppliedEpoch != 8 {
			t.Errorf("after all: %v", now)
		}
	})
}

// A plan that follows one on trial does not make that one good: the gateway goes back to the one that was confirmed.
func TestTrialAfterTrial(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, key := newCourier(t)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go c.guard(ctx)
		texts := [][]byte{document(t, "gw1", 1), document(t, "gw1", 2), document(t, "gw1", 3)}
		for i, text := range texts {
			if err := c.take(t.Context(), signed(t, key, uint64(i+1), text)); err != nil {
				t.Fatal(err)
			}
			if i == 0 {
				c.applies(t)
			}
			time.Sleep(c.opts.ConfirmWithin / 2)
		}
		time.Sleep(c.opts.ConfirmWithin)
		if !bytes.Equal(c.plan(t), texts[0]) {
			t.Error("it did not go back to the plan that was confirmed")
		}
	})
}

// A process that is killed between any two writes leaves what the next one makes sense of: the plan before, or the plan after; and where the plan was
// gone back from, it stays so. Each moment is made by undoing the writes that would have come after it.
func TestKilledBetweenWrites(t *testing.T) {
	files := []string{confirmedName, trialName, grantName, planName}
	type moment map[string][]byte
	look := func(c *Courier) moment {
		m := moment{}
		for _, name := range files {
			if data, err := os.ReadFile(filepath.Join(c.opts.State, name)); err == nil {
				m[name] = data
			}
		}
		return m
	}
	// between returns the states of the directory in which only the first n of the files had been written in their new form.
	between := func(before, after moment, order []string) (all []moment) {
		for n := range len(order) + 1 {
			m := moment{}
			for name, data := range before {
				m[name] = data
			}
			for _, name := range order[:n] {
				if m[name] = after[name]; after[name] == nil {
					delete(m, name)
				}
			}
			all = append(all, m)
		}
		return all
	}
	c, key := newCourier(t)
	first, second := document(t, "gw1", 1), document(t, "gw1", 2)
	if err := c.take(t.Context(), signed(t, key, 5, first)); err != nil {
		t.Fatal(err)
	}
	c.applies(t)
	before := look(c)
	if err := c.take(t.Context(), signed(t, key, 6, second)); err != nil {
		t.Fatal(err)
	}
	taken := look(c)
	confirming := c.again(t)
	confirming.confirm(6)
	confirmed := look(confirming)
	if confirmed[trialName] != nil || !bytes.Equal(confirmed[confirmedName], taken[grantName]) {
		t.Error("what was confirmed is on trial, or is not what the gateway would go back to")
	}
	for name, data := range taken {
		if err := os.WriteFile(filepath.Join(c.opts.State, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.goBack(); err != nil {
		t.Fatal(err)
	}
	back := look(c)
	check := func(what string, m moment, want func(c *Courier) error) {
		t.Helper()
		for _, name := range files {
			_ = os.Remove(filepath.Join(c.opts.State, name))
			if data, there := m[name]; there {
				if err := os.WriteFile(filepath.Join(c.opts.State, name), data, 0o600); err != nil {
					t.Fatal(err)
				}
			}
		}
		next := c.again(t)
		if err := want(next); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	for n, m := range between(before, taken, []string{confirmedName, trialName, grantName, planName}) {
		check(fmt.Sprintf("killed after %d writes of following", n), m, func(next *Courier) error {
			onTrial, plan := next.Contact().OnTrial, next.plan(t)
			if onTrial != (n >= 3) || bytes.Equal(plan, second) != onTrial || bytes.Equal(plan, first) == onTrial {
				return fmt.Errorf("on trial: %v, the first plan: %v", onTrial, bytes.Equal(plan, first))
			}
			if err := next.take(t.Context(), signed(t, key, 5, second)); !errors.Is(err, grant.ErrOld) {
				return fmt.Errorf("an old one is followed: %w", err)
			}
			return nil
		})
	}
	for n, m := range between(taken, confirmed, []string{confirmedName, trialName}) {
		check(fmt.Sprintf("killed after %d writes of confirming", n), m, func(next *Courier) error {
			if now := next.now(); now.KeptEpoch != 6 || next.Contact().OnTrial != (n == 0) || !bytes.Equal(next.plan(t), second) {
				return fmt.Errorf("on trial: %v, %v", next.Contact().OnTrial, now)
			}
			if err := next.take(t.Context(), signed(t, key, 6, second)); !errors.Is(err, grant.ErrOld) {
				return fmt.Errorf("an old one is followed: %w", err)
			}
			return next.take(t.Context(), signed(t, key, 7, first))
		})
	}
	for n, m := range between(taken, back, []string{trialName, grantName, planName}) {
		check(fmt.Sprintf("killed after %d writes of going back", n), m, func(next *Courier) error {
			if n == 0 {
				return next.goBack() // it is on trial still, and its time begins anew
			}
			if now := next.now(); now.KeptEpoch != 5 || now.RevertedEpoch != 6 || !bytes.Equal(next.plan(t), first) {
				return fmt.Errorf("it did not go back: %v", now)
			}
			return next.take(t.Context(), signed(t, key, 6, second))
		})
	}
}

// Who answered before a plan and does not under it is named, once it had time; who comes back is not named any more.
func TestTheLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, key := newCourier(t)
		var there, applied atomic.Value
		there.Store([]string{"gw2", "gw9"}) // the second is no peer in the plans
		applied.Store("")
		c.opts.Status = func() Status { return Status{Applied: applied.Load().(string), Healthy: true} }
		c.opts.Reach = func(_ context.Context, gateways []string) (out []string, _ error) {
			for _, name := range there.Load().([]string) {
				if gateways == nil || slices.Contains(gateways, name) {
					out = append(out, name)
				}
			}
			return out, nil
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go c.probe(ctx)
		for epoch := range uint64(2) {
			if err := c.take(t.Context(), signed(t, key, epoch+1, peered(t, uint16(epoch)+1))); err != nil {
				t.Fatal(err)
			}
			c.mu.Lock()
			applied.Store(c.revision)
			c.mu.Unlock()
			if epoch == 0 {
				time.Sleep(time.Second)
			}
		}
		there.Store([]string(nil))
		time.Sleep(reachFor / 2)
		if now := c.now(); now.GetProbedEpoch() == 2 || len(now.Lost) > 0 {
			t.Errorf("it had no time: %v", now)
		}
		time.Sleep(reachFor)
		if now := c.now(); now.GetProbedEpoch() != 2 || !slices.Equal(now.Lost, []string{"gw2"}) {
			t.Errorf("nobody is lost: %v", now)
		}
		there.Store([]string{"gw2"})
		time.Sleep(2 * lostEvery)
		if now := c.now(); len(now.Lost) > 0 {
			t.Errorf("it is back: %v", now)
		}
	})
}

// When a controller was heard last outlives a restart; after a day without one the gateway says so, and not before.
func TestStaleness(t *testing.T) {
	c, _ := newCourier(t)
	c.opts.StaleAfter = time.Hour
	c.recall()
	if c.Contact().Stale {
		t.Error("it has just begun")
	}
	c.hear()
	heard := time.Now().Add(-2 * time.Hour)
	if err := os.Chtimes(filepath.Join(c.opts.State, contactName), heard, heard); err != nil {
		t.Fatal(err)
	}
	next := &Courier{opts: c.opts, log: c.log}
	next.recall()
	if now := next.Contact(); !now.Stale || !now.Heard.Equal(heard) {
		t.Errorf("after a restart: %+v", now)
	}
	next.hear()
	if next.Contact().Stale {
		t.Error("a controller was heard")
	}
}

// Who has answered once and no longer does is silent, whatever plans come meanwhile, until he answers; who never did is not.
func TestTheSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, key := newCourier(t)
		var there atomic.Value
		there.Store([]string{"gw2", "gw9"}) // the second is no peer in the plans
		c.opts.Reach = func(_ context.Context, gateways []string) (out []string, _ error) {
			for _, name := range there.Load().([]string) {
				if gateways == nil || slices.Contains(gateways, name) {
					out = append(out, name)
				}
			}
			return out, nil
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go c.listen(ctx)
		take := func(epoch uint64, text []byte) {
			t.Helper()
			if err := c.take(t.Context(), signed(t, key, epoch, text)); err != nil {
				t.Fatal(err)
			}
		}
		silent := func(want ...string) {
			t.Helper()
			time.Sleep(2 * silentEvery)
			if now := c.now(); !slices.Equal(now.Silent, want) {
				t.Errorf("silent are %v, want %v", now.Silent, want)
			}
		}
		take(1, peered(t, 1))
		silent()
		there.Store([]string(nil))
		silent("gw2")
		take(2, peered(t, 2))
		silent("gw2")
		there.Store([]string{"gw2"})
		silent()
		there.Store([]string(nil))
		silent("gw2")
		take(3, document(t, "gw1", 3))
		silent() // it is no peer any more
	})
}
