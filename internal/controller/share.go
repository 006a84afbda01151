package controller

import (
	"context"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	ropewayv1 "ropeway/api/ropeway/v1"
	"ropeway/internal/store"
)

// A gateway is connected to one controller, and people ask any. So each tells the others, through the store, which gateways are connected to it and
// what they reported: when that changes, and not more often than once a second. A single controller tells nobody.
const (
	shareEvery  = time.Second
	shareAtMost = 2 << 10         // bytes of a report; of a longer one what matters most
	sharedLost  = 8               // gateways that it names as lost, or as silent
	shareFresh  = 5 * time.Minute // how old the time of a report may be that says the same again
)

// An overview is what other controllers told.
type overview struct {
	mu       sync.Mutex
	gateways map[string]report
}

// set takes what is told. Where two controllers claim a gateway it moved, and the one to whom it has reported more is where it is.
func (o *overview) set(told map[string][]store.Seen) {
	gateways := map[string]report{}
	for _, list := range told {
		for _, g := range list {
			said := &ropewayv1.ReportRequest{}
			if proto.Unmarshal(g.Report, said) != nil {
				continue
			}
			if was, twice := gateways[g.Gateway]; !twice || was.AppliedEpoch < said.AppliedEpoch {
				gateways[g.Gateway] = report{said, g.At}
			}
		}
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.gateways = gateways
}

// get returns what a gateway reported that is connected to another controller.
func (o *overview) get(gateway string) (report, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	r, ok := o.gateways[gateway]
	return r, ok
}

// share tells the others what this controller sees, and hears what they do, until ctx ends.
func (c *Controller) share(ctx context.Context) error {
	var hearing sync.WaitGroup
	defer hearing.Wait()
	hearing.Go(func() {
		c.opts.Store.WatchSeen(ctx, c.opts.Name, func(told map[string][]store.Seen) {
			c.elsewhere.set(told)
			c.pulse.beat()
		})
	})
	teller := c.opts.Store.NewTeller(c.opts.Name)
	tick := time.NewTicker(shareEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if !c.addresses.several() {
			continue
		}
		if err := teller.Tell(ctx, c.seen()); err != nil && ctx.Err() == nil {
			c.log.Debug("other controllers do not hear which gateways are connected here", "error", err)
		}
	}
}

// seen returns the gateways that are connected here and have reported.
func (c *Controller) seen() []store.Seen {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []store.Seen
	for name, r := range c.reported {
		if !c.outbox.connected(name) {
			continue
		}
		said := shared(r.ReportRequest)
		if p := c.outbox.look(name); p != nil {
			said.WantedEpoch = p.epoch
		}
		text, err := proto.MarshalOptions{Deterministic: true}.Marshal(said)
		if err == nil {
			out = append(out, store.Seen{Gateway: name, At: r.at.Truncate(shareFresh), Report: text})
		}
	}
	return out
}

// shared is a report without the time at which it was made, which is another one each time, and of its sessions with those that are not up. Nobody changes either.
func shared(r *ropewayv1.ReportRequest) *ropewayv1.ReportRequest {
	out := &ropewayv1.ReportRequest{KeptEpoch: r.KeptEpoch, AppliedEpoch: r.AppliedEpoch, Healthy: r.Healthy, Message: r.Message, Drift: r.Drift,
		ProbedEpoch: r.ProbedEpoch, Lost: r.Lost, RevertedEpoch: r.RevertedEpoch, PlanFormat: r.PlanFormat, UnreadEpoch: r.UnreadEpoch, Silent: r.Silent,
		Routing: troubles(r.Routing, sharedDown)}
	if proto.Size(out) > shareAtMost {
		out.Drift, out.Lost, out.Silent = nil, r.Lost[:min(len(r.Lost), sharedLost)], r.Silent[:min(len(r.Silent), sharedLost)]
	}
	return out
}
