package controller

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"
)

// A crowd are agents that watch at the same time, and come again as a courier does when their stream ends.
type crowd struct {
	f      *fleet
	cancel context.CancelFunc
	all    sync.WaitGroup

	mu    sync.Mutex
	order []string
	wants struct {
		agents int
		epoch  uint64
	}
	counted int             // how many of order have what is wanted, at least
	changed chan struct{}   // closed when all have
	alive   map[string]bool // has an answer, of this connection
	epoch   map[string]uint64
	last    time.Time // when somebody had something new last
	errs    []error   // of those who were answered
}

// newCrowd has agents number first to last-1 watch, and returns when every one has had a word from the controller.
func newCrowd(f *fleet, first, last int, protocol string) *crowd {
	ctx, cancel := context.WithCancel(f.tb.Context())
	c := &crowd{f: f, cancel: cancel, alive: map[string]bool{}, epoch: map[string]uint64{}}
	for n := first; n < last; n++ {
		c.order = append(c.order, gatewayName(n))
	}
	for n := first; n < last; n++ {
		c.all.Go(func() { c.follow(ctx, gatewayName(n), protocol) })
	}
	f.tb.Cleanup(c.stop)
	return c
}

func (c *crowd) stop() {
	c.cancel()
	c.all.Wait()
}

// follow watches for one agent. It holds nothing when it comes again, as an agent that lost its disk, so that every one is sent its plan.
func (c *crowd) follow(ctx context.Context, name, protocol string) {
	rest := 200 * time.Millisecond // as courier's
	for ctx.Err() == nil {
		heard := false
		err := c.f.watch(ctx, name, 0, protocol, func(epoch uint64, at time.Time) {
			heard, rest = true, 200*time.Millisecond
			c.note(name, epoch, at)
		})
		c.mu.Lock()
		delete(c.alive, name)
		if err != nil && heard && ctx.Err() == nil {
			c.errs = append(c.errs, fmt.Errorf("%s: %w", name, err))
		}
		c.mu.Unlock()
		select {
		case <-ctx.Done():
		case <-time.After(rest/2 + rand.N(rest)):
		}
		rest = min(2*rest, 15*time.Second)
	}
}

func (c *crowd) note(name string, epoch uint64, at time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.alive[name] = true
	if epoch <= c.epoch[name] {
		return
	}
	c.epoch[name] = epoch
	if at.After(c.last) {
		c.last = at
	}
	if c.changed != nil && c.have(c.wants.epoch) >= c.wants.agents {
		close(c.changed)
		c.changed = nil
	}
}

// have counts those who have an epoch. Where one is missing it does not look on.
func (c *crowd) have(epoch uint64) int {
	for c.counted < len(c.order) && c.epoch[c.order[c.counted]] >= epoch {
		c.counted++
	}
	return c.counted
}

// wait returns when the last of n agents, all that there are, had an epoch.
func (c *crowd) wait(n int, epoch uint64) time.Time {
	c.f.tb.Helper()
	c.mu.Lock()
	c.wants.agents, c.wants.epoch, c.counted = n, epoch, 0
	if c.have(epoch) >= n {
		defer c.mu.Unlock()
		return c.last
	}
	all := make(chan struct{})
	c.changed = all
	c.mu.Unlock()
	select {
	case <-all:
	case <-time.After(4 * time.Minute):
		c.f.tb.Fatalf("agents still have not epoch %d", epoch)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.last
}

// present waits until n agents have had a word from the controller.
func (c *crowd) present(n int) {
	eventually(c.f.tb, "all have heard of the controller", func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return len(c.alive) >= n
	})
}

// forget makes every epoch that was noted unknown.
func (c *crowd) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.epoch)
	c.last = time.Time{}
}

// TestCrowd: agents of every kind have a change, and a controller that was killed has all of them back.
func TestCrowd(t *testing.T) {
	const n = 30
	f := newFleet(t, n)
	f.apply(starFabric(n, 10, 443))
	lean, usual := newCrowd(f, 0, n/2, "http/1.1"), newCrowd(f, n/2, n, "h2")
	lean.wait(n/2, 1)
	usual.wait(n/2, 1)
	done := f.apply(starFabric(n, 10, 444))
	lean.wait(n/2, done.Revision)
	usual.wait(n/2, done.Revision)
	f.kill()
	lean.forget()
	usual.forget()
	f.start()
	lean.wait(n/2, done.Revision)
	usual.wait(n/2, done.Revision)
}
