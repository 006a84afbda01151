package controller

import (
	"context"
	"errors"
	"fmt"
	"time"

	"ropeway/internal/rollout"
	"ropeway/internal/store"
)

// A back is how and why a fabric goes back.
type back struct {
	author string
	as     rollout.State // Failed or Aborted
	why    string
	at     time.Time
}

// goBack ends the rollout at a step by a revision that says what its base said. Keys that gateways brought since stay known: what they were before is
// worth nothing any more.
func (d *desk) goBack(ctx context.Context, step int64, b back) (number uint64, err error) {
	for range keyAttempts {
		now, err := d.present(ctx)
		if err != nil {
			return 0, err
		}
		if !now.active() || now.step() != step {
			return 0, store.ErrStep
		}
		text, err := d.lockBack(ctx, now, b.at)
		if err != nil {
			return 0, err
		}
		r := store.Revision{At: b.at, Author: b.author, Kind: "rollback", Reason: b.why, File: now.base.file, Lock: text, Seal: now.rollout.WayBack}
		number, err := d.store.CommitRollout(ctx, now.newest.number, r, step, func(number uint64) store.Rollout {
			next, _ := now.rollout.GoneBack(b.as, number, b.why) // it is active
			return now.rollout.Take(next, b.author, b.at)
		})
		if !errors.Is(err, store.ErrMoved) { // a gateway that enrolls does not keep a fabric from going back
			return number, err
		}
	}
	return 0, fmt.Errorf("go back: the fabric changed %d times meanwhile", keyAttempts)
}

// endRollout has the fabric go back where a rollout is active, so that what comes next is everybody's at once.
func (d *desk) endRollout(ctx context.Context, b back) error {
	for {
		now, err := d.present(ctx)
		if err != nil || !now.active() {
			return err
		}
		if _, err := d.goBack(ctx, now.step(), b); !errors.Is(err, store.ErrStep) {
			return err
		}
	}
}

// lockBack returns the lock of the base with the keys that are known now: those of the newest revision, and of gateways that only the base has.
// Where plans are signed outside, keys wait for whoever signs next, and it is the very lock of the base, if it was signed that this may come back.
func (d *desk) lockBack(ctx context.Context, now *present, at time.Time) ([]byte, error) {
	lock := now.base.lock
	if d.outside() {
		if err := d.checkWayBack(ctx, now, at); err != nil {
			return nil, err
		}
		return lock.Encode()
	}
	for _, g := range now.base.intent.Gateways() {
		if k := now.newest.lock.Gateways[g.Name].PublicKey; !k.IsZero() && lock.Gateways[g.Name].PublicKey != k {
			lock = lock.With(g.Name, k)
		}
	}
	lock, err := d.withKeys(ctx, now.base.intent, lock)
	if err != nil {
		return nil, err
	}
	return lock.Encode()
}
