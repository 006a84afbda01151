package main

import (
	"context"
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	ropewayv1 "ropeway/api/ropeway/v1"
	"ropeway/internal/agent"
	"ropeway/internal/bgp"
	"ropeway/internal/logs"
)

// errands does for people, by way of their controller, what the commands of this program do for whoever is on the machine.
type errands struct{ agent *agent.Agent }

// Routes implements courier.Errands.
func (e errands) Routes(ctx context.Context, of string, best bool) ([]*ropewayv1.Route, error) {
	routes, err := e.agent.Routes(ctx, of)
	if err != nil {
		return nil, err
	}
	if best {
		routes = slices.DeleteFunc(slices.Clone(routes), func(r bgp.Route) bool { return !r.Best })
	}
	out := make([]*ropewayv1.Route, 0, len(routes))
	for i := range routes {
		out = append(out, routeOf(&routes[i]))
	}
	return out, nil
}

func routeOf(r *bgp.Route) *ropewayv1.Route {
	out := &ropewayv1.Route{
		Prefix: r.Prefix.String(), Neighbor: r.Neighbor, Device: logs.Printable(r.Device), Path: r.Path, LocalPreference: r.LocalPreference, Metric: r.Metric, Tags: r.Tags, Best: r.Best,
	}
	if r.NextHop.IsValid() {
		out.NextHop = r.NextHop.String()
	}
	for _, c := range r.Communities {
		out.Communities = append(out.Communities, c.String())
	}
	return out
}

// Drain implements courier.Errands.
func (e errands) Drain(ctx context.Context, wait time.Duration) (*ropewayv1.Drainage, error) {
	d, err := e.agent.Drain(ctx, wait)
	if err != nil {
		return nil, err
	}
	out := &ropewayv1.Drainage{
		Since: timestamppb.New(d.Since), Applied: d.Applied, Quiet: d.Quiet, Took: durationpb.New(time.Duration(d.Took * float64(time.Second))), Packets: d.Packets, Text: d.Text(),
	}
	for _, f := range d.Flows {
		out.Flows = append(out.Flows, &ropewayv1.Flow{Device: f.Device, Peer: f.Peer, Received: f.Received, Sent: f.Sent})
	}
	return out, nil
}

// Undrain implements courier.Errands.
func (e errands) Undrain(context.Context) (bool, error) { return e.agent.Undrain() }
