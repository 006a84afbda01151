package controller

import (
	"context"
	"math/rand/v2"
	"time"

	"ropeway/internal/store"
)

// How the store is kept small. etcd itself forgets every hour what was overwritten; what that frees on disk comes back only where somebody asks
// for it, and a member that does so answers nobody meanwhile (some seconds for each gigabyte).
const (
	houseEvery = time.Minute // more or less: not all members at the same moment
	wasteLeast = 64 << 20    // bytes that are worth it
)

// wasteful reports whether space is to be reclaimed: writes are refused for want of it, or more than half of what is taken is not used.
func wasteful(st store.Status) bool {
	waste := st.Size - st.InUse
	return st.Full || waste >= wasteLeast && waste > st.Size/2
}

// usualKeep is which revisions stay for people to look back at, and to go back to.
func usualKeep() store.Keep { return store.Keep{Least: 1000, Since: 90 * 24 * time.Hour, Batch: 100} }

// pruneRounds is how seldom it is looked for revisions that may go: once in so many rounds.
const pruneRounds = 30

// keepHouse lets old revisions go, and reclaims space of an embedded store, until ctx ends. The space of somebody else's etcd is for its owner to keep.
func (c *Controller) keepHouse(ctx context.Context) error {
	for round := 0; ; round++ {
		wait := houseEvery/2 + rand.N(houseEvery) //nolint:gosec // nobody gains by guessing it
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
		if round%pruneRounds == 0 {
			c.prune(ctx, usualKeep())
		}
		if c.opts.Store.Embedded() {
			c.tidy(ctx)
		}
	}
}

// prune lets revisions go that need not be kept.
func (c *Controller) prune(ctx context.Context, keep store.Keep) {
	before, err := c.opts.Store.Pruned(ctx)
	var now uint64
	if err == nil {
		now, err = c.opts.Store.Prune(ctx, keep)
	}
	switch {
	case err != nil && ctx.Err() == nil:
		c.log.Warn("old revisions stay", "error", err)
	case now > before:
		c.log.Info("old revisions are gone", "up to", now)
	}
}

// tidy reclaims space where it is worth it. What a full store gave back it takes again, until it is as full as before.
func (c *Controller) tidy(ctx context.Context) {
	st, err := c.opts.Store.Status(ctx)
	if err != nil || !st.Answers || !wasteful(st) {
		return
	}
	begun := time.Now()
	if err := c.opts.Store.Reclaim(ctx); err != nil {
		c.log.Warn("no space was reclaimed", "error", err)
		return
	}
	c.log.Info("space was reclaimed", "was", st.Size, "used", st.InUse, "full", st.Full, "took", time.Since(begun))
}
