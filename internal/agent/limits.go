package agent

import (
	"context"
	"net/netip"
	"slices"
	"time"

	"ropeway/internal/bgp"
	"ropeway/internal/plan"
)

// Where a place loses most of its prefixes, the plan lets its gateways announce fewer. A daemon that is told so at once counts what it believed before, finds too much, and
// ends the session for a minute. So it is first told what it may believe, and the lower limit when the rest has gone.

// Times of limits that fall.
const (
	limitPoll = 100 * time.Millisecond
	limitMost = 10 * time.Second // FRR holds routes against another policy after a second; who announces too much even then has to go
)

// ease has the daemon take all of a configuration but the limits that neighbours are above now, and waits until they are below. Where there are none, or the daemon does not
// answer, it does nothing.
func (s *speaker) ease(ctx context.Context, daemon bgp.Daemon, config *bgp.Config) ([]string, error) {
	if !s.mayFall(config) {
		return nil, nil
	}
	eased := easier(ctx, daemon, config)
	if eased == nil {
		return nil, nil
	}
	changes, err := daemon.Apply(ctx, eased)
	if err != nil {
		return changes, err
	}
	s.last = eased
	for range limitMost / limitPoll {
		if !sleep(ctx, limitPoll) {
			return changes, context.Cause(ctx)
		}
		if easier(ctx, daemon, config) == nil {
			break
		}
	}
	return changes, nil
}

// mayFall reports whether the limit of a neighbour may be lower than the one that the daemon has.
func (s *speaker) mayFall(config *bgp.Config) bool {
	if s.last == nil {
		return true // a predecessor told it
	}
	had := map[netip.Addr]int{}
	for _, n := range s.last.Neighbors {
		had[n.Address] = n.MaxPrefixes
	}
	return slices.ContainsFunc(config.Neighbors, func(n *plan.Neighbor) bool { return n.MaxPrefixes < had[n.Address] })
}

// easier returns a configuration in which every neighbour may announce as much as is believed of it now, or nil where that is so already.
func easier(ctx context.Context, daemon bgp.Daemon, config *bgp.Config) *bgp.Config {
	state, err := daemon.Observe(ctx)
	if err != nil {
		return nil
	}
	spoken, above := *config.BGP, false
	spoken.Neighbors = slices.Clone(config.Neighbors)
	for i, n := range spoken.Neighbors {
		at := slices.IndexFunc(state.Neighbors, func(o bgp.Neighbor) bool { return o.Address == n.Address && o.Up })
		if at >= 0 && state.Neighbors[at].Received > n.MaxPrefixes {
			eased := *n
			eased.MaxPrefixes = state.Neighbors[at].Received
			spoken.Neighbors[i], above = &eased, true
		}
	}
	if !above {
		return nil
	}
	return &bgp.Config{BGP: &spoken, Drained: config.Drained, Passwords: config.Passwords}
}
