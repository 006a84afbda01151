package world

import (
	"fmt"
	"net/netip"
	"slices"

	"ropeway/internal/intent"
	"ropeway/internal/plan"
)

// leastMTU is what every wire of a lab carries at least: Ethernet's, so that a host can always send a packet that is too big for
// its path.
const leastMTU = 1500

// firstTable is the number of the first place's routing table in the core; 0 to 255 are partly the kernel's own.
const firstTable = 1000

// Draw makes the world of a fabric with the route tables of a plan, and a controller in each of the places that are named. It fails where the
// fabric leaves the lab no addresses.
func Draw(in *intent.Fabric, p *plan.Fabric, controllers ...string) (*World, error) {
	pool, err := newPool(in)
	if err != nil {
		return nil, err
	}
	d := drawing{
		World:  &World{Spaces: []*Space{{Name: CoreSpace, Kind: Core}}},
		in:     in,
		plan:   p,
		pool:   pool,
		mtu:    widest(in),
		inside: map[string][]netip.Addr{},
	}
	for i, place := range in.Places {
		d.place(place, firstTable+i)
	}
	d.edges()
	d.routers()
	d.speakers()
	d.names()
	d.seats(controllers) // last: what was there before has the addresses that it had
	return d.World, nil
}

type drawing struct {
	*World
	in     *intent.Fabric
	plan   *plan.Fabric
	pool   *pool
	mtu    int
	inside map[string][]netip.Addr // gateway → its addresses on the wire to its router
}

// widest returns what every wire carries: enough for any underlay that the file names, in places or on links.
func widest(in *intent.Fabric) int {
	mtu := leastMTU
	for _, p := range in.Places {
		mtu = max(mtu, p.UnderlayMTU)
	}
	for _, l := range in.Links {
		mtu = max(mtu, l.UnderlayMTU)
	}
	return mtu
}

// RouterOf returns the name of the space that is the router of a place.
func RouterOf(place string) string      { return place + "/router" }
func hostOf(place string, n int) string { return fmt.Sprintf("%s/host%d", place, n+1) }
func boxOf(gateway string) string       { return gateway + "/nat" }

// place draws a router, its hosts, and the wires to its gateways.
func (d *drawing) place(p *intent.Place, table int) {
	router := &Space{Name: RouterOf(p.Name), Kind: Router, Place: p.Name}
	d.Spaces = append(d.Spaces, router)
	known := d.knownBy(p.Name)
	for i, prefix := range p.Prefixes {
		host := &Space{Name: hostOf(p.Name, i), Kind: Host, Place: p.Name, Prefix: prefix}
		d.Spaces = append(d.Spaces, host)
		iface := fmt.Sprintf("host%d", i+1)
		ours, theirs := d.pool.like(prefix.Addr())
		own := Representatives(d.in, prefix, slices.Concat(known, addresses(p))...)
		d.wire(
			End{Space: router.Name, Interface: iface, Link: ours},
			End{Space: host.Name, Interface: Uplink, Link: theirs, Own: own})
		router.Routes = append(router.Routes, Route{Prefix: prefix, Interface: iface})
		out := Route{Prefix: anywhere(prefix.Addr()), Interface: Uplink}
		if len(own) > 0 {
			out.Source = own[0]
		}
		host.Routes = append(host.Routes, out)
	}
	for i, g := range p.Gateways {
		gateway := &Space{Name: g.Name, Kind: Gateway, Place: p.Name}
		d.Spaces = append(d.Spaces, gateway)
		ours, theirs := d.pool.both()
		d.inside[g.Name] = theirs
		d.wire(
			End{Space: router.Name, Interface: fmt.Sprintf("gw%d", i+1), Link: ours, Own: known},
			End{Space: g.Name, Interface: Inside, Link: theirs, Own: addressOf(g)})
		for _, a := range addressOf(g) {
			router.Routes = append(router.Routes, Route{Prefix: netip.PrefixFrom(a, a.BitLen()), Interface: fmt.Sprintf("gw%d", i+1)})
		}
		for _, a := range addresses(p) {
			if a != g.Address {
				gateway.Routes = append(gateway.Routes, Route{Prefix: netip.PrefixFrom(a, a.BitLen()), Interface: Inside})
			}
		}
		for _, a := range known {
			gateway.Routes = append(gateway.Routes, Route{Prefix: netip.PrefixFrom(a, a.BitLen()), Interface: Inside, OnLink: true})
		}
		for _, prefix := range p.Prefixes {
			gateway.Routes = append(gateway.Routes, Route{Prefix: prefix, Interface: Inside})
		}
	}
	for link := range d.in.Joined() {
		switch p {
		case link.A:
			d.Paths = append(d.Paths, Path{p.Name, link.B.Name, table, link.UnderlayMTU})
		case link.B:
			d.Paths = append(d.Paths, Path{p.Name, link.A.Name, table, link.UnderlayMTU})
		}
	}
}

