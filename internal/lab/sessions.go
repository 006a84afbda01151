package lab

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"ropeway/internal/plan"
)

// sessionPatience is how long routing daemons may take to start and to find each other: on two busy cores FRR alone takes some seconds a gateway.
const sessionPatience = 45 * time.Second

// waitForSessions waits until every BGP session that no fault stands against is up, and watched where it should be, or time is over. It returns those that are not.
func (l *Lab) waitForSessions(ctx context.Context, patience time.Duration) ([]Link, error) {
	wanted := l.workingSessions()
	for deadline := time.Now().Add(patience); len(wanted) > 0; {
		down := l.downSessions(ctx, wanted)
		if len(down) == 0 || time.Now().After(deadline) {
			return down, ctx.Err()
		}
		if err := sleep(ctx, 40*pollInterval); err != nil {
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
	type neighbor struct {
		Name string
		Up   bool
		BFD  string
	}
	told := map[string][]neighbor{}
	ctx, cancel := context.WithTimeout(ctx, answerTimeout) // an agent that hangs never tells
	defer cancel()
	for _, a := range l.AskGateways(ctx, "neighbors", "-o", "json") {
		var list []neighbor
		if a.Err == nil && json.Unmarshal([]byte(a.Text), &list) == nil { // else its agent is not there yet
			told[a.Gateway] = list
		}
	}
	return slices.DeleteFunc(slices.Clone(wanted), func(k Link) bool {
		watched := l.watches(k)
		known := false
		for _, n := range told[k.A] {
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

// watches reports whether a gateway watches a neighbour by BFD.
func (l *Lab) watches(k Link) bool {
	return slices.ContainsFunc(l.record.Plan.Gateway(k.A).BGP.Neighbors, func(n *plan.Neighbor) bool { return n.Name == k.B && n.BFD != nil })
}
