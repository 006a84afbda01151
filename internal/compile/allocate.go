package compile

import (
	"iter"
	"maps"
	"math"
	"net/netip"
	"slices"

	"ropeway/internal/fabric"
	"ropeway/internal/intent"
	"ropeway/internal/state"
)

// allocate gives every place an ordinal and every gateway a host number. What the lock remembers stays as it is; what is new
// takes the lowest number that is free, in file order; what left the file is forgotten.
func allocate(in *intent.Fabric, lock *state.Lock) *state.Lock {
	next := &state.Lock{Fabric: in.Name, Places: map[string]int{}, Gateways: map[string]state.Gateway{}}
	if lock == nil {
		lock = &state.Lock{}
	}
	next.Accepted = lock.Accepted

	ordinals := numbers{taken: map[int]bool{}, limit: math.MaxInt}
	for _, p := range in.Places {
		if n, known := lock.Places[p.Name]; known && ordinals.take(n) {
			next.Places[p.Name] = n
		}
	}
	for _, p := range in.Places {
		if _, done := next.Places[p.Name]; !done {
			next.Places[p.Name] = ordinals.lowest(0)
		}
	}

	indices := numbers{taken: map[int]bool{}, limit: hosts(in.Pools)}
	gateways := in.Gateways()
	for _, g := range gateways {
		if was, known := lock.Gateways[g.Name]; known && was.Index > 0 && indices.take(was.Index) {
			next.Gateways[g.Name] = was
		}
	}
	for _, g := range gateways {
		if _, done := next.Gateways[g.Name]; !done {
			next.Gateways[g.Name] = state.Gateway{Index: indices.lowest(1), PublicKey: lock.Gateways[g.Name].PublicKey}
		}
	}
	if in.Routing.Mode == fabric.BGP {
		next.Links = allocateLinks(in, lock)
	}
	return next
}

// allocateLinks gives every tunnel a number, and a port at both of its gateways.
func allocateLinks(in *intent.Fabric, lock *state.Lock) map[string]state.Link {
	links := map[string]state.Link{}
	used := numbers{taken: map[int]bool{}, limit: math.MaxInt}
	ports := newPorts(in.Gateways())
	var fresh [][2]string
	var names []string
	for t := range tunnels(in) {
		a, b := min(t.a.Name, t.b.Name), max(t.a.Name, t.b.Name)
		name := state.LinkName(a, b, t.turn)
		was, known := lock.Links[name]
		if known && used.take(was.Number) && ports[a].take(was.Ports[0]) && ports[b].take(was.Ports[1]) {
			links[name] = was
			continue
		}
		fresh, names = append(fresh, [2]string{a, b}), append(names, name)
	}
	for i, ends := range fresh {
		links[names[i]] = state.Link{Number: used.lowest(1), Ports: [2]int{ports[ends[0]].lowest(), ports[ends[1]].lowest()}}
	}
	return links
}

// A tunnel is one of the parallel ones between two gateways, counted from 1.
type tunnel struct {
	link intent.Link
	a, b *intent.Gateway // of link.A and link.B
	turn int
}

// tunnels returns every tunnel of a fabric.
func tunnels(in *intent.Fabric) iter.Seq[tunnel] {
	return func(yield func(tunnel) bool) {
		for l := range in.Joined() {
			for _, a := range l.A.Gateways {
				for _, b := range l.B.Gateways {
					for turn := 1; turn <= l.Tunnels; turn++ {
						if !yield(tunnel{l, a, b, turn}) {
							return
						}
					}
				}
			}
		}
	}
}

// hosts returns the highest host number that every pool has an address for. A /31 or a single address has no number to spare
// for the subnet's own address, but numbers begin at 1 all the same.
func hosts(pools intent.Pools) int {
	most := math.MaxInt
	for _, pool := range []netip.Prefix{pools.Links4, pools.Links6} {
		if pool.IsValid() {
			if free := pool.Addr().BitLen() - pool.Bits(); free < 32 {
				most = min(most, 1<<free-1)
			}
		}
	}
	return most
}

// host returns the address of that number in a pool.
func host(pool netip.Prefix, number int) netip.Addr {
	bytes := pool.Addr().AsSlice()
	for i := len(bytes) - 1; number > 0; i-- {
		sum := int(bytes[i]) + number&0xff
		bytes[i] = byte(sum)
		number = number>>8 + sum>>8
	}
	addr, _ := netip.AddrFromSlice(bytes)
	return addr
}

// numbers is a set of small numbers that are in use.
type numbers struct {
	taken map[int]bool
	limit int
	next  int // every number below it is taken
}

func (n *numbers) take(i int) bool {
	if i < 0 || i > n.limit || n.taken[i] {
		return false
	}
	n.taken[i] = true
	return true
}

func (n *numbers) lowest(from int) int {
	n.next = max(n.next, from)
	for n.taken[n.next] {
		n.next++
	}
	n.taken[n.next] = true
	return n.next
}

// ordered returns the gateways of a place by host number: an order that adding or removing one does not disturb.
func ordered(p *intent.Place, lock *state.Lock) []*intent.Gateway {
	return slices.SortedFunc(slices.Values(p.Gateways), func(a, b *intent.Gateway) int {
		return lock.Gateways[a.Name].Index - lock.Gateways[b.Name].Index
	})
}

// sameNumbers reports whether two locks say the same about places and gateways.
func sameNumbers(a, b *state.Lock) bool {
	return maps.Equal(a.Places, b.Places) && maps.Equal(a.Gateways, b.Gateways) && maps.Equal(a.Links, b.Links)
}
