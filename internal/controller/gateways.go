package controller

import (
	"context"
	"fmt"
	"time"

	"connectrpc.com/connect"

	ropewayv1 "ropeway/api/ropeway/v1"
	"ropeway/internal/logs"
)

// gatewayService is what gateways may ask. Who asks stands in the context, by the certificate.
type gatewayService struct{ *Controller }

// heartbeat is how often a watcher hears that the controller is there: a gateway that hears nothing for three of them looks for another.
const heartbeat = 10 * time.Second

// Watch implements ropewayv1connect.GatewayServiceHandler.
func (s gatewayService) Watch(ctx context.Context, req *ropewayv1.WatchRequest, stream *connect.ServerStream[ropewayv1.WatchResponse]) error {
	who := callerOf(ctx)
	name := who.Name
	ctx, cancel := context.WithDeadline(ctx, who.until) // it renews its certificate before, and comes again
	defer cancel()
	defer s.outbox.attend(name)()
	tick := time.NewTicker(heartbeat)
	defer tick.Stop()
	held := req.Epoch
	if err := s.surpass(ctx, name, req, stream); err != nil {
		return err
	}
	for {
		parcel, changed := s.outbox.look(name)
		if parcel != nil && parcel.epoch > held {
			signed, err := parcel.wrap()
			if err != nil {
				return fmt.Errorf("sign the plan of gateway %s: %w", name, err)
			}
			if err := stream.Send(&ropewayv1.WatchResponse{Grant: signed}); err != nil {
				return err
			}
			held = parcel.epoch
		}
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		case <-tick.C:
			if err := s.stillMember(ctx, who); err != nil {
				return connect.NewError(connect.CodePermissionDenied, errDenied)
			}
			if err := stream.Send(&ropewayv1.WatchResponse{}); err != nil {
				return err
			}
		}
	}
}

// A report is what a gateway said last of itself.
type report struct {
	*ropewayv1.ReportRequest
	at time.Time // when it came
}

// longestMessage bounds what a gateway may say of its health, in bytes.
const longestMessage = 1000

// Report implements ropewayv1connect.GatewayServiceHandler.
func (s gatewayService) Report(ctx context.Context, req *ropewayv1.ReportRequest) (*ropewayv1.ReportResponse, error) {
	req.Message = logs.Printable(req.Message[:min(len(req.Message), longestMessage)])
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reported[callerOf(ctx).Name] = report{req, s.opts.Now()}
	return &ropewayv1.ReportResponse{}, nil
}
