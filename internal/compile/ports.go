package compile

import (
	"math"

	"ropeway/internal/intent"
)

// ports are the ports of tunnels at each gateway, by its name, each a number above the gateway's own port. Gateways that share an address, behind NAT, share what leads in by
// it: no port of it can be two gateways' own, and the one that the file gives a gateway stays that gateway's.
type ports map[string]*entrance

// An entrance is the ports that lead to a gateway.
type entrance struct {
	*doors
	gateway string
	first   uint16 // that the world knows
	next    int    // every number below is taken
}

// doors are the ports of an address.
type doors struct {
	taken    map[uint16]bool
	reserved map[uint16]string // by the file, for this gateway
}

func newPorts(gateways []*intent.Gateway) ports {
	p, shared := ports{}, map[string]*doors{}
	for _, g := range gateways {
		e := &entrance{&doors{map[uint16]bool{}, map[uint16]string{}}, g.Name, g.Port, 0}
		if !g.Endpoint.IsZero() {
			if known := shared[g.Endpoint.Host]; known != nil {
				e.doors = known
			}
			shared[g.Endpoint.Host], e.first = e.doors, g.Endpoint.Port
		}
		e.reserved[e.first] = g.Name
		p[g.Name] = e
	}
	return p
}

// take takes a number, and reports whether it was free.
func (e *entrance) take(n int) bool {
	if n < 0 || n > math.MaxUint16 {
		return false
	}
	port := above(e.first, n)
	if owner, reserved := e.reserved[port]; e.taken[port] || reserved && owner != e.gateway {
		return false
	}
	e.taken[port] = true
	return true
}

// lowest takes the lowest number that is free.
func (e *entrance) lowest() int {
	n := e.next
	for !e.take(n) && n <= math.MaxUint16 {
		n++
	}
	e.next = n + 1
	return n
}
