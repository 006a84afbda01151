package lab

import (
	"context"
	"runtime"
	"time"

	"golang.org/x/sync/errgroup"
)

// startAgents starts every agent: first those of gateways that others can dial, then the others, when the first are as their plans say.
//
// A gateway that nobody can dial begins every session of its own, and a handshake that begins before the peer is there is lost: both ends
// would be 5 s in trying again (WireGuard whitepaper, section 6.1). Of two that can dial each other the later one begins.
func (l *Lab) startAgents(ctx context.Context) error {
	for _, names := range l.generations() {
		var g errgroup.Group
		g.SetLimit(2 * runtime.NumCPU())
		for _, name := range names {
			g.Go(func() error {
				if err := l.startAgent(name); err != nil {
					return err
				}
				return l.awaitAgent(ctx, name)
			})
		}
		if err := g.Wait(); err != nil {
			return err
		}
	}
	return nil
}

// generations parts the gateways into those with an endpoint and those without.
func (l *Lab) generations() [2][]string {
	var all [2][]string
	for _, g := range l.in.Gateways() {
		at := 0
		if g.Endpoint.IsZero() {
			at = 1
		}
		all[at] = append(all[at], g.Name)
	}
	return all
}

// agentTimeout is how long an agent may take until it has carried out its plan once. It only saves time to wait for that, so its
// end is no error: what came of it shows in the links.
const agentTimeout = 5 * time.Second

// awaitAgent waits until the agent of a gateway has carried out its plan, as far as it could.
func (l *Lab) awaitAgent(ctx context.Context, gateway string) error {
	return l.listen(ctx, gateway, agentTimeout, func(s agentStatus) bool {
		return s.Plan.Wanted != "" && s.Plan.Wanted == s.Plan.Applied || s.LastError != ""
	})
}
