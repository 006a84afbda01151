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

// keepHouse reclaims space of an embedded store until ctx ends. Somebody else's etcd is for its owner to keep.
func (c *Controller) keepHouse(ctx context.Context) error {
	for c.opts.Store.Embedded() {
		wait := houseEvery/2 + rand.N(houseEvery) //nolint:gosec // nobody gains by guessing it
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
		c.tidy(ctx)
	}
	return nil
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
