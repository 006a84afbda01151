package lab

import (
	"context"
	"runtime"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"ropeway/internal/plan"
)

// sessionPatience is how long routing daemons may take to start and to find each other: on two busy cores FRR alone takes some seconds a gateway.
const sessionPatience = 45 * time.Second

// tellTimeout is how long an agent may take to tell of its sessions, for which it asks its daemon. One that hangs never does.
const tellTimeout = 10 * time.Second

// waitForSessions waits until every BGP session that no fault stands against is up, and watched where it should be, or time is over. It returns those that are not.
func (l *Lab) waitForSessions(ctx context.Context, patience time.Duration) ([]Link, error) {
	wanted := l.workingSessions()
	for deadline := time.Now().Add(patience); len(wanted) > 0; {
		begun := time.Now()
		down := l.downSessions(ctx, wanted)
		if len(down) == 0 || time.Now().After(deadline) {
			return down, ctx.Err()
		}
		if err := sleep(ctx, max(40*pollInterval, 4*time.Since(begun))); err != nil { // whoever is asked has better things to do
			return nil, err
		}
	}
	return nil, nil
}

// workingSessions returns the ends of sessions that no fault stands against: A is a gateway, B its neighbour.
func (l *Lab) workingSessions() []Link {
	working := l.workingLinks()
	var out []Link
	for _, g := range l.record.Plan.Gateways {
		c := stateOf(g, l.record.Faults)
		if g.BGP == nil || c.dead || c.frozen || c.agent != agentRuns {
			continue // nobody tells of them
		}
		for _, n := range g.BGP.Neighbors {
			k := Link{g.Name, n.Name}
			if n.External() || slices.Contains(working, k) || slices.Contains(working, Link{k.B, k.A}) {
				out = append(out, k)
			}
		}
	}
	return slices.Compact(out) // a neighbour for each family
}

// downSessions returns those of some sessions that are not up as their gateways tell.
func (l *Lab) downSessions(ctx context.Context, wanted []Link) []Link {
	told := l.sessionsOf(ctx, wanted)
	return slices.DeleteFunc(slices.Clone(wanted), func(k Link) bool {
		watched := l.watches(k)
		known := false
		for _, n := range told[k.A].BGP.Neighbors {
			if n.Name != k.B {
				continue
			}
			if known = n.Up && (!watched || n.BFD == "up"); !known {
				return false
			}
		}
		return known
	})
}

// sessionsOf returns what the gateways of some sessions tell of theirs. An agent that is not there yet, or that hangs, tells nothing.
func (l *Lab) sessionsOf(ctx context.Context, wanted []Link) map[string]*agentStatus {
	ctx, cancel := context.WithTimeout(ctx, tellTimeout)
	defer cancel()
	told := map[string]*agentStatus{}
	for _, k := range wanted {
		told[k.A] = &agentStatus{}
	}
	var asking errgroup.Group
	asking.SetLimit(2 * runtime.NumCPU())
	for gateway, s := range told {
		asking.Go(func() error {
			c, err := l.callAgent(gateway)
			if err != nil {
				return err
			}
			defer c.hangUp()
			*s, err = c.status(ctx)
			return err
		})
	}
	_ = asking.Wait() // one that does not answer ends no other's
	return told
}

// watches reports whether a gateway watches a neighbour by BFD.
func (l *Lab) watches(k Link) bool {
	return slices.ContainsFunc(l.record.Plan.Gateway(k.A).BGP.Neighbors, func(n *plan.Neighbor) bool { return n.Name == k.B && n.BFD != nil })
}
