package lab

import (
	"context"
	"runtime"

	"golang.org/x/sync/errgroup"

	"ropeway/internal/diag"
	"ropeway/internal/intent"
	"ropeway/internal/lab/world"
	"ropeway/internal/plan"
)

// An Answer is what a command printed on a gateway, or why it did not.
type Answer struct {
	Gateway string
	Text    string
	Err     error
}

// AskGateways runs ropeway-gateway on every gateway, a few at a time, and returns what each said, sorted by the gateway's name as the world is.
func (l *Lab) AskGateways(ctx context.Context, args ...string) []Answer {
	gateways := l.record.World.Of(world.Gateway)
	out := make([]Answer, len(gateways))
	var group errgroup.Group
	group.SetLimit(2 * runtime.NumCPU())
	for i, s := range gateways {
		group.Go(func() error {
			text, err := l.ask(ctx, s, "", agentProgram, args...)
			out[i] = Answer{s.Name, text, err}
			return nil
		})
	}
	_ = group.Wait() // no answer ends the others
	return out
}

// FindGateway returns the gateway of that name.
func (l *Lab) FindGateway(name string) (*world.Space, error) {
	s, err := l.Find(name)
	if err == nil && s.Kind != world.Gateway {
		return nil, problem("RW5011", "machine "+diag.Quote(name), "it is no gateway", "ropeway lab status shows what there is")
	}
	return s, err
}

// Governed reports whether the lab has controllers, which its gateways can be asked by way of.
func (l *Lab) Governed() bool { return l.controlled() }

// Fabric returns what the lab is of, and the plan as gateways were last told of it.
func (l *Lab) Fabric() (*intent.Fabric, *plan.Fabric, error) {
	p, err := l.held()
	return l.in, p, err
}
