package courier

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"
)

// Usual times of a courier.
const (
	ConfirmWithin = time.Minute    // how long a plan is on trial without a word from a controller
	StaleAfter    = 24 * time.Hour // how long nobody may hear of a controller before the gateway says so
)

// contactName is a file that is touched when a controller was heard, now and then: its time outlives a restart.
const contactName = "contact"

// A Contact is what a gateway knows of its controllers.
type Contact struct {
	Heard    time.Time // when one was heard last; zero: never
	Stale    bool      // that is so long ago that somebody should look: what this gateway follows may have been revoked
	Epoch    uint64    // of the plan that it follows; 0: none yet
	OnTrial  bool      // no controller has confirmed that plan yet
	Reverted uint64    // the epoch that it went back from; 0: none
	Unread   string    // why it cannot follow the plan that it was sent last; "": it can
}

// Contact tells what is known of controllers now.
func (c *Courier) Contact() Contact {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := Contact{Heard: c.contact, Stale: time.Since(c.contact) > c.opts.StaleAfter, Epoch: c.kept}
	if c.trial != nil {
		out.OnTrial = !c.trial.Reverted && c.trial.Epoch == c.kept
		out.Reverted = c.trial.reverted()
	}
	if c.unread != nil {
		out.Unread = c.unread.Error()
	}
	return out
}

// reverted returns the epoch that was gone back from, 0 for none.
func (t *trial) reverted() uint64 {
	if t == nil || !t.Reverted {
		return 0
	}
	return t.Epoch
}

// touchEvery is how often the time of the last contact goes to disk.
const touchEvery = time.Minute

// hear notes that a controller spoke.
func (c *Courier) hear() {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	c.contact = now
	if now.Sub(c.touched) < touchEvery {
		return
	}
	c.touched = now
	path := c.statePath(contactName)
	err := os.Chtimes(path, now, now)
	if errors.Is(err, os.ErrNotExist) {
		err = os.WriteFile(path, nil, 0o600)
	}
	if err != nil {
		c.log.Warn("when a controller was heard is not kept", "error", err)
	}
}

// recall finds when a controller was heard before this process. Where nobody knows, the time of silence begins now.
func (c *Courier) recall() {
	c.contact = time.Now()
	if info, err := os.Lstat(c.statePath(contactName)); err == nil && info.ModTime().Before(c.contact) {
		c.contact = info.ModTime()
	}
}

// guardEvery is how often it is looked whether a time is over.
const guardEvery = 500 * time.Millisecond

// guard goes back from a plan that no controller confirms in time, and says once when no controller was heard for long, until ctx ends.
func (c *Courier) guard(ctx context.Context) {
	tick := time.NewTicker(guardEvery)
	defer tick.Stop()
	stale := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if c.overdue() {
			if err := c.goBack(); err != nil {
				c.log.Error("the gateway cannot go back yet", "error", err)
				c.postpone()
				continue
			}
			c.hangUp()
		}
		if now := c.Contact(); now.Stale != stale {
			if stale = now.Stale; stale {
				c.log.Error("no controller was heard for long; the gateway goes on as it is", "code", "RW4021", "since", now.Heard)
			} else {
				c.log.Info("a controller is there again")
			}
		}
	}
}

// postpone has the gateway try again in a while to go back: a disk that is full may not be so for ever.
func (c *Courier) postpone() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.heard = time.Now().Add(restMost - c.opts.ConfirmWithin)
}

// hangUp ends the conversation that is under way, if any: the next one begins with what is so now.
func (c *Courier) hangUp() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ending != nil {
		c.ending(errReverted)
	}
}

var errReverted = fmt.Errorf("the gateway went back to another plan")
