package controller

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"sync"
	"time"

	"connectrpc.com/connect"

	ropewayv1 "ropeway/api/ropeway/v1"
	"ropeway/internal/diag"
)

// An errand is what somebody wants of a gateway now: its routes, or that traffic is led around it. It is passed on while both are there, and kept nowhere: a controller
// that dies takes with it the question and not what the gateway has done by then. Of an answer no more than a part is held at a time.
type errand struct {
	gateway string
	what    *ropewayv1.Errand
	parts   chan *ropewayv1.AnswerRequest
	over    <-chan struct{} // whoever asked has gone
}

// errands are those that are under way.
type errands struct {
	mu    sync.Mutex
	doers map[string]int       // by gateway: how many of its conversations do errands
	ready map[string][]*errand // by gateway: those that no conversation has taken yet
	open  map[string]*errand   // by id
}

func newErrands() *errands {
	return &errands{doers: map[string]int{}, ready: map[string][]*errand{}, open: map[string]*errand{}}
}

// Bounds of errands.
const (
	mostErrands  = 16               // of one gateway that no conversation has taken yet
	answerWithin = 15 * time.Second // for a part of an answer, beyond what an errand takes
)

// attend notes that a conversation of a gateway does errands; leave, that it has ended.
func (es *errands) attend(gateway string) { es.count(gateway, 1) }
func (es *errands) leave(gateway string)  { es.count(gateway, -1) }

func (es *errands) count(gateway string, n int) {
	es.mu.Lock()
	defer es.mu.Unlock()
	if es.doers[gateway] += n; es.doers[gateway] == 0 {
		delete(es.doers, gateway)
	}
}

// take returns the next errand for a conversation of a gateway that does any; nil: there is none.
func (es *errands) take(gateway string) *ropewayv1.Errand {
	es.mu.Lock()
	defer es.mu.Unlock()
	list := es.ready[gateway]
	if len(list) == 0 {
		return nil
	}
	if es.ready[gateway] = list[1:]; len(list) == 1 {
		delete(es.ready, gateway)
	}
	return list[0].what
}

// find returns an errand of a gateway that somebody waits for the answer to.
func (es *errands) find(id, gateway string) *errand {
	es.mu.Lock()
	defer es.mu.Unlock()
	if e := es.open[id]; e != nil && e.gateway == gateway {
		return e
	}
	return nil
}

// add opens an errand, or says why it cannot be given.
func (es *errands) add(e *errand) error {
	es.mu.Lock()
	defer es.mu.Unlock()
	switch {
	case es.doers[e.gateway] == 0:
		return refusal("RW7310", "gateway "+diag.Quote(e.gateway), "its agent is of a version that cannot be asked by way of a controller", "upgrade ropeway-gateway on its machine, or ask there")
	case len(es.ready[e.gateway]) >= mostErrands:
		return refusal(codeNotNow, "gateway "+diag.Quote(e.gateway), "others ask it, and it takes its time", "try again in a moment")
	}
	es.ready[e.gateway] = append(es.ready[e.gateway], e)
	es.open[e.what.Id] = e
	return nil
}

// remove closes an errand, whether it was taken or not.
func (es *errands) remove(e *errand) {
	es.mu.Lock()
	defer es.mu.Unlock()
	delete(es.open, e.what.Id)
	left := slices.DeleteFunc(slices.Clone(es.ready[e.gateway]), func(o *errand) bool { return o == e })
	if es.ready[e.gateway] = left; len(left) == 0 {
		delete(es.ready, e.gateway)
	}
}

// codeNotNow is of a gateway that does not answer, for now.
const codeNotNow diag.Code = "RW7309"

// ask gives an errand to a gateway that is connected here, and hands on the parts of its answer, the last one too. within is how long the errand itself may take.
func (c *Controller) ask(ctx context.Context, gateway string, what *ropewayv1.Errand, within time.Duration, take func(*ropewayv1.AnswerRequest) error) error {
	if err := c.here(gateway); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	what.Id = rand.Text()
	e := &errand{gateway, what, make(chan *ropewayv1.AnswerRequest), ctx.Done()}
	if err := c.errands.add(e); err != nil {
		return err
	}
	defer c.errands.remove(e)
	c.outbox.nudge(gateway)
	patience := time.NewTimer(within + answerWithin)
	defer patience.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-patience.C:
			return refusal(codeNotNow, "gateway "+diag.Quote(gateway), fmt.Sprintf("it has not answered within %s; what it was asked to do it may have done", within+answerWithin),
				"ropeway status says how it is; to ask again does no harm")
		case part := <-e.parts:
			if err := take(part); err != nil || !part.More {
				return err
			}
			patience.Reset(answerWithin)
		}
	}
}

// here refuses gateways that no line of this controller leads to.
func (c *Controller) here(gateway string) error {
	if c.outbox.connected(gateway) {
		return nil
	}
	subject := "gateway " + diag.Quote(gateway)
	if _, elsewhere := c.elsewhere.get(gateway); elsewhere {
		return refusal("RW7308", subject, "it is connected to another controller", "ask that one")
	}
	return refusal(codeNotNow, subject, "it is not connected", "ropeway get gateways shows who is; on its machine ropeway-gateway does the same")
}

// Answer implements ropewayv1connect.GatewayServiceHandler. It returns once whoever asked has the part, so a gateway is never faster than he is.
func (s gatewayService) Answer(ctx context.Context, req *ropewayv1.AnswerRequest) (*ropewayv1.AnswerResponse, error) {
	e := s.errands.find(req.Errand, callerOf(ctx).Name)
	if e == nil {
		return nil, errNobodyWaits
	}
	boundAnswer(req)
	select {
	case e.parts <- req:
		return &ropewayv1.AnswerResponse{}, nil
	case <-e.over:
	case <-ctx.Done():
	}
	return nil, errNobodyWaits
}

// errNobodyWaits is no refusal, and is not noted as one: whoever asked has gone meanwhile.
var errNobodyWaits = connect.NewError(connect.CodeCanceled, fmt.Errorf("nobody waits for that answer"))

// boundAnswer makes what a gateway answers safe to show.
func boundAnswer(a *ropewayv1.AnswerRequest) {
	if t := a.Trouble; t != nil {
		t.Code, t.Subject, t.Message, t.Hint = bounded(t.Code), bounded(t.Subject), bounded(t.Message), bounded(t.Hint)
	}
	for _, r := range a.Routes {
		r.Prefix, r.Neighbor, r.NextHop, r.Device = bounded(r.Prefix), bounded(r.Neighbor), bounded(r.NextHop), bounded(r.Device)
		for i, c := range r.Communities {
			r.Communities[i] = bounded(c)
		}
	}
	if d := a.Drained; d != nil {
		d.Text = bounded(d.Text)
	}
	for _, f := range a.Drained.GetFlows() {
		f.Device, f.Peer = bounded(f.Device), bounded(f.Peer)
	}
}

// troubled returns what kept a gateway from doing what it was asked, as a refusal of its own.
func troubled(t *ropewayv1.Trouble) error {
	if t == nil {
		return nil
	}
	return refusal(diag.Code(t.Code), t.Subject, t.Message, t.Hint)
}
