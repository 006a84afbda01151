package courier

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"
)

// A link can die long after the plan that made it. So everybody who has a session is asked now and then, and whoever has answered once and no longer does
// is silent. What a rollout judges by are the lost alone: silence may have nothing to do with a plan.

// How often everybody is asked: the more they are, the less. A session lasts 180 s without a packet, so nobody is forgotten in between.
const (
	silentEvery = 30 * time.Second
	silentEach  = 50 * time.Millisecond // more, for each who is asked
)

// listen looks who falls silent, until ctx ends.
func (c *Courier) listen(ctx context.Context) {
	why := ""
	for {
		c.mu.Lock()
		wait := silentEvery + time.Duration(len(c.met))*silentEach
		c.mu.Unlock()
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
		err := c.lookForSilent(ctx)
		if err != nil && ctx.Err() == nil && err.Error() != why { // once, and not twice a minute
			c.log.Warn("whom this gateway reaches is not known", "error", err)
		}
		why = fmt.Sprint(err)
	}
}

// lookForSilent asks everybody who has a session, and once more by name whoever was met before and did not answer.
func (c *Courier) lookForSilent(ctx context.Context) error {
	answered, err := c.opts.Reach(ctx, nil)
	if err != nil {
		return err
	}
	missing := c.meet(answered)
	var again []string
	if len(missing) > 0 {
		if again, err = c.opts.Reach(ctx, missing); err != nil {
			return err
		}
	}
	silent := slices.DeleteFunc(missing, func(name string) bool { return slices.Contains(again, name) })
	c.mu.Lock()
	defer c.mu.Unlock()
	silent = slices.DeleteFunc(silent, func(name string) bool { return !c.met[name] }) // a plan came meanwhile
	if len(silent) > 0 && !slices.Equal(silent, c.silent) {
		c.log.Warn("gateways do not answer through their tunnels any more", "gateways", silent[:min(len(silent), mostLost)], "count", len(silent))
	}
	c.silent = silent
	return nil
}

// meet remembers who answered, and returns whoever did before and did not now.
func (c *Courier) meet(answered []string) []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	missing := maps.Clone(c.met)
	for _, name := range answered {
		delete(missing, name)
		if c.peers[name] {
			c.met[name] = true
		}
	}
	return slices.Sorted(maps.Keys(missing))
}

// turnTo forgets whom the plan that is handed over does not have. The lock is held.
func (c *Courier) turnTo(peers map[string]bool) {
	gone := func(name string) bool { return !peers[name] }
	c.peers = peers
	maps.DeleteFunc(c.met, func(name string, _ bool) bool { return gone(name) })
	c.silent = slices.DeleteFunc(slices.Clone(c.silent), gone)
}
