package main

import (
	"fmt"
	"slices"
	"time"

	ropewayv1 "ropeway/api/ropeway/v1"
	"ropeway/internal/console"
	"ropeway/internal/diagnose"
	"ropeway/internal/verify"
)

// downMost is how long a session may be down before anybody is told: those that come up after a change are no trouble.
const downMost = 10 * time.Second

// routingFacts adds what a gateway reported of its routing.
func routingFacts(f *diagnose.Gateway, r *ropewayv1.Routing) {
	if r == nil {
		return
	}
	if !r.Running {
		f.Silent = console.Visible(r.Daemon)
	}
	f.Drained, f.Up, f.Learnt = r.Drained != nil, int(r.Up), int(r.Prefixes)
}

// downSessions returns the sessions of a gateway that are not up, the first of them.
func downSessions(g *ropewayv1.Gateway, now time.Time) []diagnose.Session {
	var out []diagnose.Session
	for _, s := range g.Reported.GetRouting().GetSessions() {
		if !s.Up && now.Sub(s.Since.AsTime()) > downMost {
			out = append(out, diagnose.Session{Gateway: g.Name, Neighbor: console.Visible(s.Neighbor), External: s.Device == "", State: sessionText(s)})
		}
	}
	return out
}

// sessionText says how a session is that is not up.
func sessionText(s *ropewayv1.Session) string {
	if s.LastError != "" {
		return fmt.Sprintf("%s (%s)", s.State, s.LastError)
	}
	return s.State
}

// A promise is to how many prefixes gateways have a route, as long as the same of them are drained.
type promise struct {
	revision uint64
	drained  []string
	prefixes map[string]int
}

// promised returns, by gateway, to how many prefixes the newest revision gives it a route.
func (v *viewer) promised(newest *version, facts *diagnose.Facts) map[string]int {
	var drained []string
	for i := range facts.Gateways {
		if facts.Gateways[i].Drained {
			drained = append(drained, facts.Gateways[i].Name)
		}
	}
	if v.promise == nil || v.promise.revision != newest.number || !slices.Equal(v.promise.drained, drained) {
		v.promise = &promise{newest.number, drained, verify.Promised(newest.side.Plan, verify.Facts{Drained: drained})}
	}
	return v.promise.prefixes
}
