package verify

import (
	"fmt"
	"net/netip"
	"slices"

	"ropeway/internal/diag"
	"ropeway/internal/plan"
	"ropeway/internal/prefixes"
)

// An exchange is one end of a session that is up.
type exchange struct {
	*plan.Neighbor
	far    int32 // gateway
	back   int   // number of its other end among the far gateway's
	device int32
	accept int // number of the list that this end accepts
}

// ends are the two addresses of a session, as one of its ends sees them.
type ends struct{ local, address netip.Addr }

// meet finds the sessions that are up: those of which both ends say the same, over a tunnel that works.
func (c *convergence) meet() {
	said := make([]map[ends]*plan.Neighbor, len(c.speakers))
	for i := range c.speakers {
		said[i] = make(map[ends]*plan.Neighbor, len(c.speakers[i].Neighbors))
		for _, n := range c.speakers[i].Neighbors {
			if n != nil && !n.External() {
				said[i][ends{n.Local, n.Address}] = n
			}
		}
	}
	for i := range c.speakers {
		s := &c.speakers[i]
		for _, n := range s.Neighbors {
			switch {
			case n == nil:
			case n.External():
				s.routers = append(s.routers, n)
			default:
				c.meetAt(s, n, said)
			}
		}
	}
	c.pair()
}

// pair finds the other end of every session. One that only one end has is none.
func (c *convergence) pair() {
	numbers := make([]map[ends]int, len(c.speakers))
	for i := range c.speakers {
		numbers[i] = make(map[ends]int, len(c.speakers[i].sessions))
		for k, x := range c.speakers[i].sessions {
			numbers[i][ends{x.Local, x.Address}] = k
		}
	}
	for i := range c.speakers {
		for k := range c.speakers[i].sessions {
			x := &c.speakers[i].sessions[k]
			back, known := numbers[x.far][ends{x.Address, x.Local}]
			if x.back = back; !known {
				x.back = -1
			}
		}
	}
}

// meetAt adds a session of a gateway where its other end is there for it. What keeps it down is a problem of the plan, unless the tunnel is down, which is told as such.
func (c *convergence) meetAt(s *speaker, n *plan.Neighbor, said []map[ends]*plan.Neighbor) {
	g := &c.m.gateways[s.gateway]
	device := c.m.deviceNamed(s.gateway, n.Device)
	if device == nobody || len(c.m.devices[device].sessions) != 1 {
		c.mismatch(g, n, fmt.Sprintf("device %s has not exactly one peer", n.Device))
		return
	}
	session := &c.m.devices[device].sessions[0]
	if session.far == nobody {
		return
	}
	far := c.m.devices[session.far].gateway
	theirs := &c.speakers[far]
	other := said[far][ends{n.Address, n.Local}]
	switch {
	case !c.allows(device, n.Address) || !c.allows(session.far, n.Local):
		c.mismatch(g, n, "the AllowedIPs of the two ends do not hold its addresses")
	case other == nil || other.Device != c.m.devices[session.far].Name:
		c.mismatch(g, n, fmt.Sprintf("gateway %s does not speak with %s at %s", c.m.gateways[far].Name, n.Local, n.Address))
	case other.ASN != s.ASN || n.ASN != theirs.ASN:
		c.mismatch(g, n, fmt.Sprintf("the ends do not agree on their AS numbers: %d and %d here, %d and %d there", s.ASN, n.ASN, other.ASN, theirs.ASN))
	case session.fault == noFault && !g.down:
		for _, p := range n.Prefer {
			c.opinionated = c.opinionated || p.LocalPreference != 0 && p.LocalPreference != plan.DefaultLocalPreference
		}
		s.sessions = append(s.sessions, exchange{Neighbor: n, far: far, device: device, accept: c.list(n.Accept)})
	}
}

func (c *convergence) mismatch(g *gateway, n *plan.Neighbor, message string) {
	c.problems = append(c.problems, diag.Problem{
		Code: "RW3034", Severity: diag.Error, Subject: "gateway " + g.Name, Hint: "compile the plan again",
		Message: fmt.Sprintf("its BGP session with %s at %s cannot come up: %s", n.Name, n.Address, message),
	})
}

// allows reports whether an address belongs to the one peer of a device.
func (c *convergence) allows(device int32, a netip.Addr) bool {
	lists := c.m.devices[device].allowed
	if len(lists) != 1 {
		return false
	}
	_, found := c.m.pool.longest(lists[0], a)
	return found
}

// list numbers a list of what is accepted.
func (c *convergence) list(l []netip.Prefix) int {
	id := c.filters.list(l)
	n, known := c.accepts[id]
	if !known {
		n = len(c.lists)
		c.accepts[id] = n
		c.lists = append(c.lists, prefixes.Normal(slices.DeleteFunc(slices.Clone(l), func(p netip.Prefix) bool { return !p.IsValid() })))
	}
	return n
}
