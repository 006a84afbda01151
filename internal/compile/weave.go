package compile

import (
	"cmp"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strings"

	"ropeway/internal/fabric"
	"ropeway/internal/intent"
	"ropeway/internal/state"
)

// With BGP every tunnel has a device of its own at both ends: cryptokey routing gives a prefix to one peer of a device, and here any tunnel may have to carry
// any prefix that is behind it. The tunnel's number in the lock names its devices and its pair of addresses, which lie at the upper end of the pools.

// A strand is one gateway's end of a tunnel.
type strand struct {
	at, peer           *gateway
	turn               int // which of the parallel ones, from 1
	number             int
	port, peerPort     uint16         // this end's own, and that of the peer's endpoint
	local, remote      []netip.Addr   // its addresses, one per family
	prefixes           []netip.Prefix // the same as local, with the length of the pair: a /31 (RFC 3021), a /127 (RFC 6164)
	underlay, overhead int
	mtu                int
	path               fabric.PathPreference
}

// device is what a strand is called at both ends.
func (s *strand) device() string { return fmt.Sprintf("rw%d", s.number) }

// weave makes the strands of every gateway.
func (g *graph) weave(in *intent.Fabric, lock *state.Lock) {
	byName := make(map[string]*gateway, len(g.gateways))
	for _, gw := range g.gateways {
		byName[gw.Name] = gw
	}
	for t := range tunnels(in) {
		a, b := byName[min(t.a.Name, t.b.Name)], byName[max(t.a.Name, t.b.Name)]
		known := lock.Links[state.LinkName(a.Name, b.Name, t.turn)]
		near := &strand{
			at: a, peer: b, turn: t.turn, number: known.Number, port: above(a.Port, known.Ports[0]), peerPort: above(b.Endpoint.Port, known.Ports[1]),
			underlay: t.link.UnderlayMTU, overhead: intent.Overhead(t.a, t.b), path: t.link.Path,
		}
		near.mtu = near.underlay - near.overhead // both devices have this one peer, and WireGuard does not pad beyond a device's MTU
		far := *near
		far.at, far.peer, far.port, far.peerPort = b, a, above(b.Port, known.Ports[1]), above(a.Endpoint.Port, known.Ports[0])
		for _, pool := range []netip.Prefix{in.Pools.Links4, in.Pools.Links6} {
			if pool.IsValid() {
				even, odd := pairOf(pool, known.Number)
				near.address(even, odd)
				far.address(odd, even)
			}
		}
		a.strands, b.strands = append(a.strands, near), append(b.strands, &far)
	}
	for _, gw := range g.gateways {
		slices.SortFunc(gw.strands, func(a, b *strand) int { return cmp.Or(strings.Compare(a.peer.Name, b.peer.Name), a.turn-b.turn) })
	}
}

// above returns a port so many above another; a gateway of so many links that ports run out begins again below, in the ports that nobody registers.
func above(port uint16, n int) uint16 {
	if int(port)+n <= math.MaxUint16 {
		return port + uint16(n)
	}
	return uint16(1024 + int(port) + n - math.MaxUint16 - 1)
}

// address gives a strand its address of one family, and the peer's.
func (s *strand) address(local, remote netip.Addr) {
	s.local, s.remote = append(s.local, local), append(s.remote, remote)
	s.prefixes = append(s.prefixes, netip.PrefixFrom(local, local.BitLen()-1))
}

// mostFree bounds what of a large pool is used: addresses of links begin at its end, or 2^32 above its beginning.
const mostFree = 32

// pairOf returns the two addresses of a link: the pairs of a pool are given out from its end.
func pairOf(pool netip.Prefix, number int) (even, odd netip.Addr) {
	free := min(mostFree, pool.Addr().BitLen()-pool.Bits())
	first := 1<<free - 2*number
	return host(pool, first), host(pool, first+1)
}
