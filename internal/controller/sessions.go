package controller

import (
	"slices"

	"google.golang.org/protobuf/proto"

	ropewayv1 "ropeway/api/ropeway/v1"
)

// Bounds on what a gateway may say of its sessions, and on how many are told beside everything else that is known of it: those that are not up.
const (
	mostSessions = 1024
	mostDown     = 32
	sharedDown   = 4
)

// boundRouting makes what a gateway says of routing safe to keep and to show.
func boundRouting(r *ropewayv1.Routing) {
	if r == nil {
		return
	}
	r.Daemon, r.Version = bounded(r.Daemon), bounded(r.Version)
	r.Sessions = r.Sessions[:min(len(r.Sessions), mostSessions)]
	for _, s := range r.Sessions {
		s.Neighbor, s.Device, s.Address, s.State, s.Bfd, s.LastError = bounded(s.Neighbor), bounded(s.Device), bounded(s.Address), bounded(s.State), bounded(s.Bfd), bounded(s.LastError)
	}
}

// sameRouting reports whether people would see no difference: when a session came to be as it is they see once something else changes.
func sameRouting(a, b *ropewayv1.Routing) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.Running == b.Running && a.Daemon == b.Daemon && a.Version == b.Version && proto.Equal(a.Drained, b.Drained) && a.Prefixes == b.Prefixes && a.Paths == b.Paths &&
		a.Total == b.Total && a.Up == b.Up && slices.EqualFunc(a.Sessions, b.Sessions, sameSession)
}

func sameSession(a, b *ropewayv1.Session) bool {
	return a.Neighbor == b.Neighbor && a.Device == b.Device && a.Address == b.Address && a.Asn == b.Asn && a.State == b.State && a.Up == b.Up &&
		a.Received == b.Received && a.Sent == b.Sent && a.Flaps == b.Flaps && a.Bfd == b.Bfd && a.LastError == b.LastError
}

// troubles is how routing is with the first sessions that are not up, and no others. Nobody changes what it was made of, nor what it returns.
func troubles(r *ropewayv1.Routing, most int) *ropewayv1.Routing {
	if r == nil {
		return nil
	}
	out := &ropewayv1.Routing{Daemon: r.Daemon, Version: r.Version, Running: r.Running, Drained: r.Drained, Prefixes: r.Prefixes, Paths: r.Paths, Total: r.Total, Up: r.Up}
	for _, s := range r.Sessions {
		if !s.Up && len(out.Sessions) < most {
			out.Sessions = append(out.Sessions, s)
		}
	}
	return out
}
