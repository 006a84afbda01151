// Package tune sets the kernel settings (sysctls) that a plan asks for, and puts back what was there before.
//
// The first time a setting is changed its previous value goes to a state file, and only then is the new one written. Remove, and a
// plan that no longer asks for a setting, restore that value, unless somebody has changed the setting to a third one meanwhile.
package tune

import (
	"context"
	"errors"

	"ropeway/internal/plan"
)

// Options of a Client.
type Options struct {
	Root  string // default /proc/sys
	State string // file that remembers previous values; default /var/lib/ropeway/sysctls.json
}

// A Change is one setting that has another value than it should.
type Change struct {
	Key      string
	From, To string
}

// String returns a line such as "net/ipv4/ip_forward: 0 -> 1".
func (c Change) String() string { return c.Key + ": " + c.From + " -> " + c.To }

// A Client observes and changes settings of the network namespace that it is called in.
type Client struct{ opts Options }

// New returns a Client. It touches nothing.
func New(opts Options) *Client { return &Client{opts} }

var errNotYet = errors.New("not written yet")

// Observe returns the present values of the settings that the plan names, in its order. A setting that does not exist has the
// value "".
func (c *Client) Observe(ctx context.Context, want []plan.Sysctl) ([]plan.Sysctl, error) {
	return nil, errNotYet
}

// Diff returns the settings that differ.
func Diff(want, have []plan.Sysctl) []Change { return nil }

// Apply makes the settings what the plan wants and restores those that an earlier plan wanted and this one does not.
func (c *Client) Apply(ctx context.Context, want []plan.Sysctl) ([]Change, error) {
	return nil, errNotYet
}

// Remove restores every setting that Apply changed.
func (c *Client) Remove(ctx context.Context) ([]Change, error) { return nil, errNotYet }
