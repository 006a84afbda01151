package courier

import (
	"context"
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	ropewayv1 "ropeway/api/ropeway/v1"
	"ropeway/api/ropeway/v1/ropewayv1connect"
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
		if last == nil || time.Since(told) > tellEvery || now.KeptEpoch != last.KeptEpoch || now.AppliedEpoch != last.AppliedEpoch ||
			now.Healthy != last.Healthy || now.Message != last.Message || !sameDrift(now.Drift, last.Drift) {
			if _, err := client.Report(ctx, now); err != nil {
				return err
			}
			last, told = now, time.Now()
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// now is what there is to tell.
func (c *Courier) now() *ropewayv1.ReportRequest {
	st := c.opts.Status()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.revision != "" && st.Applied == c.revision {
		c.applied = c.held.Epoch
	}
	return &ropewayv1.ReportRequest{
		KeptEpoch: c.held.Epoch, AppliedEpoch: c.applied, Healthy: st.Healthy, Message: st.Message, At: timestamppb.Now(),
		Drift: st.Drift,
	}
}

// sameDrift reports whether two lists tell of the same things. How often one was found can wait: somebody may undo every repair at once.
func sameDrift(a, b []*ropewayv1.Drift) bool {
	return slices.EqualFunc(a, b, func(x, y *ropewayv1.Drift) bool { return x.Step == y.Step && x.What == y.What && x.Stands == y.Stands })
}

// renew brings a fresh certificate where it is time for one.
func (c *Courier) renew(ctx context.Context, server string) error {
	if !c.member.Aging(time.Now()) {
		return nil
	}
	return c.member.Renew(ctx, MemberFile(c.opts.State), server)
}
