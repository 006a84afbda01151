package verify

import "net/netip"

// Not any two addresses make a packet. Source and destination of one are of the same family, and what stays within a place does not
// cross the fabric. So a row holds addresses of one place and one family, and everything that ranges over pairs leaves out those of
// rows that do not meet: nothing can be promised of them, leak between them or be tested.

// A family is a version of IP.
type family uint8

const (
	ipv4 family = iota
	ipv6
	families
)

func familyOf(a netip.Addr) family {
	if a.Is4() {
		return ipv4
	}
	return ipv6
}

// meet reports whether there are packets between two rows that cross the fabric.
func (w *world) meet(a, b int32) bool {
	return w.rowOwner[a] != w.rowOwner[b] && w.rowFamily[a] == w.rowFamily[b]
}

// pairs counts ordered pairs of atoms that can be the ends of a packet.
func (w *world) pairs() int {
	pairs := 0
	for _, perPlace := range w.perPlace {
		total, same := 0, 0
		for _, n := range perPlace {
			total += n
			same += n * n
		}
		pairs += total*total - same
	}
	return pairs
}
