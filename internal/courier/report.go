package courier

import (
	"context"
	"fmt"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	ropewayv1 "ropeway/api/ropeway/v1"
	"ropeway/api/ropeway/v1/ropewayv1connect"
	"ropeway/internal/plan"
)

// How often the controller hears of the gateway: soon after something changed, and now and then anyway.
const (
	lookEvery = 250 * time.Millisecond
	tellEvery = 2 * time.Minute // that it is there the controller sees by itself, as long as it watches
)

// report tells the controller what the gateway is, until ctx ends.
func (c *Courier) report(ctx context.Context, client ropewayv1connect.GatewayServiceClient) error {
	var last *ropewayv1.ReportRequest
	var told time.Time
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		now := c.now()
		if last == nil || time.Since(told) > tellEvery || !same(now, last) {
			if err := tell(ctx, client, now); err != nil {
				return err
			}
			c.hear()
			c.confirm(now.AppliedEpoch)
			last, told = now, time.Now()
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// tellWithin is how long a controller may take to hear something: a connection that a plan cut off says nothing by itself.
const tellWithin = 10 * time.Second

func tell(ctx context.Context, client ropewayv1connect.GatewayServiceClient, now *ropewayv1.ReportRequest) error {
	ctx, cancel := context.WithTimeout(ctx, tellWithin)
	defer cancel()
	_, err := client.Report(ctx, now)
	return err
}

// same reports whether two reports say the same, but for when.
func same(a, b *ropewayv1.ReportRequest) bool {
	x, y := proto.CloneOf(a), proto.CloneOf(b)
	x.At, x.Drift, x.Routing, y.At, y.Drift, y.Routing = nil, nil, nil, nil, nil, nil
	return proto.Equal(x, y) && sameDrift(a.Drift, b.Drift) && sameRouting(a.Routing, b.Routing)
}

// now is what there is to tell.
func (c *Courier) now() *ropewayv1.ReportRequest {
	st := c.opts.Status()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.revision != "" && st.Applied == c.revision {
		c.applied = c.kept
	}
	out := &ropewayv1.ReportRequest{
		KeptEpoch: c.kept, AppliedEpoch: c.applied, Healthy: st.Healthy, Message: st.Message, At: timestamppb.Now(),
		Lost: c.reach.lost[:min(len(c.reach.lost), mostLost)], Silent: c.silent[:min(len(c.silent), mostLost)], RevertedEpoch: c.trial.reverted(),
		Drift: st.Drift, PlanFormat: plan.Format, Routing: st.Routing,
	}
	if c.opts.Reach != nil {
		out.ProbedEpoch = new(uint64)
		if c.reach.probed {
			*out.ProbedEpoch = c.reach.epoch
		}
	}
	if out.RevertedEpoch > 0 {
		out.Message = fmt.Sprintf("RW4020 it went back from revision %d: with its plan it found no controller", out.RevertedEpoch)
	}
	if c.unread != nil {
		out.UnreadEpoch, out.Message = c.unread.epoch, c.unread.Error()
	}
	return out
}

// sameDrift reports whether two lists tell of the same things. How often one was found can wait: somebody may undo every repair at once.
func sameDrift(a, b []*ropewayv1.Drift) bool {
	return slices.EqualFunc(a, b, func(x, y *ropewayv1.Drift) bool { return x.Step == y.Step && x.What == y.What && x.Stands == y.Stands })
}

// sameRouting reports whether two pictures of routing differ in nothing but since when sessions are as they are, which is as exact as a look every few seconds.
func sameRouting(a, b *ropewayv1.Routing) bool {
	if a == b || a == nil || b == nil {
		return a == b
	}
	x, y := proto.CloneOf(a), proto.CloneOf(b)
	for _, s := range slices.Concat(x.Sessions, y.Sessions) {
		s.Since = nil
	}
	return proto.Equal(x, y)
}

// renew brings a fresh certificate where it is time for one.
func (c *Courier) renew(ctx context.Context, server string) error {
	if !c.member.Aging(time.Now()) {
		return nil
	}
	return c.member.Renew(ctx, MemberFile(c.opts.State), server)
}
