// Package state is what a fabric has to remember between two compilations, so that nothing is renumbered: the addresses of
// gateways, their public keys, and what somebody last accepted. It stands in a lock file beside the fabric file, made to be
// committed, until a controller keeps it. It holds nothing secret.
package state

import (
	"strconv"

	"ropeway/internal/key"
)

// A Lock is the content of the lock file.
type Lock struct {
	Fabric   string             `json:"fabric"`
	Places   map[string]int     `json:"places"`          // ordinal of each place, from 0: never changes while the place exists
	Gateways map[string]Gateway `json:"gateways"`        // by name
	Links    map[string]Link    `json:"links,omitempty"` // by LinkName; none with static routing
	Accepted *Accepted          `json:"accepted,omitempty"`
}

// A Gateway is what is remembered of one.
type Gateway struct {
	Index     int        `json:"index,omitempty"` // host number of its tunnel addresses in the pools, from 1: unique, and kept while the gateway exists; 0: not given yet, only the key is known
	PublicKey key.Public `json:"publicKey,omitzero"`
}

// A Link is what is remembered of a tunnel that has a device of its own at both ends.
type Link struct {
	Number int    `json:"number"` // of its devices and its pair of addresses, from 1: unique, and kept while the link exists
	Ports  [2]int `json:"ports"`  // at each end, in the order of the gateways' names: what its port is above the gateway's own
}

// LinkName returns what a link is called in a lock: the names of its gateways in order, and for every parallel tunnel after the first its number, from 2.
func LinkName(a, b string, tunnel int) string {
	name := min(a, b) + " " + max(a, b)
	if tunnel > 1 {
		name += " " + strconv.Itoa(tunnel)
	}
	return name
}

// Accepted is what somebody last accepted with plan --accept. A plan is a pure function of a fabric file and a lock, so the two
// stand here rather than the plan itself; the revisions tell whether this version of Ropeway still compiles them to the same.
type Accepted struct {
	Source    []string           `json:"source"` // the fabric file, a line each
	Places    map[string]int     `json:"places"`
	Gateways  map[string]Gateway `json:"gateways"`
	Links     map[string]Link    `json:"links,omitempty"`
	Revisions map[string]string  `json:"revisions"` // plan.Revision by gateway
}
