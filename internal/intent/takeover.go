package intent

import (
	"fmt"
	"net/netip"

	"ropeway/internal/fabric"
)

// readTakeOver reads whether the gateways of a place hold its route table among themselves, and by which addresses they watch each other.
func (r *reader) readTakeOver(p *Place) {
	w := r.written[p]
	p.TakeOver = w.TakeOver.Value
	if p.TakeOver {
		r.staticOnly(w.TakeOver.At, p.subject(), "takeOver")
		switch {
		case len(p.Routers) > 0:
			r.fail("RW1523", w.TakeOver.At, p.subject(), "its routers learn by BGP which gateway to use, so there is no table to take over", "remove takeOver, or neighbors")
		case len(p.Gateways) < 2:
			r.fail("RW1523", w.TakeOver.At, p.subject(), "it has one gateway, and nobody to take over from it", "remove takeOver, or add a gateway")
		}
	}
	for i, g := range p.Gateways {
		r.readAddress(g, &w.Gateways[i], p.Gateways[:i])
	}
}

// readAddress reads the address of a gateway on the LAN of its place, after those of the place's gateways before it.
func (r *reader) readAddress(g *Gateway, w *fabric.Gateway, before []*Gateway) {
	subject := called("gateway", g.Name)
	if !w.Address.Given() {
		if g.Place.TakeOver {
			r.fail("RW1522", w.At, subject, "has no address on the LAN of its place, by which the others could watch it", "write address: with the address that the others reach it by without the fabric")
		}
		return
	}
	addr, err := netip.ParseAddr(w.Address.Value)
	if err != nil {
		return // said already
	}
	g.Address = addr
	for _, other := range before {
		switch {
		case !other.Address.IsValid():
			continue
		case other.Address == addr:
			r.fail("RW1522", w.Address.At, subject, fmt.Sprintf("%s is the address of %s, too", addr, called("gateway", other.Name)), "each gateway has one of its own")
			return
		case other.Address.Is4() != addr.Is4():
			r.fail("RW1522", w.Address.At, subject, fmt.Sprintf("%s is of another family than that of %s", addr, called("gateway", other.Name)), "give all gateways of the place addresses of one family")
			return
		}
	}
	for i := range g.Place.Routers {
		if g.Place.Routers[i].Address == addr {
			r.fail("RW1522", w.Address.At, subject, fmt.Sprintf("%s is the address of neighbor %s", addr, g.Place.Routers[i].Name), "give the gateway's own")
		}
	}
	for _, o := range r.owners.within(netip.PrefixFrom(addr, addr.BitLen())) {
		if o.place != g.Place {
			r.fail("RW1522", w.Address.At, subject, fmt.Sprintf("%s lies in %s, which is reached through the tunnels", addr, o.place.subject()), "give its address on the LAN of its own place")
		}
	}
}
