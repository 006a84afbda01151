package controller

import (
	"context"
	"errors"
	"fmt"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	ropewayv1 "ropeway/api/ropeway/v1"
)

// gatewayService is what gateways may ask. Who asks stands in the context, by the certificate.
type gatewayService struct{ *Controller }

// heartbeat is how often a watcher hears that the controller is there: a gateway that hears nothing for three of them looks for another.
const heartbeat = 10 * time.Second

// Watch implements ropewayv1connect.GatewayServiceHandler, for those who watch in another way than takeover knows.
func (s gatewayService) Watch(ctx context.Context, req *ropewayv1.WatchRequest, stream *connect.ServerStream[ropewayv1.WatchResponse]) error {
	who := callerOf(ctx)
	name := who.Name
	woken := make(waiter, 1)
	s.outbox.attend(name, woken)
	defer s.outbox.leave(name, woken)
	if req.Errands {
		s.errands.attend(name)
		defer s.errands.leave(name)
	}
	tick := time.NewTicker(heartbeat)
	defer tick.Stop()
	reads, held, beat := formatOf(req.PlanFormat), s.heldBy(name, req), false
	if err := s.surpass(ctx, name, req, stream); err != nil {
		return err
	}
	for {
		if err := s.mayWatch(ctx, who); err != nil {
			return err
		}
		parcel := s.outbox.look(name)
		message := &ropewayv1.WatchResponse{}
		if s.due(name, parcel, held, reads) {
			signed, err := parcel.wrap()
			if err != nil {
				return fmt.Errorf("sign the plan of gateway %s: %w", name, err)
			}
			message.Grant, beat = signed, true
			held = parcel.epoch
			s.noteSent(name, held)
		}
		if req.Errands {
			message.Errand = s.errands.take(name)
		}
		if beat || message.Errand != nil {
			giveTime(ctx, proto.Size(message))
			if err := stream.Send(message); err != nil {
				return err
			}
		}
		if beat = false; message.Errand != nil {
			woken.wake() // there may be another one
		}
		select {
		case <-ctx.Done():
			return nil
		case <-woken:
		case <-tick.C:
			beat = true
		}
	}
}

// A waiter is woken through a channel.
type waiter chan struct{}

func (w waiter) wake() {
	select {
	case w <- struct{}{}:
	default: // it was, and has not looked yet
	}
}

// mayWatch returns why a gateway may not go on watching. That the store cannot say so is no reason: nothing new comes from it then either.
func (c *Controller) mayWatch(ctx context.Context, who caller) *connect.Error {
	if c.opts.Now().After(who.until) { // it renews its certificate before, and comes again
		return connect.NewError(connect.CodeUnauthenticated, errors.New("the certificate has ended"))
	}
	if err := c.stillMember(ctx, &who); errors.Is(err, errFormer) {
		return connect.NewError(connect.CodePermissionDenied, errDenied)
	}
	return nil
}

// heldBy returns the epoch that a gateway is not to be sent again. One that it went back from is sent anew, for it may be that no controller was
// there to answer; but not by a process that was there all the time.
func (c *Controller) heldBy(gateway string, req *ropewayv1.WatchRequest) uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	if back := req.RevertedEpoch; back > 0 && c.sent[gateway] >= back {
		c.refused[gateway] = back
		return max(back, req.Epoch)
	}
	return req.Epoch
}

func (c *Controller) noteSent(gateway string, epoch uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sent[gateway] = epoch
	delete(c.owed, gateway)
}
