package controller

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"time"

	"ropeway/internal/audit"
	"ropeway/internal/store"
)

// A book is the audit log of the fabric, as this controller keeps it together with the others.
type book struct {
	store   *store.Store
	signer  *audit.Signer
	blotter *blotter
	log     *slog.Logger
	now     func() time.Time
}

// openBook derives the key that signs the log.
func (c *Controller) openBook() error {
	key, err := c.opts.Authority.AuditSigner()
	if err != nil {
		return err
	}
	c.book.signer, err = audit.NewSigner(audit.LogName(c.opts.Fabric), key)
	return err
}

const (
	blotterEvery = 10 * time.Second // how often counts are looked at, and what could not be written is tried again
	mostAtOnce   = 60               // entries that the store takes in one transaction
)

// keepBlotter writes what changed nothing, until ctx ends: then what is left, once.
func (b *book) keepBlotter(ctx context.Context) error {
	tick := time.NewTicker(blotterEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			late, cancel := context.WithTimeout(context.WithoutCancel(ctx), farewell)
			defer cancel()
			b.write(late, b.blotter.take(b.now(), true))
			return nil
		case <-b.blotter.wake:
		case <-tick.C:
		}
		b.write(ctx, b.blotter.take(b.now(), false))
	}
}

func (b *book) write(ctx context.Context, entries []audit.Entry) {
	for len(entries) > 0 {
		n := min(len(entries), mostAtOnce)
		if err := b.store.Record(ctx, entries[:n]...); err != nil {
			b.log.Warn("refusals wait for the audit log", "entries", len(entries), "error", err)
			b.blotter.back(entries)
			return
		}
		entries = entries[n:]
	}
}

// settling is about how long what is pending waits for its place: so what comes together is placed together, and of several controllers one is first.
const settling = 100 * time.Millisecond

// keepLog gives what is pending its places in the log, until ctx ends. Every controller does; see store.Sequence.
func (b *book) keepLog(ctx context.Context) error {
	stuck := false
	for range b.store.WatchAudit(ctx) {
		select {
		case <-ctx.Done():
		case <-time.After(settling/2 + rand.N(settling)): //nolint:gosec // nobody gains by guessing it
		}
		err := b.drain(ctx)
		switch {
		case err != nil && !stuck && ctx.Err() == nil: // told once
			b.log.Error("the audit log does not take entries: they wait", "error", err)
		case err == nil && stuck:
			b.log.Info("the audit log takes entries again")
		}
		stuck = err != nil
	}
	if ctx.Err() == nil {
		return errors.New("the store no longer tells of the audit log")
	}
	return nil
}

// drain gives everything that is pending its place.
func (b *book) drain(ctx context.Context) error {
	for {
		if placed, err := b.store.Sequence(ctx, b.signer); err != nil || placed == 0 {
			return err
		}
	}
}
