package controller

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"connectrpc.com/connect"
	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	ropewayv1 "ropeway/api/ropeway/v1"
	"ropeway/internal/audit"
	"ropeway/internal/diag"
	"ropeway/internal/plan"
)

// routingService is what people ask about BGP, and want of gateways that speak it.
type routingService struct{ *Controller }

// Bounds of what is asked of gateways.
const (
	askedAtOnce = 16 // gateways for their routes
	drainMost   = 90 * time.Second
)

// within returns the gateways of the newest revision that somebody may see, or the one that he named.
func (s routingService) within(ctx context.Context, name string) ([]*plan.Gateway, error) {
	now, err := s.desk.current(ctx)
	if err != nil {
		return nil, err
	}
	var out []*plan.Gateway
	places := callerOf(ctx).places
	if now.plan == nil {
		return nil, refusal("RW7504", "fabric", "no revision of it is there yet", "ropeway apply FILE")
	}
	for _, g := range now.plan.Gateways {
		if (name == "" || name == g.Name) && (len(places) == 0 || slices.Contains(places, g.Place)) {
			out = append(out, g)
		}
	}
	if name != "" && len(out) == 0 {
		return nil, refusal("RW7507", "gateway "+diag.Quote(name), "the fabric has none of that name, or it is not of your places", "ropeway get gateways lists those that you see")
	}
	return out, nil
}

// ListSessions implements ropewayv1connect.RoutingServiceHandler.
func (s routingService) ListSessions(ctx context.Context, req *ropewayv1.ListSessionsRequest) (*ropewayv1.ListSessionsResponse, error) {
	gateways, err := s.within(ctx, req.Gateway)
	if err != nil {
		return nil, asked(err)
	}
	out := &ropewayv1.ListSessionsResponse{}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, g := range gateways {
		if said, ok := s.reported[g.Name]; ok && s.outbox.connected(g.Name) {
			out.Gateways = append(out.Gateways, &ropewayv1.GatewaySessions{Gateway: g.Name, Routing: said.Routing, At: timestamppb.New(said.at)})
		}
	}
	return out, nil
}

// ListRoutes implements ropewayv1connect.RoutingServiceHandler.
func (s routingService) ListRoutes(ctx context.Context, req *ropewayv1.ListRoutesRequest, stream *connect.ServerStream[ropewayv1.ListRoutesResponse]) error {
	gateways, err := s.within(ctx, req.Gateway)
	if err != nil {
		return asked(err)
	}
	var sending sync.Mutex // a stream takes one message at a time
	send := func(m *ropewayv1.ListRoutesResponse) error {
		sending.Lock()
		defer sending.Unlock()
		return stream.Send(m)
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(askedAtOnce)
	for _, g := range gateways {
		if g.BGP == nil || !s.outbox.connected(g.Name) {
			continue
		}
		group.Go(func() error { return s.routesOf(ctx, g.Name, req, send) })
	}
	return group.Wait()
}

// routesOf hands on the routes of a gateway, or why there are none. Only a person who has gone is an error.
func (s routingService) routesOf(ctx context.Context, gateway string, req *ropewayv1.ListRoutesRequest, send func(*ropewayv1.ListRoutesResponse) error) error {
	what := &ropewayv1.Errand{What: &ropewayv1.Errand_Routes{Routes: &ropewayv1.RoutesErrand{Of: req.Of, Best: req.Best}}}
	var lost error
	err := s.ask(ctx, gateway, what, 0, func(part *ropewayv1.AnswerRequest) error {
		lost = send(&ropewayv1.ListRoutesResponse{Gateway: gateway, Routes: part.Routes, More: part.More, Trouble: part.Trouble})
		return lost
	})
	if err == nil || lost != nil || ctx.Err() != nil {
		return errors.Join(lost, ctx.Err())
	}
	return send(&ropewayv1.ListRoutesResponse{Gateway: gateway, Trouble: troubleOf(err)})
}

// troubleOf is a refusal as an answer tells it.
func troubleOf(err error) *ropewayv1.Trouble {
	var p diag.Problem
	if !errors.As(err, &p) {
		p.Message = err.Error()
	}
	return &ropewayv1.Trouble{Code: string(p.Code), Subject: p.Subject, Message: p.Message, Hint: p.Hint}
}

// Drain implements ropewayv1connect.RoutingServiceHandler.
func (s routingService) Drain(ctx context.Context, req *ropewayv1.DrainRequest) (*ropewayv1.DrainResponse, error) {
	wait := min(max(0, req.Wait.AsDuration()), drainMost)
	what := &ropewayv1.Errand{What: &ropewayv1.Errand_Drain{Drain: &ropewayv1.DrainErrand{Wait: durationpb.New(wait)}}}
	answer, err := s.have(ctx, "gateway.drain", req.Gateway, what, wait)
	if err != nil {
		return nil, asked(err)
	}
	return &ropewayv1.DrainResponse{Drained: answer.Drained}, nil
}

// Undrain implements ropewayv1connect.RoutingServiceHandler.
func (s routingService) Undrain(ctx context.Context, req *ropewayv1.UndrainRequest) (*ropewayv1.UndrainResponse, error) {
	what := &ropewayv1.Errand{What: &ropewayv1.Errand_Undrain{Undrain: &ropewayv1.UndrainErrand{}}}
	answer, err := s.have(ctx, "gateway.undrain", req.Gateway, what, 0)
	if err != nil {
		return nil, asked(err)
	}
	return &ropewayv1.UndrainResponse{Lifted: answer.Lifted}, nil
}

// have has a gateway do something that other machines notice. That somebody wants it is in the audit log before the gateway hears of it, whatever becomes of this
// controller then; where it cannot be written nothing is done.
func (s routingService) have(ctx context.Context, action, gateway string, what *ropewayv1.Errand, within time.Duration) (*ropewayv1.AnswerRequest, error) {
	if gateway == "" {
		return nil, refusal("RW7507", "gateway", "none is named", "name one: ropeway get gateways lists them")
	}
	if _, err := s.within(ctx, gateway); err != nil {
		return nil, err
	}
	if err := s.here(gateway); err != nil {
		return nil, err
	}
	if err := s.opts.Store.Note(ctx, audit.Entry{What: action, Object: gatewayPrefix + gateway, Outcome: audit.Done}); err != nil {
		return nil, fmt.Errorf("write who wants it: %w", err)
	}
	var out *ropewayv1.AnswerRequest
	err := s.ask(ctx, gateway, what, within, func(part *ropewayv1.AnswerRequest) error {
		out = part
		return troubled(part.Trouble)
	})
	s.log.Info("a gateway was asked to do something", "action", action, "gateway", gateway, "author", callerOf(ctx).String(), "error", err)
	return out, err
}