// addressOf returns the address of a gateway on the LAN of its place, where the file says one.
func addressOf(g *intent.Gateway) []netip.Addr {
	if !g.Address.IsValid() {
		return nil
	}
	return []netip.Addr{g.Address}
}

// addresses returns those of all gateways of a place.
func addresses(p *intent.Place) (out []netip.Addr) {
	for _, g := range p.Gateways {
		out = append(out, addressOf(g)...)
	}
	return out
}

func (d *drawing) wire(a, b End) { d.Wires = append(d.Wires, Wire{a, b, d.mtu}) }

// edges joins every gateway to the underlay: those that share an address behind one box, those behind NAT each behind its own.
func (d *drawing) edges() {
	shared := map[string][]*intent.Gateway{}
	for _, g := range d.in.Gateways() {
		if !g.Endpoint.IsZero() {
			shared[g.Endpoint.Host] = append(shared[g.Endpoint.Host], g)
		}
	}
	done := map[*intent.Gateway]bool{}
	for _, g := range d.in.Gateways() {
		group := shared[g.Endpoint.Host]
		if g.Endpoint.IsZero() {
			group = []*intent.Gateway{g}
		}
		switch {
		case done[g]:
		case g.NAT || len(group) > 1 || translated(g):
			d.box(group)
		default:
			d.direct(g)
		}
		for _, member := range group {
			done[member] = true
		}
	}
}

// translated reports whether a gateway is known to the world by another port than it listens on.
func translated(g *intent.Gateway) bool { return !g.Endpoint.IsZero() && g.Endpoint.Port != g.Port }

// direct gives a gateway a wire to the core.
func (d *drawing) direct(g *intent.Gateway) {
	iface, outer := d.uplink(d.Space(g.Name), g)
	d.Edges = append(d.Edges, Edge{g.Name, g.Place.Name, CoreSpace, iface, iface, outer})
}

// box puts gateways behind a machine that translates their addresses to one that they share.
func (d *drawing) box(group []*intent.Gateway) {
	box := &Space{Name: boxOf(group[0].Name), Kind: NAT, Place: group[0].Place.Name}
	d.Spaces = append(d.Spaces, box)
	core, outer := d.uplink(box, group[0])
	for i, g := range group {
		iface := fmt.Sprintf("in%d", i+1)
		ours, theirs := d.pool.both()
		d.wire(
			End{Space: box.Name, Interface: iface, Link: ours},
			End{Space: g.Name, Interface: Uplink, Link: theirs})
		gateway := d.Space(g.Name)
		for _, a := range theirs {
			gateway.Routes = append(gateway.Routes, Route{Prefix: anywhere(a), Interface: Uplink})
		}
		box.Forward = append(box.Forward, Forward{Interface: iface, Outer: outer, Inner: theirs, Ports: d.dialled(g.Name)})
		d.Edges = append(d.Edges, Edge{g.Name, g.Place.Name, box.Name, iface, core, outer})
	}
}

