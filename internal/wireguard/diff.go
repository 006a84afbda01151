package wireguard

import (
	"errors"

	"ropeway/internal/plan"
)

var errNotYet = errors.New("not written yet")

// A Change is one step from what is to what is wanted. String tells it to a person, without secrets.
type Change struct {
	Device string
	text   string
}

// String returns a line such as "rw0: add peer use1-a (AbCd…) with 3 prefixes".
func (c Change) String() string { return c.text }

// Diff returns the steps that lead from have to want, in the order in which they are safe. Peers whose public key is zero
// (pending) are skipped. Endpoints that are DNS names are taken as not known.
func Diff(want []plan.Device, have []Device) []Change { return nil }
