package compile

import (
	"math"

	"ropeway/internal/intent"
)

// ports are the ports of tunnels, each a number above its gateway's own port. Gateways that share an address, behind NAT, share what leads in by it: no port of it can be two
// gateways' own, and the one that the file gives a gateway stays that gateway's.
type ports struct {
	at    map[string]*doors // by gateway
	next  map[string]int    // by gateway: every number below is taken
	first map[string]uint16 // by gateway: its port that the world knows
}

// doors are the ports of an address.
type doors struct {
	taken    map[uint16]bool
	reserved map[uint16]string // by the file, for this gateway
}

func newPorts(gateways []*intent.Gateway) *ports {
	p := &ports{map[string]*doors{}, map[string]int{}, map[string]uint16{}}
	shared := map[string]*doors{}
	for _, g := range gateways {
		d, port := &doors{map[uint16]bool{}, map[uint16]string{}}, g.Port
		if !g.Endpoint.IsZero() {
			if known := shared[g.Endpoint.Host]; known != nil {
				d = known
			}
			shared[g.Endpoint.Host], port = d, g.Endpoint.Port
		}
		d.reserved[port] = g.Name
		p.at[g.Name], p.first[g.Name] = d, port
	}
	return p
}

// take takes a number of a gateway, and reports whether it was free.
func (p *ports) take(gateway string, n int) bool {
	if n < 0 || n > math.MaxUint16 {
		return false
	}
	d, port := p.at[gateway], above(p.first[gateway], n)
	if owner, reserved := d.reserved[port]; d.taken[port] || reserved && owner != gateway {
		return false
	}
	d.taken[port] = true
	return true
}

// lowest takes the lowest number of a gateway that is free.
func (p *ports) lowest(gateway string) int {
	n := p.next[gateway]
	for !p.take(gateway, n) && n <= math.MaxUint16 {
		n++
	}
	p.next[gateway] = n + 1
	return n
}
