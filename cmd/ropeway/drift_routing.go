package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	ropewayv1 "ropeway/api/ropeway/v1"
	"ropeway/internal/console"
	"ropeway/internal/verify"
)

// routingDrift returns in what the routing of a gateway is not as its plan wants it, as it reported: the first of its sessions that are not up.
func routingDrift(g *ropewayv1.Gateway, now time.Time) []driftLine {
	r := g.Reported.GetRouting()
	if r == nil {
		return nil
	}
	line := func(state, what string, since time.Time) driftLine {
		return driftLine{Gateway: g.Name, Part: "bgp", State: state, What: what, First: since, Last: g.Reported.At.AsTime()}
	}
	if !r.Running {
		return []driftLine{line("stands", console.Visible(r.Daemon)+" does not run", time.Time{})}
	}
	var out []driftLine
	for _, s := range r.Sessions {
		if s.Up || now.Sub(s.Since.AsTime()) <= downMost {
			continue
		}
		over := "on the LAN"
		if s.Device != "" {
			over = "over " + s.Device
		}
		out = append(out, line("stands", fmt.Sprintf("the session with %s %s is not up: %s", s.Neighbor, over, sessionText(s)), s.Since.AsTime()))
	}
	if down := int(r.Total) - int(r.Up); down > len(r.Sessions) {
		out = append(out, line("stands", fmt.Sprintf("%d more sessions are not up", down-len(r.Sessions)), time.Time{}))
	}
	if r.Drained != nil {
		out = append(out, line("drained", "an operator leads traffic around it", r.Drained.AsTime()))
	}
	return out
}

// mostRouteDrift is how many routes of one gateway are told, and the rest counted: verify --live has all.
const mostRouteDrift = 5

// routeDrift asks gateways for their routes, and returns those that are not as the plan promises.
func routeDrift(ctx context.Context, o lookout, now time.Time) ([]driftLine, error) {
	f, err := o.fabric(ctx)
	if err != nil || !learns(f.plan) {
		return nil, err
	}
	if f.routes, err = o.routes(ctx, "", true); err != nil {
		return nil, err
	}
	var out []driftLine
	told := map[string]int{}
	for _, d := range f.differences(verify.Facts{}) {
		if told[d.Gateway]++; told[d.Gateway] <= mostRouteDrift {
			out = append(out, driftLine{Gateway: d.Gateway, Part: "routes", State: "stands", What: differenceText(f.plan, d), Last: now})
		}
	}
	for gateway, n := range told {
		if n > mostRouteDrift {
			out = append(out, driftLine{Gateway: gateway, Part: "routes", State: "stands", What: fmt.Sprintf("%d more routes are not as promised: ropeway verify --live", n-mostRouteDrift), Last: now})
		}
	}
	slices.SortStableFunc(out, func(a, b driftLine) int { return strings.Compare(a.Gateway, b.Gateway) })
	return out, nil
}
