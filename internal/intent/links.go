package intent

import (
	"fmt"

	"ropeway/internal/diag"
	"ropeway/internal/fabric"
)

// reach sums up how the gateways of a place are reached; nil: none of them that way.
type reach struct {
	v4, v6, name, none *Gateway // the first gateway with an IPv4 address, an IPv6 address, a DNS name, no endpoint
}

func (s *reach) add(g *Gateway) {
	slot := &s.name
	if g.Endpoint.IsZero() {
		slot = &s.none
	} else if addr, ok := g.Endpoint.Addr(); ok && addr.Is4() {
		slot = &s.v4
	} else if ok {
		slot = &s.v6
	}
	if *slot == nil {
		*slot = g
	}
}

// overhead returns the largest overhead of the tunnels between two places.
func (s reach) overhead(o reach) int {
	if s.v6 != nil || s.name != nil || o.v6 != nil || o.name != nil {
		return overhead6
	}
	return overhead4
}

// minIPv6MTU is what every IPv6 link carries (RFC 8200, section 5).
const minIPv6MTU = 1280

// checkLinks sees that the ends of every link can meet, and that what they send each other fits. Of a place that has trouble with
// many others it speaks once: in a mesh of a hundred such places there are thousands of pairs.
func (r *reader) checkLinks() {
	apart := map[*Place]*trouble{}
	mixed := map[*Place]*trouble{}
	var order []*Place
	told := map[diag.Position]bool{}
	carries6 := r.fabric.CarriesIPv6()
	for l := range r.fabric.Joined() {
		a, b := r.endpoints[l.A], r.endpoints[l.B]
		if a.none != nil && b.none != nil {
			note(apart, &order, l, a.none, b.none)
		}
		if a.v4 != nil && b.v6 != nil {
			note(mixed, &order, l, a.v4, b.v6)
		} else if a.v6 != nil && b.v4 != nil {
			note(mixed, &order, l, a.v6, b.v4)
		}
		if l.UnderlayMTU < minIPv6MTU+overhead6 { // else all is well, as nearly always
			r.checkMTU(l, a.overhead(b), carries6, told)
		}
	}
	for _, p := range order {
		if t := apart[p]; t != nil {
			r.fail("RW1304", t.mine.Position, called("gateway", t.mine.Name), fmt.Sprintf("neither it nor %s of %s has an endpoint, so no tunnel can begin%s", called("gateway", t.other.Name), t.other.Place.subject(), t.more()), r.meetHint(t.link))
		}
		if t := mixed[p]; t != nil {
			r.warn("RW1313", t.mine.Position, called("gateway", t.mine.Name), fmt.Sprintf("its endpoint and that of %s of %s are of different families%s", called("gateway", t.other.Name), t.other.Place.subject(), t.more()), "both machines need IPv4 and IPv6 on the underlay")
		}
		delete(apart, p)
		delete(mixed, p)
	}
}

// trouble is what a place has with places before it in the file.
type trouble struct {
	mine, other *Gateway
	link        Link
	places      int
}

func note(of map[*Place]*trouble, order *[]*Place, l Link, a, b *Gateway) {
	t := of[l.B]
	if t == nil {
		t = &trouble{mine: b, other: a, link: l}
		of[l.B] = t
		*order = append(*order, l.B)
	}
	t.places++
}

// more says how many other places it is the same with.
func (t *trouble) more() string {
	switch n := t.places - 1; n {
	case 0:
		return ""
	case 1:
		return "; the same with 1 more place"
	default:
		return fmt.Sprintf("; the same with %d more places", n)
	}
}

func (r *reader) meetHint(l Link) string {
	if l.Position.Line > 0 && !r.fabric.joins(l.A, l.B) {
		return "give one of them an endpoint, or remove the link"
	}
	if r.fabric.Topology == fabric.Mesh {
		return "give one of them an endpoint, or choose the mode hub-and-spoke or hybrid, where they meet through a hub"
	}
	return "give one of them an endpoint; the gateways of a hub need one each where spokes have none"
}

// checkMTU refuses a path that carries too little.
func (r *reader) checkMTU(l Link, overhead int, carries6 bool, told map[diag.Position]bool) {
	at, subject := r.decides(l)
	if told[at] {
		return
	}
	inner := l.UnderlayMTU - overhead
	switch {
	case l.UnderlayMTU < minIPv6MTU && overhead == overhead6:
		r.fail("RW1308", at, subject, fmt.Sprintf("underlay MTU %d is under %d, and the path between %s and %s is not known to be IPv4 only", l.UnderlayMTU, minIPv6MTU, l.A.subject(), l.B.subject()),
			"give every gateway on it an IPv4 address as its endpoint, or correct the MTU")
	case carries6 && inner < minIPv6MTU:
		r.fail("RW1309", at, subject, fmt.Sprintf("underlay MTU %d leaves %d bytes inside the tunnel between %s and %s, and IPv6 needs %d", l.UnderlayMTU, inner, l.A.subject(), l.B.subject(), minIPv6MTU),
			fmt.Sprintf("raise it to at least %d, or carry no IPv6", minIPv6MTU+overhead))
	default:
		return
	}
	told[at] = true
}

// decides returns where the file says what a link's underlay carries, and of whom.
func (r *reader) decides(l Link) (diag.Position, string) {
	if i, ok := r.linkAt[l.Position]; ok && r.spec.Links[i].Underlay.MTU.Given() {
		return r.spec.Links[i].Underlay.MTU.At, fmt.Sprintf("link %d", i+1)
	}
	p := l.A
	if l.B.UnderlayMTU < l.A.UnderlayMTU {
		p = l.B
	}
	return r.written[p].Underlay.MTU.At, p.subject()
}
