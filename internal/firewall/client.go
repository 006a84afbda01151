package firewall

import (
	"context"
	"errors"

	"ropeway/internal/plan"
)

// A Client keeps the table `inet ropeway` of one network namespace: that of the thread which first uses it. Its methods may be
// called by one goroutine at a time.
type Client struct{}

// New returns a client. It opens its sockets when it is first used, and Close closes them.
func New() *Client { return &Client{} }

// Close gives back the sockets. The table stays.
func (c *Client) Close() error { return nil }

// Observe returns what the kernel holds of the table. It reads everything once; afterwards it only asks whether somebody else has
// touched the table since, which takes microseconds, so it may be called every second whatever the size of the sets.
func (c *Client) Observe(ctx context.Context) (*State, error) { return nil, errors.ErrUnsupported }

// Apply makes the table be what the plan says, in one transaction: packets meet the old table or the new one, nothing between.
// It returns what it changed, empty where nothing had to change. A plan that is not valid is refused and changes nothing.
func (c *Client) Apply(ctx context.Context, g *plan.Gateway) (*Change, error) {
	return nil, errors.ErrUnsupported
}

// Remove deletes the table, and nothing else. Removing a table that is not there is not an error.
func (c *Client) Remove(ctx context.Context) error { return errors.ErrUnsupported }

// Counters returns what the table has counted.
func (c *Client) Counters(ctx context.Context) (Counters, error) {
	return Counters{}, errors.ErrUnsupported
}

// Counters are what the table has counted since it was made. They go on counting when rules or elements change.
type Counters struct {
	Access  map[int]Counter    // by plan.Rule.ID: the packets that opened a flow; those that follow are not counted
	Dropped map[string]Counter // by why: "in", "out", "transit", "guard", "invalid", "input"
}

// A Counter counts packets and their bytes, IP headers included.
type Counter struct{ Packets, Bytes uint64 }
