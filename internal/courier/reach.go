package courier

import (
	"context"
	"slices"
	"time"
)

// Before a plan is handed over, the gateways that have a session with this one are asked through their tunnels whether they are there; after it, those
// that were are asked again. So the controller hears of a link that the plan broke, from the one who would have used it, and of no other.

// How whom the gateway reaches is looked at.
const (
	reachEvery = 250 * time.Millisecond
	reachFor   = 6 * time.Second // after that who does not answer is lost, as far as one can say: a handshake had two tries (Rekey-Timeout, whitepaper, section 6.1)
	lostEvery  = 2 * time.Second // how often the lost are asked again
)

// A reach is what became of those who answered before the plan of an epoch.
type reach struct {
	epoch  uint64
	before []string
	begun  time.Time // when the machine was as the plan says
	probed bool      // all answered, or had their time
	lost   []string
}

// reached returns who answers through a tunnel now, of those whom a plan still has as peers.
func (c *Courier) reached(ctx context.Context, next *followed) []string {
	if c.opts.Reach == nil || c.epoch() == 0 {
		return nil
	}
	answer, err := c.opts.Reach(ctx, nil)
	if err != nil {
		c.log.Warn("whom this gateway reaches is not known", "error", err)
	}
	c.meet(answer)
	return slices.DeleteFunc(answer, func(name string) bool { return !next.peers[name] })
}

// probe asks again those who answered before the last plan, until ctx ends.
func (c *Courier) probe(ctx context.Context) {
	tick := time.NewTicker(reachEvery)
	defer tick.Stop()
	var asked time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		r := c.toProbe()
		if r == nil || r.probed && time.Since(asked) < lostEvery {
			continue
		}
		asked = time.Now()
		answer, err := c.opts.Reach(ctx, r.before)
		if err != nil {
			c.log.Warn("whom this gateway reaches is not known", "error", err)
			answer = r.before
		}
		var lost []string
		for _, name := range r.before {
			if !slices.Contains(answer, name) {
				lost = append(lost, name)
			}
		}
		c.noteLost(r.epoch, lost)
	}
}

// toProbe returns what there is to be looked at; nil while the machine is not as the plan says, and where nobody is lost.
func (c *Courier) toProbe() *reach {
	st := c.opts.Status()
	c.mu.Lock()
	defer c.mu.Unlock()
	r := &c.reach
	if r.epoch != c.kept || c.revision == "" || st.Applied != c.revision || r.probed && len(r.lost) == 0 {
		return nil
	}
	if r.begun.IsZero() {
		r.begun = time.Now()
	}
	if len(r.before) == 0 {
		r.probed = true
		return nil
	}
	out := *r
	return &out
}

func (c *Courier) noteLost(epoch uint64, lost []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := &c.reach
	if r.epoch != epoch {
		return
	}
	if r.probed = r.probed || len(lost) == 0 || time.Since(r.begun) > reachFor; r.probed {
		if len(lost) > 0 && !slices.Equal(r.lost, lost) {
			c.log.Warn("gateways that answered before this plan do not answer through their tunnels", "epoch", epoch, "gateways", lost[:min(len(lost), mostLost)], "count", len(lost))
		}
		r.lost = lost
	}
}

// mostLost bounds how many gateways a report names.
const mostLost = 64
