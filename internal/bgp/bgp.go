// Package bgp holds the contract with routing daemons. A daemon is a child of this package that carries out plan.BGP: it renders it as the daemon's own
// configuration, has the real program check that, runs the program and changes it without dropping a session, and tells what sessions and routes there are.
//
// The daemon is a process of its own that outlives the agent, as userspace WireGuard is: an agent's restart changes no route. It runs beside any
// other instance of the same program on the machine, with files, sockets and process ids in a directory of ours, and touches nothing else.
//
// What the fabric's other hands make is not repeated here: the addresses of devices and the firewall are there before a daemon starts.
package bgp

import (
	"context"
	"net/netip"
	"time"

	"ropeway/internal/fabric"
	"ropeway/internal/plan"
)

// A Daemon runs one routing daemon in the network namespace that its methods are called in. Its methods are not safe for concurrent use, Observe and Watched apart.
type Daemon interface {
	// Apply makes the daemon run with this configuration and returns a line for each thing that it changed; none where all was so already. A session whose
	// own settings did not change stays up. A configuration that the real program refuses is an error, and what ran before runs on.
	Apply(ctx context.Context, want *Config) (changes []string, err error)
	// Plan returns what Apply would change, and changes nothing.
	Plan(ctx context.Context, want *Config) (changes []string, err error)
	// Observe asks the daemon what it knows. Where it does not run, State.Running is false and there is no error.
	Observe(ctx context.Context) (*State, error)
	// Watched asks for nothing but the BFD state of everybody who is watched, siblings among them, which takes no longer where there are many routes: up, down, init
	// or admin-down. Where the daemon does not run it is an error.
	Watched(ctx context.Context) (map[netip.Addr]string, error)
	// Stop ends the daemon cleanly, so that neighbours hear of it, and takes away its routes and files. It is no error where none runs.
	Stop(ctx context.Context) error
}

// A Config is what a daemon has to be.
type Config struct {
	*plan.BGP
	// Drained: neighbours shall use this gateway only where there is no other. What it tells gateways has the community GRACEFUL_SHUTDOWN (RFC 8326), what it tells
	// routers of its place has plan.DrainMetric more; and its siblings are not answered any more, so that they take it for gone.
	Drained bool
	// Passwords are the TCP MD5 passwords that neighbours name. They are in no rendering that is shown.
	Passwords map[string]string
}

// Timers of all sessions, in seconds (RFC 4271, section 4.2 and 10): BFD finds faults sooner, and these find them where a daemon lives and does not route.
const (
	Keepalive = 3
	Hold      = 9
	Connect   = 1 // wait before a session is tried again
)

// A State is what a daemon knows.
type State struct {
	Running   bool       `json:"running"`
	Version   string     `json:"version,omitempty"` // "FRR 8.4.4", "BIRD 2.0.12"
	Neighbors []Neighbor `json:"neighbors"`         // sorted by name, then address
	Routes    []Route    `json:"routes"`            // sorted by prefix, then the best first
}

// A Neighbor is what a daemon knows of a session.
type Neighbor struct {
	Name      string        `json:"name"`
	Address   netip.Addr    `json:"address"`
	ASN       uint32        `json:"asn"`
	State     string        `json:"state"`         // Established, Idle, Connect, Active, OpenSent or OpenConfirm (RFC 4271, section 8.2.2)
	Up        bool          `json:"up"`            // Established
	Since     time.Duration `json:"since"`         // how long it has been in that state
	Received  int           `json:"received"`      // prefixes accepted of it
	Sent      int           `json:"sent"`          // prefixes told to it
	Flaps     int           `json:"flaps"`         // times that the session was lost since the daemon started, where it counts them
	BFD       string        `json:"bfd,omitempty"` // up, down, init or admin-down; "": not watched
	LastError string        `json:"lastError,omitempty"`
}

// A Route is a path to a prefix that was learnt or originated.
type Route struct {
	Prefix          netip.Prefix       `json:"prefix"`
	Neighbor        string             `json:"neighbor,omitempty"` // whom it was learnt from; "": originated here
	NextHop         netip.Addr         `json:"nextHop,omitzero"`
	Device          string             `json:"device,omitempty"` // that packets leave by
	Path            []uint32           `json:"path,omitempty"`   // AS path, the nearest first
	LocalPreference uint32             `json:"localPreference"`
	Metric          uint32             `json:"metric"`
	Tags            []uint32           `json:"tags,omitempty"`
	Communities     []fabric.Community `json:"communities,omitempty"` // all others, orders of RFC 1997 and RFC 8326 among them
	Best            bool               `json:"best"`                  // it carries packets, alone or with others that are as good
}
