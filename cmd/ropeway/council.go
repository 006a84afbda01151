package main

import (
	"context"
	"net/http"
	"sync"

	"connectrpc.com/connect"

	ropewayv1 "ropeway/api/ropeway/v1"
	"ropeway/api/ropeway/v1/ropewayv1connect"
)

// A council is every controller of the fabric, to be asked about gateways: each knows what it was told, and a gateway tells one of them.
type council struct{ seats []*seat }

// A seat is one controller, and what it said last.
type seat struct {
	http   *http.Client
	fabric ropewayv1connect.FabricServiceClient
	last   *ropewayv1.ListGatewaysResponse // nil: it did not answer
}

// council finds the controllers. The first is the one that this user speaks with.
func (r *remote) council(ctx context.Context) (*council, error) {
	c := &council{seats: []*seat{{http: r.http, fabric: r.fabric}}}
	all, err := r.cluster.ListControllers(ctx, &ropewayv1.ListControllersRequest{})
	if denied(err) { // who is bound to places sees one controller
		return c, nil
	}
	if err != nil || len(all.Controllers) < 2 {
		return c, err
	}
	me, err := r.cluster.GetController(ctx, &ropewayv1.GetControllerRequest{})
	if err != nil {
		return c, err
	}
	for _, other := range all.Controllers {
		if other.Name == me.Name || other.Url == "" {
			continue
		}
		if client, err := r.member.HTTP(other.Url); err == nil { // an address that makes no sense is one that nobody reaches
			c.seats = append(c.seats, &seat{http: client, fabric: ropewayv1connect.NewFabricServiceClient(client, other.Url)})
		}
	}
	return c, nil
}

// denied reports whether a controller says that somebody may not ask that.
func denied(err error) bool { return connect.CodeOf(err) == connect.CodePermissionDenied }

func (c *council) close() {
	for _, s := range c.seats {
		s.http.CloseIdleConnections()
	}
}

// ask asks all of them at once, and reports whether one has something new to say. That another one does not answer is no error: what it was told is
// not known then.
func (c *council) ask(ctx context.Context) (changed bool, err error) {
	asked := make([]bool, len(c.seats))
	errs := make([]error, len(c.seats))
	var all sync.WaitGroup
	for i, s := range c.seats {
		all.Go(func() { asked[i], errs[i] = s.ask(ctx) })
	}
	all.Wait()
	for i := range c.seats {
		changed = changed || asked[i]
	}
	return changed, errs[0]
}

func (s *seat) ask(ctx context.Context) (changed bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	answer, err := s.fabric.ListGateways(ctx, &ropewayv1.ListGatewaysRequest{Since: s.last.GetState()})
	switch {
	case err != nil:
		changed, s.last = s.last != nil, nil
		return changed, err
	case answer.Unchanged:
		return false, nil
	}
	s.last = answer
	return true, nil
}

// gateways puts together what they said: of each gateway what the one said that it is connected to, else the newest.
func (c *council) gateways() *ropewayv1.ListGatewaysResponse {
	out := &ropewayv1.ListGatewaysResponse{}
	at := map[string]int{}
	for _, s := range c.seats {
		out.Revision = max(out.Revision, s.last.GetRevision())
		for _, g := range s.last.GetGateways() {
			i, seen := at[g.Name]
			if !seen {
				at[g.Name] = len(out.Gateways)
				out.Gateways = append(out.Gateways, g)
			} else {
				out.Gateways[i] = fresher(out.Gateways[i], g)
			}
		}
	}
	return out
}

// fresher returns of what two controllers say of a gateway the one to believe.
func fresher(a, b *ropewayv1.Gateway) *ropewayv1.Gateway {
	switch {
	case a.Connected != b.Connected:
		if b.Connected {
			return b
		}
		return a
	case b.Reported != nil && (a.Reported == nil || b.Reported.At.AsTime().After(a.Reported.At.AsTime())):
		return b
	}
	return a
}

// everyGateway asks all controllers once.
func (r *remote) everyGateway(ctx context.Context) (*ropewayv1.ListGatewaysResponse, error) {
	c, err := r.council(ctx)
	if err != nil {
		return nil, err
	}
	defer c.close()
	_, err = c.ask(ctx)
	return c.gateways(), err
}
