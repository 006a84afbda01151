package verify

import (
	"net/netip"

	"ropeway/internal/diag"
	"ropeway/internal/plan"
)

// A place is one of the plan's, with names resolved.
type place struct {
	*plan.Place
	own      listID
	routes   []listID // by number in plan.Place.Routes
	via      []int32  // by the same: the gateway, or nobody
	gateways []int32
}

// nobody stands for a gateway, place, device or peer that there is none of.
const nobody int32 = -1

// A gateway is one of the plan's, with names resolved.
type gateway struct {
	*plan.Gateway
	place   int32
	down    bool
	own     listID // what its place owns: the machine has routes for that without Ropeway
	devices []int32
	routes  []listID // by number in plan.Gateway.Routes
	groups  []group  // by the same
	added   []words  // names in groups that updates added after those of the plan
	filter  int32    // number of its filter
}

// A group is a route group without its prefixes.
type group struct {
	device int32  // nobody where the gateway has no such device
	peer   uint16 // 1 + number of the peer that was meant; 0 where the device has no such peer
	mtu    uint16 // of the route, and not more than the device's
}

// A device is one WireGuard interface.
type device struct {
	*plan.Device
	gateway  int32
	allowed  []listID  // by number of peer
	sessions []session // by number of peer
	toward   []uint16  // by gateway: 1 + number of the peer that names it; 0 where none does
}

// most is how many peers and route groups one gateway can have here. WireGuard's own limit is 2^16 peers per device.
const most = 1<<16 - 3

// index resolves every name of a plan.
func (m *Model) index() {
	for _, p := range m.plan.Places {
		if p == nil {
			continue
		}
		if _, again := m.placeNumbers[p.Name]; again {
			m.structural(nameProblem("place", p.Name, "the plan has another place of this name"))
		}
		m.placeNumbers[p.Name] = int32(len(m.places))
		m.places = append(m.places, place{Place: p})
	}
	for _, g := range m.plan.Gateways {
		if g == nil {
			continue
		}
		n := int32(len(m.gateways))
		if _, again := m.numbers[g.Name]; again {
			m.structural(nameProblem("gateway", g.Name, "the plan has another gateway of this name"))
		} else {
			m.numbers[g.Name] = n
		}
		at := m.placeOf(g.Place)
		if at == nobody {
			m.structural(nameProblem("gateway", g.Name, "its place "+diag.Quote(g.Place)+" is not in the plan"))
		}
		m.gateways = append(m.gateways, gateway{Gateway: g, place: at, down: m.facts.down[g.Name]})
		if at != nobody {
			m.places[at].gateways = append(m.places[at].gateways, n)
		}
	}
	for i := range m.places {
		m.indexPlace(&m.places[i], int32(i))
	}
	for i := range m.gateways {
		m.indexDevices(int32(i))
	}
	for i := range m.gateways {
		m.indexRoutes(&m.gateways[i])
	}
}

func (m *Model) placeOf(name string) int32 {
	if n, known := m.placeNumbers[name]; known {
		return n
	}
	return nobody
}

func (m *Model) indexPlace(p *place, number int32) {
	p.own = m.routing(p.Prefixes, forOwn)
	p.routes, p.via = make([]listID, 0, len(p.Routes)), make([]int32, 0, len(p.Routes))
	for _, r := range p.Routes {
		if r == nil {
			p.routes, p.via = append(p.routes, 0), append(p.via, nobody)
			continue
		}
		via, known := m.numbers[r.Gateway]
		if !known || m.gateways[via].place != number {
			via = nobody
			m.structural(routerProblem(p.Place, r.Gateway))
		}
		p.routes = append(p.routes, m.routing(r.Prefixes, forEntry))
		p.via = append(p.via, via)
	}
}

func (m *Model) indexDevices(number int32) {
	g := &m.gateways[number]
	if g.place != nobody {
		g.own = m.places[g.place].own
	}
	for i := range g.Devices {
		d := &g.Devices[i]
		if len(d.Peers) > most {
			m.structural(tooLarge(g.Gateway, "peers", len(d.Peers)))
		}
		peers := d.Peers[:min(len(d.Peers), most)]
		x := device{Device: d, gateway: number, allowed: make([]listID, len(peers)), toward: make([]uint16, len(m.gateways))}
		guess := int32(0)
		for k, p := range peers {
			if p == nil {
				continue
			}
			x.allowed[k] = m.routing(p.AllowedIPs, forKeys)
			m.rules += len(m.pool.lists[x.allowed[k]])
			if guess = m.named(p.Gateway, guess+1); guess != nobody && x.toward[guess] == 0 {
				x.toward[guess] = uint16(k + 1)
			}
		}
		g.devices = append(g.devices, int32(len(m.devices)))
		m.devices = append(m.devices, x)
	}
}

// named returns the gateway of a name. Lists in a plan are sorted, so the one after the last is tried first.
func (m *Model) named(name string, guess int32) int32 {
	if guess >= 0 && int(guess) < len(m.gateways) && m.gateways[guess].Name == name {
		return guess
	}
	if n, known := m.numbers[name]; known {
		return n
	}
	return nobody
}

func (m *Model) indexRoutes(g *gateway) {
	if len(g.Routes) > most {
		m.structural(tooLarge(g.Gateway, "route groups", len(g.Routes)))
	}
	routes := g.Routes[:min(len(g.Routes), most)]
	g.routes = make([]listID, len(routes))
	g.groups = make([]group, len(routes))
	guess := int32(0)
	for i, r := range routes {
		if r == nil {
			g.groups[i].device = nobody
			continue
		}
		g.routes[i] = m.routing(r.Prefixes, forRoutes)
		m.rules += len(m.pool.lists[g.routes[i]])
		guess = m.named(r.Peer, guess+1)
		g.groups[i] = m.group(g, r.Device, guess, r.MTU)
	}
	m.rules += len(g.Firewall.Rules)
}

// group resolves what a route names. An MTU above the device's is the device's.
func (m *Model) group(g *gateway, deviceName string, peer int32, mtu int) group {
	out := group{device: nobody, mtu: uint16(max(0, min(mtu, 65535)))}
	for _, d := range g.devices {
		if x := &m.devices[d]; x.Name == deviceName {
			out.device = d
			out.mtu = min(out.mtu, uint16(max(0, min(x.MTU, 65535))))
			if peer != nobody {
				out.peer = x.toward[peer]
			}
			break
		}
	}
	return out
}

// A use is what a list of prefixes is for, as a bit.
type use uint8

const (
	forRoutes use = 1 << iota // a route group's
	forKeys                   // a peer's AllowedIPs
	forEntry                  // a router's route
	forOwn                    // what a place owns
)

// routing numbers a list that decides where packets go.
func (m *Model) routing(l []netip.Prefix, u use) listID {
	id := m.pool.list(l)
	for int(id) >= len(m.uses) {
		m.uses = append(m.uses, 0)
	}
	m.uses[id] |= u
	return id
}

// routes reports whether a list decides where packets go.
func (m *Model) routes(id listID) bool { return int(id) < len(m.uses) && m.uses[id] != 0 }
