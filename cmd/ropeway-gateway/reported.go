package main

import (
	"math"
	"sync"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	ropewayv1 "ropeway/api/ropeway/v1"
	"ropeway/internal/agent"
	"ropeway/internal/logs"
)

// Bounds on what a report says of sessions: with all of it, it is well below what a controller takes in one request.
const (
	mostSessions = 1024
	mostErrors   = 64  // sessions whose last error is told
	longestError = 200 // bytes
)

// A routingReport is what controllers hear of routing. It is made anew only where there is something new to tell.
type routingReport struct {
	mu      sync.Mutex
	of      *agent.Speaking
	drained *time.Time
	made    *ropewayv1.Routing
}

// update returns how routing is.
func (r *routingReport) update(of *agent.Speaking, drained *time.Time) *ropewayv1.Routing {
	r.mu.Lock()
	defer r.mu.Unlock()
	if of == r.of && drained == r.drained {
		return r.made
	}
	r.of, r.drained, r.made = of, drained, routingOf(of, drained)
	return r.made
}

func routingOf(of *agent.Speaking, drained *time.Time) *ropewayv1.Routing {
	if of == nil {
		return nil
	}
	out := &ropewayv1.Routing{
		Daemon: string(of.Daemon), Version: of.Version, Running: of.Running, Prefixes: number(of.Prefixes), Paths: number(of.Paths), Total: number(len(of.Neighbors)),
	}
	if drained != nil {
		out.Drained = timestamppb.New(*drained)
	}
	var up, down []*ropewayv1.Session
	for i := range of.Neighbors {
		s := sessionOf(&of.Neighbors[i], of.At)
		if s.Up {
			up = append(up, s)
			continue
		}
		if text := of.Neighbors[i].LastError; len(down) < mostErrors {
			s.LastError = logs.Printable(text[:min(len(text), longestError)])
		}
		down = append(down, s)
	}
	out.Up, out.Sessions = number(len(up)), append(down, up...)
	out.Sessions = out.Sessions[:min(len(out.Sessions), mostSessions)]
	return out
}

// sessionOf is a session as it was at a time.
func sessionOf(n *agent.NeighborStatus, at time.Time) *ropewayv1.Session {
	return &ropewayv1.Session{
		Neighbor: n.Name, Device: n.Device, Address: n.Address.String(), Asn: n.ASN, State: n.State, Up: n.Up,
		Since:    timestamppb.New(at.Add(-time.Duration(n.Since * float64(time.Second))).Truncate(time.Second)),
		Received: number(n.Received), Sent: number(n.Sent), Flaps: number(n.Flaps), Bfd: n.BFD,
	}
}

// number is a count as it travels.
func number(n int) uint32 { return uint32(max(0, min(n, math.MaxUint32))) } //nolint:gosec // it is within
