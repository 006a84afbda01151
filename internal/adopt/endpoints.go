package adopt

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"ropeway/internal/fabric"
)

// reach decides where every machine is reached. Prefixes are known by then.
func (m *maker) reach() {
	taken := map[fabric.Endpoint]*machine{}
	for _, of := range m.machines {
		candidates := slices.SortedFunc(maps.Keys(of.endpoints), func(a, b fabric.Endpoint) int {
			return cmp.Or(cmp.Compare(of.endpoints[b], of.endpoints[a]), cmp.Compare(a.String(), b.String()))
		})
		for _, e := range candidates {
			switch {
			case !of.endpoint.IsZero():
				m.note(of, fmt.Sprintf("others reach it at %s, too; %s is taken", e, of.endpoint), "a gateway has one endpoint")
			case !reachable(e):
				m.note(of, fmt.Sprintf("nobody elsewhere reaches it at %s", e), "give it an address that the others can send to")
			case of.port != 0 && of.port != e.Port:
				m.note(of, fmt.Sprintf("it listens on port %d and is seen at %s: a mapping of a NAT, or a forwarded port", of.port, e), "if that is forwarded for good, write endpoint and port, and listen on the same port")
			case taken[e] != nil:
				m.note(of, fmt.Sprintf("its endpoint %s is that of %s, too", e, taken[e].name), "give one of them another")
			case m.inside(e):
				m.note(of, fmt.Sprintf("its endpoint %s lies in a prefix that is reached through the tunnels", e), "give the address that the others reach without them")
			default:
				of.endpoint, of.port, taken[e] = e, e.Port, of
			}
		}
		of.nat = of.endpoint.IsZero() || of.keepalive
		if of.endpoint.IsZero() {
			m.note(of, "no endpoint of it is told, so it dials the others", "if it can be reached, give it one, and take nat away")
		}
	}
}

// reachable reports whether an endpoint means something to others.
func reachable(e fabric.Endpoint) bool {
	a, ok := e.Addr()
	return !ok || !(a.IsUnspecified() || a.IsLoopback() || a.IsMulticast() || a.IsLinkLocalUnicast() || a == netip.AddrFrom4([4]byte{255, 255, 255, 255}))
}

// inside reports whether an endpoint lies in what the fabric itself would route.
func (m *maker) inside(e fabric.Endpoint) bool {
	a, ok := e.Addr()
	return ok && slices.ContainsFunc(m.machines, func(of *machine) bool {
		return slices.ContainsFunc(of.prefixes, func(p netip.Prefix) bool { return p.Contains(a) })
	})
}
