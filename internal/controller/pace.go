package controller

import (
	"fmt"
	"time"

	ropewayv1 "ropeway/api/ropeway/v1"
	"ropeway/internal/plan"
	"ropeway/internal/proposal"
	"ropeway/internal/rollout"
	"ropeway/internal/store"
)

// Waves says how long the waves of a rollout take. Zero values are the usual ones.
type Waves struct {
	Soak    time.Duration // how long a wave that is well is looked at before the next one begins
	Timeout time.Duration // how long a gateway may be silent that was given something, or take to come to an end with it
}

// How long things take in a rollout. Timeout is more than a gateway needs to find that it is cut off and to come back (courier.confirmWithin,
// and its longest rest).
const (
	usualSoak    = time.Second
	usualTimeout = 3 * time.Minute
	settledAfter = 5 * time.Second  // who is away when a wave begins is not waited for longer
	grownAfter   = 10 * time.Second // who is asked whom he reaches has given up by then (courier.reachFor), and asked once more since the others got theirs
	comingBack   = 30 * time.Second // after a controller starts gateways find it again (courier.restMost)
)

func (w Waves) or(usual Waves) Waves {
	if w.Soak <= 0 {
		w.Soak = usual.Soak
	}
	if w.Timeout <= 0 {
		w.Timeout = usual.Timeout
	}
	return w
}

// A pace is how a change is to come to the gateways.
type pace struct {
	Waves
	atOnce    bool
	connected func(gateway string) bool
}

func (c *Controller) pace(req *ropewayv1.ApplyRequest) pace {
	return pace{Waves{max(0, req.Soak.AsDuration()), max(0, req.Timeout.AsDuration())}, req.AtOnce, c.connected}
}

// kind is what the revision says beside what made it.
func (p pace) kind() string {
	if p.atOnce {
		return " at once"
	}
	return ""
}

// rollout makes the rollout of a change, once it has its number.
func (p pace) rollout(c change, what *proposal.Proposal, next *fabric) func(number uint64) store.Rollout {
	concerned := map[string]bool{}
	for _, d := range what.Plan.Gateways {
		concerned[d.Name] = d.Action != plan.Remove
	}
	var all []rollout.Candidate
	for _, g := range next.plan.Gateways {
		x := rollout.Candidate{Name: g.Name, Place: g.Place, Concerned: concerned[g.Name] && enrolled(g), Connected: p.connected != nil && p.connected(g.Name)}
		for _, r := range g.Routes {
			x.Weight += len(r.Prefixes)
		}
		all = append(all, x)
	}
	begin := rollout.New
	if p.atOnce {
		begin = rollout.AtOnce
	}
	return func(number uint64) store.Rollout {
		return store.Rollout{Rollout: begin(number, c.base, all), At: c.at, By: c.author, Soak: p.Soak, Timeout: p.Timeout, WayBack: c.wayBack}
	}
}

func busy(r *store.Rollout) error {
	return refusal("RW7301", "fabric", fmt.Sprintf("the rollout of revision %d is %s: wave %d of %d", r.Revision, r.State, r.Wave+1, r.Total()),
		"wait for it (ropeway rollout status), end it (ropeway rollout abort, or apply --supersede), or apply --at-once in an emergency")
}
