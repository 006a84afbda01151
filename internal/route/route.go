// Package route owns the routes and nexthop objects of protocol 114 in the main table, and no others.
//
// Every device that routes leave by gets a nexthop object for each MTU that they have and each family of addresses, and every prefix is a
// route that names it: moving all of them to another device is one message for each, whatever the number of routes. Observe reads, Diff compares, Apply sends the difference
// in large batches.
//
// A route of somebody else for a wanted prefix is never replaced, and never outdone: ours has the metric that the kernel gives where none
// is asked for (0 in IPv4, 1024 in IPv6), and somebody else's with the same or a smaller one makes a Conflict, which Apply names
// while it goes on with the others. One with a greater metric, such as an "unreachable" that catches what a tunnel does not carry, is nobody's
// business: the kernel falls back on it when ours goes.
package route

import (
	"net/netip"
	"strings"
)

// Protocol marks what is Ropeway's (rtm_protocol, nh_protocol): 114 is 'r'.
const Protocol = 114

// A State is the routes and nexthop objects that were found, both sorted.
type State struct {
	Nexthops []Nexthop `json:"nexthops"` // by ID
	Routes   []Route   `json:"routes"`   // by prefix, then metric
}

// A Nexthop is a nexthop object of ours.
type Nexthop struct {
	ID     uint32 `json:"id"`
	Device string `json:"device"` // "": it is not a mere device, so it is not as we make it
	IPv6   bool   `json:"ipv6,omitempty"`
}

// A Route is a route of ours in the main table.
type Route struct {
	Prefix  netip.Prefix `json:"prefix"`
	Metric  uint32       `json:"metric,omitempty"`
	Nexthop uint32       `json:"nexthop"`          // ID of a nexthop object; 0: it names none, so it is not as we make it
	MTU     int          `json:"mtu"`              // in bytes; 0: that of the device
	Locked  bool         `json:"locked,omitempty"` // IPv6 forwarding minds the MTU of a route only where it is locked
}

// metric is what the kernel takes where a route asks for none.
func metric(p netip.Prefix) uint32 {
	if p.Addr().Is6() {
		return 1024 // IP6_RT_PRIO_USER
	}
	return 0
}

// A Conflict is a wanted prefix that somebody else has a route for.
type Conflict struct{ Prefix netip.Prefix }

func (c *Conflict) Error() string {
	return "route " + c.Prefix.String() + ": somebody else has a route for this prefix; it is left alone"
}

// maxErrors bounds how many failures of one Apply are named; the rest is counted.
const maxErrors = 100

// Client observes and changes routes in the network namespace that its methods are called in. It holds nothing, and may be used by
// several goroutines.
type Client struct{}

// New returns a Client.
func New() *Client { return &Client{} }

// devicePrefix is what the interfaces of the fabric begin with: a plan that routes into another one is refused.
const devicePrefix = "rw"

func validDevice(name string) bool { return strings.HasPrefix(name, devicePrefix) && len(name) <= 15 }
