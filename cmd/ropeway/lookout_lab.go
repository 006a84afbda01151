package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"ropeway/internal/bgp"
	"ropeway/internal/console"
	"ropeway/internal/diag"
	"ropeway/internal/lab"
)

// A labLookout asks every gateway of a lab itself, as root does on each of them.
type labLookout struct {
	cmd *cobra.Command
	lab *lab.Lab
}

func (o labLookout) fabric(ctx context.Context) (*liveFabric, error) {
	in, p, err := o.lab.Fabric()
	return &liveFabric{intent: in, plan: p, drained: o.drained(ctx)}, err
}

// drained returns the gateways that an operator drained, sorted. Of one that does not answer, the question for its routes tells.
func (o labLookout) drained(ctx context.Context) []string {
	var out []string
	for _, a := range o.lab.AskGateways(ctx, "status", "-o", "json") {
		var status struct{ Drained *time.Time }
		if a.Err == nil && json.Unmarshal([]byte(a.Text), &status) == nil && status.Drained != nil {
			out = append(out, a.Gateway)
		}
	}
	slices.Sort(out)
	return out
}

func (o labLookout) sessions(ctx context.Context, gateway string) ([]sessionLine, error) {
	if gateway != "" {
		if _, err := o.lab.FindGateway(gateway); err != nil {
			return nil, err
		}
	}
	lines := []sessionLine{}
	err := askEach(ctx, o, func(from string, sessions []sessionLine) {
		for _, s := range sessions {
			if s.Gateway = from; gateway == "" || gateway == from {
				lines = append(lines, s)
			}
		}
	}, "neighbors")
	return lines, err
}

func (o labLookout) routes(ctx context.Context, of string, best bool) (map[string][]bgp.Route, error) {
	out := map[string][]bgp.Route{}
	err := askEach(ctx, o, func(gateway string, routes []bgp.Route) {
		out[gateway] = slices.DeleteFunc(routes, func(r bgp.Route) bool { return best && !r.Best })
	}, strings.Fields("routes "+of)...)
	return out, err
}

// askEach runs ropeway-gateway on every gateway of a lab and hands on each answer, decoded. A gateway that does not answer is told of on standard error.
func askEach[T any](ctx context.Context, o labLookout, each func(gateway string, answer T), args ...string) error {
	var silent diag.List
	answers := o.lab.AskGateways(ctx, append(args, "-o", "json")...)
	for _, a := range answers {
		var value T
		err := a.Err
		if err == nil {
			err = json.Unmarshal([]byte(a.Text), &value)
		}
		if err != nil {
			silent = append(silent, warning("RW5010", "gateway "+a.Gateway, diag.Quote(err.Error()), "its log is in "+o.lab.Logs()))
			continue
		}
		each(a.Gateway, value)
	}
	if len(silent) > 0 && len(silent) == len(answers) {
		silent[0].Severity = diag.Error
		return silent[0]
	}
	return warn(o.cmd, silent)
}

// warn writes what is wrong and stops nothing.
func warn(cmd *cobra.Command, list diag.List) error {
	out := cmd.ErrOrStderr()
	if err := console.Print(out, styleOf(cmd, out), list); err != nil {
		return fmt.Errorf("write warnings: %w", err)
	}
	return nil
}
