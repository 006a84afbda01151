package main

import (
	"context"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/types/known/timestamppb"

	ropewayv1 "ropeway/api/ropeway/v1"
	"ropeway/internal/agent"
	"ropeway/internal/courier"
)

// patience is how long a gateway waits for its controllers.
type patience struct{ confirmWithin, staleAfter time.Duration }

// follow runs an agent whose plans come from a controller. Either one ends the other: systemd starts both again.
func follow(ctx context.Context, opts agent.Options, wait patience) error {
	opts.Plan = courier.PlanFile(opts.State)
	var c *courier.Courier
	opts.Contact = func() *agent.Contact { return contactOf(c.Contact()) }
	a, err := agent.New(opts)
	if err != nil {
		return err
	}
	var routing routingReport
	c, err = courier.New(courier.Options{
		State: opts.State, Log: opts.Log, Reach: a.Reach, Errands: errands{a}, ConfirmWithin: wait.confirmWithin, StaleAfter: wait.staleAfter,
		Status: func() courier.Status {
			applied, reasons := a.Brief()
			return courier.Status{
				Applied: applied, Healthy: len(reasons) == 0, Message: firstOf(reasons), Drift: driftOf(a.Drift()), Routing: routing.update(a.Speaking(), a.Drained()),
			}
		},
	})
	if err != nil {
		return problem("RW6001", "run needs a plan, or a controller: "+err.Error(), "name a file with --plan, or run ropeway-gateway enroll first")
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return a.Run(ctx) })
	group.Go(func() error { c.Run(ctx); return nil })
	return group.Wait()
}

// driftOf is what the controller hears of drift.
func driftOf(list []agent.Drift) []*ropewayv1.Drift {
	var out []*ropewayv1.Drift
	for _, d := range list {
		out = append(out, &ropewayv1.Drift{
			Step: d.Step, What: d.What, Stands: d.Stands, Times: uint32(d.Times), First: timestamppb.New(d.First), Last: timestamppb.New(d.Last), //nolint:gosec // once a second at most
		})
	}
	return out
}

func contactOf(c courier.Contact) *agent.Contact {
	out := &agent.Contact{Stale: c.Stale, Epoch: c.Epoch, OnTrial: c.OnTrial, Reverted: c.Reverted, Unread: c.Unread}
	if !c.Heard.IsZero() {
		out.Heard = &c.Heard
	}
	return out
}

func firstOf(list []string) string {
	if len(list) == 0 {
		return ""
	}
	return list[0]
}
