package main

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	ropewayv1 "ropeway/api/ropeway/v1"
	"ropeway/api/ropeway/v1/ropewayv1connect"
	"ropeway/internal/bgp"
	"ropeway/internal/console"
	"ropeway/internal/diag"
	"ropeway/internal/fabric"
)

// A fabricLookout asks gateways by way of their controllers. Each controller passes on what is asked of the gateways that are connected to it, so every one is asked.
type fabricLookout struct{ *viewer }

func (o fabricLookout) fabric(ctx context.Context) (*liveFabric, error) {
	newest, err := o.version(ctx)
	if err != nil {
		return nil, err
	}
	f := &liveFabric{intent: newest.side.Intent, plan: newest.side.Plan}
	for _, g := range o.answer.Gateways {
		if g.Reported.GetRouting().GetDrained() != nil {
			f.drained = append(f.drained, g.Name)
		}
	}
	slices.Sort(f.drained)
	return f, nil
}

func (o fabricLookout) sessions(ctx context.Context, gateway string) ([]sessionLine, error) {
	told := map[string]bool{}
	lines := []sessionLine{}
	err := o.remote.everywhere(ctx, func(c ropewayv1connect.RoutingServiceClient) error {
		answer, err := c.ListSessions(ctx, &ropewayv1.ListSessionsRequest{Gateway: gateway})
		for _, g := range answer.GetGateways() {
			if told[g.Gateway] { // it moves to another controller now
				continue
			}
			told[g.Gateway] = true
			for _, s := range g.Routing.GetSessions() {
				lines = append(lines, sessionLineOf(g.Gateway, s))
			}
		}
		return err
	})
	slices.SortStableFunc(lines, func(a, b sessionLine) int { return strings.Compare(a.Gateway+" "+a.Name, b.Gateway+" "+b.Name) })
	return lines, o.untold(err, func(name string) bool { return told[name] || gateway != "" && gateway != name })
}

func sessionLineOf(gateway string, s *ropewayv1.Session) sessionLine {
	l := sessionLine{
		Gateway: gateway, Name: console.Visible(s.Neighbor), Device: console.Visible(s.Device), ASN: s.Asn, State: console.Visible(s.State), Up: s.Up,
		Received: int(s.Received), Sent: int(s.Sent), Flaps: int(s.Flaps), BFD: console.Visible(s.Bfd), Error: console.Visible(s.LastError),
	}
	l.Address, _ = netip.ParseAddr(s.Address) // no address where it is none
	if s.Since != nil {
		l.Since = max(0, time.Since(s.Since.AsTime()).Truncate(time.Second).Seconds())
	}
	return l
}

func (o fabricLookout) routes(ctx context.Context, of string, best bool) (map[string][]bgp.Route, error) {
	out, told := map[string][]bgp.Route{}, map[string]bool{}
	var troubles diag.List
	err := o.remote.everywhere(ctx, func(c ropewayv1connect.RoutingServiceClient) error {
		stream, err := c.ListRoutes(ctx, &ropewayv1.ListRoutesRequest{Of: of, Best: best})
		if err != nil {
			return err
		}
		defer func() { _ = stream.Close() }()
		fresh := map[string][]bgp.Route{}
		for stream.Receive() {
			m := stream.Msg()
			told[m.Gateway] = true
			if t := m.Trouble; t != nil {
				delete(fresh, m.Gateway) // a part of its routes is none
				troubles = append(troubles, warning(diag.Code(t.Code), console.Visible(t.Subject), console.Visible(t.Message), console.Visible(t.Hint)))
				continue
			}
			fresh[m.Gateway] = appendRoutes(fresh[m.Gateway], m.Routes)
		}
		for gateway, routes := range fresh {
			out[gateway] = routes
		}
		return stream.Err()
	})
	if err == nil {
		err = warn(o.cmd, troubles)
	}
	return out, o.untold(err, func(name string) bool { return told[name] })
}

// appendRoutes appends routes as they came. What is no prefix is none that anybody could look up, and what is no community marks nothing.
func appendRoutes(list []bgp.Route, came []*ropewayv1.Route) []bgp.Route {
	if list == nil {
		list = []bgp.Route{}
	}
	for _, r := range came {
		prefix, err := netip.ParsePrefix(r.Prefix)
		if err != nil {
			continue
		}
		x := bgp.Route{
			Prefix: prefix, Neighbor: console.Visible(r.Neighbor), Device: console.Visible(r.Device), Path: r.Path, LocalPreference: r.LocalPreference, Metric: r.Metric,
			Tags: r.Tags, Best: r.Best,
		}
		x.NextHop, _ = netip.ParseAddr(r.NextHop) // none where it is originated there
		for _, text := range r.Communities {
			if c, err := fabric.ParseCommunity(text); err == nil {
				x.Communities = append(x.Communities, c)
			}
		}
		list = append(list, x)
	}
	return list
}

// untold says on standard error of which gateways nothing is known: those that are away, or that went on while they were asked.
func (o fabricLookout) untold(err error, told func(name string) bool) error {
	if err != nil {
		return err
	}
	var names []string
	for _, g := range o.answer.Gateways {
		if !told(g.Name) && !(g.Connected && g.Reported != nil && g.Reported.Routing == nil) { // else its routes are static, or its agent does not tell
			names = append(names, g.Name)
		}
	}
	if len(names) == 0 {
		return nil
	}
	subject := "gateway " + names[0]
	if len(names) > 1 {
		subject = count(len(names), "gateway")
	}
	return warn(o.cmd, diag.List{warning("RW7309", subject, fmt.Sprintf("nothing is known of %s now", some(names)), "ropeway get gateways says whether they are connected")})
}

// everywhere asks every controller. One that is gone has no gateways; that all are is an error.
func (r *remote) everywhere(ctx context.Context, ask func(ropewayv1connect.RoutingServiceClient) error) error {
	var gone error
	answered := 0
	for _, server := range r.member.All() {
		client, err := r.member.HTTP(server)
		if err != nil {
			return err
		}
		err = ask(ropewayv1connect.NewRoutingServiceClient(client, server))
		client.CloseIdleConnections()
		switch {
		case isGone(err) && ctx.Err() == nil:
			gone = err
		case err != nil:
			return err
		default:
			answered++
		}
	}
	if answered == 0 {
		return gone
	}
	return nil
}
