package controller

import (
	"context"

	ropewayv1 "ropeway/api/ropeway/v1"
	"ropeway/internal/diag"
)

// A gateway that went back by itself from a revision that went to everybody at once stays behind, and is not sent it again by itself: each try cuts it off
// for as long as it is on trial. Somebody who has looked may want it to try once more.

// RetryGateway implements ropewayv1connect.RolloutServiceHandler.
func (s rolloutService) RetryGateway(_ context.Context, req *ropewayv1.RetryGatewayRequest) (*ropewayv1.RetryGatewayResponse, error) {
	epoch, err := s.retry(req.Gateway)
	if err != nil {
		return nil, asked(err)
	}
	s.log.Info("a gateway tries again what it went back from", "gateway", req.Gateway, "revision", epoch)
	return &ropewayv1.RetryGatewayResponse{Revision: epoch}, nil
}

// retry has a gateway sent once more what it went back from.
func (c *Controller) retry(gateway string) (epoch uint64, err error) {
	subject := "gateway " + diag.Quote(gateway)
	said, connected := c.heard(gateway)
	p := c.outbox.look(gateway)
	switch {
	case !connected:
		return 0, refusal("RW7306", subject, "it is not connected", "ropeway get gateways shows who is")
	case !c.outbox.connected(gateway):
		return 0, refusal("RW7308", subject, "it is connected to another controller", "ask that one")
	case p == nil || said == nil || said.RevertedEpoch < p.epoch:
		return 0, refusal("RW7306", subject, "it did not go back from what it should follow", "ropeway status says how it is")
	}
	c.mu.Lock()
	delete(c.refused, gateway)
	c.owed[gateway] = p.epoch
	c.mu.Unlock()
	c.outbox.nudge(gateway)
	return p.epoch, nil
}

// due reports whether a gateway that has an epoch, and understands plans up to a format, is to be sent what there is for it.
func (c *Controller) due(gateway string, p *parcel, held uint64, reads uint32) bool {
	if p == nil || p.format > reads {
		return false
	}
	if p.epoch > held {
		return true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.owed[gateway] == p.epoch
}
