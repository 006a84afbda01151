package controller

import (
	"context"
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	ropewayv1 "ropeway/api/ropeway/v1"
	"ropeway/internal/logs"
)

// A report is what a gateway said last of itself.
type report struct {
	*ropewayv1.ReportRequest
	at time.Time // when it came
}

// Bounds on what a gateway may say of itself.
const (
	longestMessage = 1000 // bytes; of its health, and of each thing that drifted
	mostDrift      = 32
	mostLost       = 64
)

// Report implements ropewayv1connect.GatewayServiceHandler.
func (s gatewayService) Report(ctx context.Context, req *ropewayv1.ReportRequest) (*ropewayv1.ReportResponse, error) {
	req.Message, req.WantedEpoch = bounded(req.Message), 0
	req.Drift = req.Drift[:min(len(req.Drift), mostDrift)]
	for _, d := range req.Drift {
		d.Step, d.What = bounded(d.Step), bounded(d.What)
	}
	req.Lost = req.Lost[:min(len(req.Lost), mostLost)]
	req.Silent = req.Silent[:min(len(req.Silent), mostLost)]
	boundRouting(req.Routing)
	name := callerOf(ctx).Name
	defer s.rolling.poke()
	s.mu.Lock()
	defer s.mu.Unlock()
	if last, ok := s.reported[name]; !ok || !saysTheSame(last.ReportRequest, req) {
		s.pulse.beat()
	}
	s.reported[name] = report{req, s.opts.Now()}
	return &ropewayv1.ReportResponse{}, nil
}

// bounded makes what a gateway says safe to keep and to show.
func bounded(text string) string { return logs.Printable(text[:min(len(text), longestMessage)]) }

// saysTheSame reports whether people would see no difference between two reports, but for when they came.
func saysTheSame(a, b *ropewayv1.ReportRequest) bool {
	return a.KeptEpoch == b.KeptEpoch && a.AppliedEpoch == b.AppliedEpoch && a.Healthy == b.Healthy && a.Message == b.Message &&
		a.RevertedEpoch == b.RevertedEpoch && a.UnreadEpoch == b.UnreadEpoch && a.PlanFormat == b.PlanFormat &&
		sameRouting(a.Routing, b.Routing) && slices.Equal(a.Lost, b.Lost) && slices.Equal(a.Silent, b.Silent) &&
		slices.EqualFunc(a.Drift, b.Drift, func(x, y *ropewayv1.Drift) bool {
			return x.Step == y.Step && x.What == y.What && x.Stands == y.Stands && x.Times == y.Times
		})
}

func (c *Controller) lastReport(gateway string) *ropewayv1.ReportedState {
	c.mu.Lock()
	defer c.mu.Unlock()
	r, ok := c.reported[gateway]
	if !ok {
		return nil
	}
	return reportedState(r)
}

func reportedState(r report) *ropewayv1.ReportedState {
	return &ropewayv1.ReportedState{
		KeptEpoch: r.KeptEpoch, AppliedEpoch: r.AppliedEpoch, Healthy: r.Healthy, Message: r.Message, At: timestamppb.New(r.at), Drift: r.Drift,
		Lost: r.Lost, Silent: r.Silent, Routing: troubles(r.Routing, mostDown),
	}
}
