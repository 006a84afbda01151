package bgp

import (
	"cmp"
	"strings"
)

// ByName is the order of State.Neighbors.
func ByName(a, b Neighbor) int {
	return cmp.Or(strings.Compare(a.Name, b.Name), a.Address.Compare(b.Address))
}

// BestFirst is the order of State.Routes. A daemon may have one of its own among those that it leaves undecided.
func BestFirst(a, b Route) int {
	if order := a.Prefix.Compare(b.Prefix); order != 0 || a.Best == b.Best {
		return order
	}
	if a.Best {
		return -1
	}
	return 1
}
