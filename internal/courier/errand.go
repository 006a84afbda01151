package courier

import (
	"context"
	"errors"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	ropewayv1 "ropeway/api/ropeway/v1"
	"ropeway/api/ropeway/v1/ropewayv1connect"
	"ropeway/internal/diag"
)

// Errands are what a gateway does for people, whom a controller lets speak to it. None outlives the conversation in which it was asked for: where that breaks off
// nobody waits for the answer any more, and what has been done by then stays done.
type Errands interface {
	// Routes returns the routes that the daemon has: see RoutesErrand.
	Routes(ctx context.Context, of string, best bool) ([]*ropewayv1.Route, error)
	// Drain leads traffic around the gateway and waits so long for it to be quiet, 0 not at all.
	Drain(ctx context.Context, wait time.Duration) (*ropewayv1.Drainage, error)
	// Undrain takes that back, and reports whether there was anything to take back.
	Undrain(ctx context.Context) (lifted bool, err error)
}

// Bounds of errands.
const (
	atOnce   = 4         // that are done beside each other; others wait
	partSize = 128 << 10 // bytes of routes in one part of an answer: half of what a controller takes of a gateway in one request
)

// A runner does the errands of one conversation.
type runner struct {
	errands Errands
	client  ropewayv1connect.GatewayServiceClient
	slots   chan struct{}
	running sync.WaitGroup
}

func newRunner(errands Errands, client ropewayv1connect.GatewayServiceClient) *runner {
	return &runner{errands: errands, client: client, slots: make(chan struct{}, atOnce)}
}

// begin does an errand, and answers, while whoever brings plans goes on.
func (r *runner) begin(ctx context.Context, e *ropewayv1.Errand, failed func(error)) {
	if r.errands == nil {
		return
	}
	r.running.Go(func() {
		select {
		case <-ctx.Done():
			return
		case r.slots <- struct{}{}:
		}
		defer func() { <-r.slots }()
		for _, part := range r.do(ctx, e) {
			part.Errand = e.Id
			if _, err := r.client.Answer(ctx, part); err != nil { // whoever asked has gone, or the controller has
				failed(err)
				return
			}
		}
	})
}

// wait returns when every errand has ended. The context of each has to have ended before.
func (r *runner) wait() { r.running.Wait() }

// do returns the parts of the answer to an errand.
func (r *runner) do(ctx context.Context, e *ropewayv1.Errand) []*ropewayv1.AnswerRequest {
	out := &ropewayv1.AnswerRequest{}
	var err error
	switch what := e.What.(type) {
	case *ropewayv1.Errand_Routes:
		var routes []*ropewayv1.Route
		if routes, err = r.errands.Routes(ctx, what.Routes.GetOf(), what.Routes.GetBest()); err == nil {
			return parts(routes)
		}
	case *ropewayv1.Errand_Drain:
		out.Drained, err = r.errands.Drain(ctx, what.Drain.GetWait().AsDuration())
	case *ropewayv1.Errand_Undrain:
		out.Lifted, err = r.errands.Undrain(ctx)
	default:
		err = diag.Problem{Code: "RW7010", Severity: diag.Error, Subject: "gateway", Message: "its agent does not know what it is asked", Hint: "upgrade ropeway-gateway on its machine"}
	}
	if err != nil {
		out.Trouble = troubleOf(err)
	}
	return []*ropewayv1.AnswerRequest{out}
}

// parts cuts routes into answers that a controller takes. Of no routes there is one.
func parts(routes []*ropewayv1.Route) []*ropewayv1.AnswerRequest {
	out := []*ropewayv1.AnswerRequest{{}}
	size := 0
	for _, route := range routes {
		last := out[len(out)-1]
		if size += proto.Size(route); size > partSize && len(last.Routes) > 0 {
			last.More = true
			last, size = &ropewayv1.AnswerRequest{}, proto.Size(route)
			out = append(out, last)
		}
		last.Routes = append(last.Routes, route)
	}
	return out
}

// troubleOf is an error as it travels: a problem with its code, and everything else as an error of the agent's.
func troubleOf(err error) *ropewayv1.Trouble {
	var p diag.Problem
	if !errors.As(err, &p) {
		p = diag.Problem{Code: "RW6000", Subject: "agent", Message: err.Error()}
	}
	return &ropewayv1.Trouble{Code: string(p.Code), Subject: p.Subject, Message: p.Message, Hint: p.Hint}
}
