// Package cloud holds the contract with what is around a gateway and belongs to somebody else: the network of its place. Each kind of it is a child.
package cloud

import (
	"context"
	"net/netip"
)

// A RouteTable is what the place's own machines send packets by: a VPC's, or that of a site's router.
type RouteTable interface {
	// Lead makes these prefixes lead to a gateway of the place, whatever they led to, and returns those that it changed. It touches no other prefix. It may be asked
	// for what is so already, and by two gateways at once for different prefixes.
	Lead(ctx context.Context, gateway string, prefixes []netip.Prefix) (changed []netip.Prefix, err error)
}
