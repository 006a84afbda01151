// Package route owns the routes and nexthop objects of protocol 114 in the main table, and no others.
//
// Every device that routes leave by gets a nexthop object (one for IPv4, one for IPv6), and every prefix is a route that names it:
// moving all of them to another device is one message. A route of somebody else for a wanted prefix is never replaced; Apply
// names it in an error and goes on with the others.
package route

import (
	"context"
	"errors"
	"net/netip"

	"ropeway/internal/plan"
)

// Protocol marks what is Ropeway's (rtm_protocol, nhm_protocol): 114 is 'r'.
const Protocol = 114

// A State is the routes and nexthop objects that were found, both sorted.
type State struct {
	Nexthops []Nexthop `json:"nexthops"` // by ID
	Routes   []Route   `json:"routes"`   // by prefix
}

// A Nexthop is a nexthop object of ours.
type Nexthop struct {
	ID     uint32 `json:"id"`
	Device string `json:"device"`
	IPv6   bool   `json:"ipv6"`
}

// A Route is a route of ours in the main table.
type Route struct {
	Prefix  netip.Prefix `json:"prefix"`
	Nexthop uint32       `json:"nexthop"` // 0: the route names none, so it is not as we make it
	MTU     int          `json:"mtu"`
}

// A Change is one step from what is to what is wanted.
type Change struct {
	text string
}

// String returns a line such as "add route 10.20.0.0/16 dev rw0 mtu 1420".
func (c Change) String() string { return c.text }

// A Conflict is a wanted prefix that somebody else has a route for.
type Conflict struct{ Prefix netip.Prefix }

func (c *Conflict) Error() string {
	return "route " + c.Prefix.String() + ": somebody else has a route for this prefix, it is left alone"
}

// A Client observes and changes routes in the network namespace that it is called in.
type Client struct{}

// New returns a Client. It touches nothing.
func New() *Client { return &Client{} }

var errNotYet = errors.New("not written yet")

// Observe returns what is there of ours.
func (c *Client) Observe(ctx context.Context) (State, error) { return State{}, errNotYet }

// Diff returns the steps that lead from have to want, in the order in which they are safe.
func Diff(want []*plan.Route, have State) []Change { return nil }

// Apply makes the routes what the plan wants and returns what it changed. The devices must exist and be up. Prefixes that
// somebody else routes come back as errors of type *Conflict (errors.As), the other routes are made all the same.
func (c *Client) Apply(ctx context.Context, want []*plan.Route) ([]Change, error) {
	return nil, errNotYet
}

// Move sends everything that leaves by one device out of another, at once.
func (c *Client) Move(ctx context.Context, from, to string) error { return errNotYet }

// Remove deletes every route and nexthop object of ours.
func (c *Client) Remove(ctx context.Context) ([]Change, error) { return nil, errNotYet }
