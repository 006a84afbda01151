package main

import (
	"encoding/json"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"ropeway/internal/bgp"
	"ropeway/internal/lab"
)

// lookAround asks the gateways of a lab what they have, and returns it with what they were told.
func lookAround(cmd *cobra.Command) (*liveFabric, error) {
	l, err := theLab(cmd, "ropeway-gateway routes")
	if err != nil {
		return nil, err
	}
	f := &liveFabric{routes: map[string][]bgp.Route{}}
	if f.intent, f.plan, err = l.Fabric(); err != nil {
		return nil, err
	}
	f.drained = drainedIn(cmd, l)
	err = askEach(cmd, l, func(gateway string, routes []bgp.Route) { f.routes[gateway] = routes }, "routes")
	return f, err
}

// drainedIn returns the gateways of a lab that an operator drained, sorted. Of one that does not answer, the question for its routes tells.
func drainedIn(cmd *cobra.Command, l *lab.Lab) []string {
	var out []string
	for _, a := range l.AskGateways(cmd.Context(), "status", "-o", "json") {
		var status struct{ Drained *time.Time }
		if a.Err == nil && json.Unmarshal([]byte(a.Text), &status) == nil && status.Drained != nil {
			out = append(out, a.Gateway)
		}
	}
	slices.Sort(out)
	return out
}