// dialled returns the ports of a gateway that others dial: one, or with BGP one for each tunnel. The two ends of a tunnel call its device alike.
func (d *drawing) dialled(gateway string) (out []Ports) {
	own := d.plan.Gateway(gateway)
	if own == nil {
		return nil
	}
	for _, g := range d.plan.Gateways {
		for _, device := range g.Devices {
			at := slices.IndexFunc(device.Peers, func(p *plan.Peer) bool { return p.Gateway == gateway && !p.Endpoint.IsZero() })
			if end := own.Device(device.Name); at >= 0 && end != nil {
				out = append(out, Ports{device.Peers[at].Endpoint.Port, end.ListenPort})
			}
		}
	}
	slices.SortFunc(out, func(a, b Ports) int { return int(a.Outer) - int(b.Outer) })
	return slices.Compact(out)
}

// uplink wires a space to the core and returns the core's interface and the addresses that the world knows the space by, one per
// family: its endpoint, and the lab's own where it has none. A DNS name gets IPv6, since that is what its links' MTU was
// computed for.
func (d *drawing) uplink(s *Space, g *intent.Gateway) (iface string, outer []netip.Addr) {
	core := d.Space(CoreSpace)
	iface = fmt.Sprintf("u%d", len(core.Rules)+1)
	ours, theirs := d.pool.both()
	outer = slices.Clone(theirs)
	end := End{Space: s.Name, Interface: Uplink, Link: theirs}
	if addr, ok := g.Endpoint.Addr(); ok {
		outer[slices.IndexFunc(outer, func(a netip.Addr) bool { return family(a, addr) })] = addr
		end.Own = []netip.Addr{addr}
		core.Routes = append(core.Routes, Route{Prefix: netip.PrefixFrom(addr, addr.BitLen()), Interface: iface})
	}
	d.wire(End{Space: CoreSpace, Interface: iface, Link: ours}, end)
	for _, a := range outer {
		s.Routes = append(s.Routes, Route{Prefix: anywhere(a), Interface: Uplink, Source: a})
	}
	table := firstTable + slices.Index(d.in.Places, g.Place)
	core.Rules = append(core.Rules, Rule{iface, table})
	return iface, outer
}

// routers fills the route tables of places from the plan.
func (d *drawing) routers() {
	for _, place := range d.plan.Places {
		router := d.Space(RouterOf(place.Name))
		for _, r := range place.Routes {
			i := slices.IndexFunc(d.Wires, func(w Wire) bool {
				return router != nil && w.A.Space == router.Name && w.B.Space == r.Gateway
			})
			if i < 0 {
				continue // a route to a gateway that is not there leads nowhere
			}
			for _, prefix := range r.Prefixes {
				router.Routes = append(router.Routes, Route{Prefix: prefix, Interface: d.Wires[i].A.Interface})
			}
		}
	}
}

// names tells every gateway the addresses of the DNS names that fabrics use.
func (d *drawing) names() {
	var all []Name
	for _, g := range d.in.Gateways() {
		if _, literal := g.Endpoint.Addr(); g.Endpoint.IsZero() || literal {
			continue
		}
		like := netip.IPv6Unspecified()
		name := Name{InFamily(d.Edge(g.Name).Outer, like), g.Endpoint.Host}
		if !slices.Contains(all, name) {
			all = append(all, name)
		}
	}
	for _, s := range d.Of(Gateway) {
		s.Hosts = all
	}
}

// like returns a pair of the family of an address.
func (p *pool) like(addr netip.Addr) (a, b []netip.Addr) {
	pair := p.pair6
	if addr.Is4() {
		pair = p.pair4
	}
	one, two := pair()
	return []netip.Addr{one}, []netip.Addr{two}
}

// anywhere is the default route of a family.
func anywhere(like netip.Addr) netip.Prefix {
	if like.Is4() {
		return netip.PrefixFrom(netip.IPv4Unspecified(), 0)
	}
	return netip.PrefixFrom(netip.IPv6Unspecified(), 0)
}
