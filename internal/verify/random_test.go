package verify

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"ropeway/internal/fabric"
	"ropeway/internal/intent"
	"ropeway/internal/key"
	"ropeway/internal/plan"
	"ropeway/internal/prefixes"
)

// randomFabric makes a small fabric of any topology, with segments that cut places' prefixes, both families, and random access and tests.
func randomFabric(r *rand.Rand) *intent.Fabric {
	in := &intent.Fabric{Name: "random", Pools: intent.Pools{
		Links4: netip.MustParsePrefix("100.64.0.0/16"), Links6: netip.MustParsePrefix("fd00:1::/64"),
	}}
	in.Topology = pick(r, []fabric.TopologyMode{fabric.Mesh, fabric.HubAndSpoke, fabric.Hybrid})
	n := 2 + r.IntN(4)
	for i := range n {
		in.Places = append(in.Places, randomPlace(r, i))
	}
	if in.Topology != fabric.Mesh {
		hubs := 1 + r.IntN(min(2, n-1))
		for i, p := range in.Places {
			if i < hubs {
				p.Hub = true
			} else {
				p.Hubs, p.Ranked = slices.Clone(in.Places[:hubs]), r.IntN(2) == 0
			}
		}
	}
	var owned []netip.Prefix
	for _, p := range in.Places {
		for _, q := range p.Prefixes {
			owned = append(owned, q)
			if r.IntN(2) == 0 {
				low, high := split(q)
				owned = append(owned, low, high)
			}
		}
	}
	for range 1 + r.IntN(4) {
		a := intent.Access{From: randomSelector(r, owned), To: randomSelector(r, owned)}
		for range r.IntN(3) {
			a.Services = append(a.Services, randomService(r))
		}
		in.Access = append(in.Access, a)
	}
	for range r.IntN(4) {
		t := intent.Test{From: randomSelector(r, owned), To: randomSelector(r, owned), Expect: pick(r, []intent.Expectation{intent.Reachable, intent.Denied})}
		if r.IntN(2) == 0 {
			s := randomService(r)
			t.Service = &s
		}
		if t.Expect == intent.Reachable {
			t.Symmetric = r.IntN(2) == 0
			t.MTU = pick(r, []int{0, 1280, 1420, 1440})
		}
		in.Tests = append(in.Tests, t)
	}
	return in
}

func randomPlace(r *rand.Rand, i int) *intent.Place {
	p := &intent.Place{Name: fmt.Sprintf("p%d", i), Kind: fabric.Region, UnderlayMTU: pick(r, []int{1500, 1500, 1480, 1400, 9001})}
	p.Prefixes = append(p.Prefixes, netip.MustParsePrefix(fmt.Sprintf("10.%d.0.0/%d", i, pick(r, []int{16, 20, 24}))))
	if r.IntN(3) == 0 {
		p.Prefixes = append(p.Prefixes, netip.MustParsePrefix(fmt.Sprintf("2001:db8:%d::/48", i)))
	}
	if r.IntN(3) == 0 {
		p.Prefixes = append(p.Prefixes, netip.MustParsePrefix(fmt.Sprintf("172.16.%d.0/24", i)))
	}
	for k := range 1 + r.IntN(2) {
		g := &intent.Gateway{Name: fmt.Sprintf("p%d-%c", i, 'a'+k), Place: p, Port: pick(r, []uint16{51820, 4500})}
		if i == 0 || r.IntN(4) > 0 {
			g.Endpoint = fabric.Endpoint{Host: fmt.Sprintf("198.18.%d.%d", i, k), Port: g.Port}
			if r.IntN(5) == 0 {
				g.Endpoint.Host = fmt.Sprintf("g%d-%d.example.net", i, k)
			}
		} else {
			g.NAT = true
		}
		p.Gateways = append(p.Gateways, g)
	}
	return p
}

func pick[T any](r *rand.Rand, list []T) T { return list[r.IntN(len(list))] }

func split(p netip.Prefix) (low, high netip.Prefix) {
	parts := prefixes.Subtract([]netip.Prefix{p}, []netip.Prefix{netip.PrefixFrom(p.Addr(), p.Bits()+1)})
	return netip.PrefixFrom(p.Addr(), p.Bits()+1), parts[0]
}

func randomSelector(r *rand.Rand, owned []netip.Prefix) intent.Selector {
	var list []netip.Prefix
	if r.IntN(4) == 0 {
		list = owned
	}
	for range 1 + r.IntN(3) {
		list = append(slices.Clone(list), pick(r, owned))
	}
	return intent.Selector{Text: "random", Prefixes: prefixes.Normal(list)}
}

func randomService(r *rand.Rand) fabric.Service {
	return pick(r, []fabric.Service{
		{Protocol: fabric.ICMP}, {Protocol: fabric.TCP, First: 443, Last: 443}, {Protocol: fabric.TCP, First: 8000, Last: 8100},
		{Protocol: fabric.UDP, First: 53, Last: 53}, {Protocol: fabric.UDP, First: 1, Last: 65535}, {Protocol: fabric.UDP, First: 32768, Last: 40000},
		{Protocol: fabric.UDP, First: 40001, Last: 60999},
	})
}

// clone copies a plan so that nothing is shared.
func clone(t testing.TB, p *plan.Fabric) *plan.Fabric {
	t.Helper()
	data, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	out := new(plan.Fabric)
	if err := json.Unmarshal(data, out); err != nil {
		t.Fatal(err)
	}
	return out
}

// damage changes a plan in one of the ways in which a compiler, a person or a half-finished rollout might.
func damage(r *rand.Rand, p *plan.Fabric) {
	g := pick(r, p.Gateways)
	if len(g.Devices) == 0 {
		return
	}
	d := &g.Devices[0]
	place := pick(r, p.Places)
	switch r.IntN(33) {
	case 0, 1:
		if route := anyRoute(r, g); route != nil {
			route.Prefixes = without(r, route.Prefixes)
		}
	case 2:
		if a, b := anyRoute(r, g), anyRoute(r, g); a != nil && len(a.Prefixes) > 0 {
			b.Prefixes = append(slices.Clone(b.Prefixes), pick(r, a.Prefixes))
		}
	case 3:
		if route := anyRoute(r, g); route != nil && len(route.Prefixes) > 0 {
			low, _ := split(wide(pick(r, route.Prefixes)))
			route.Prefixes = append(slices.Clone(route.Prefixes), low, netip.MustParsePrefix("10.0.0.0/8"))
		}
	case 4, 5:
		if q := anyPeer(r, d); q != nil {
			q.AllowedIPs = without(r, q.AllowedIPs)
		}
	case 6, 7:
		if a, b := anyPeer(r, d), anyPeer(r, d); a != nil && len(a.AllowedIPs) > 0 {
			x := pick(r, a.AllowedIPs)
			if r.IntN(2) == 0 {
				x, _ = split(wide(x))
			}
			b.AllowedIPs = append(slices.Clone(b.AllowedIPs), x)
		}
	case 8:
		if n := len(g.Firewall.Rules); n > 0 {
			i := r.IntN(n)
			g.Firewall.Rules = slices.Delete(slices.Clone(g.Firewall.Rules), i, i+1)
		}
	case 9:
		if n := len(g.Firewall.Rules); n > 0 {
			g.Firewall.Rules[r.IntN(n)].Direction = pick(r, []plan.Direction{plan.In, plan.Out, plan.Transit})
		}
	case 10:
		if n := len(g.Firewall.Rules); n > 0 {
			x := &g.Firewall.Rules[r.IntN(n)]
			x.Services = []fabric.Service{randomService(r)}
		}
	case 11:
		if n := len(d.Peers); n > 0 {
			i := r.IntN(n)
			d.Peers = slices.Delete(d.Peers, i, i+1)
		}
	case 12:
		if q := anyPeer(r, d); q != nil {
			q.Endpoint = fabric.Endpoint{}
		}
	case 13:
		if q := anyPeer(r, d); q != nil && !q.Endpoint.IsZero() {
			q.Endpoint.Port++
		}
	case 14:
		if q := anyPeer(r, d); q != nil {
			q.PublicKey = key.PublicFromBytes([32]byte{byte(1 + r.IntN(3))})
		}
		d.PublicKey = key.PublicFromBytes([32]byte{byte(1 + r.IntN(3))})
	case 15:
		if n := len(place.Routes); n > 0 {
			place.Routes[r.IntN(n)].Gateway = pick(r, p.Gateways).Name
		}
	case 16:
		if n := len(place.Routes); n > 0 {
			x := place.Routes[r.IntN(n)]
			x.Prefixes = without(r, x.Prefixes)
		}
	case 17:
		if q, route := anyPeer(r, d), anyRoute(r, g); q != nil && route != nil {
			q.MTU, route.MTU = pick(r, []int{1280, 1440, 8941}), pick(r, []int{1280, 1440, 8941})
		}
	case 18:
		if r.IntN(2) == 0 {
			g.Firewall.Answers = [][]plan.Direction{nil, {plan.Out}, {plan.In, plan.Transit}}[r.IntN(3)]
			break
		}
		g.Firewall.Own = append(slices.Clone(g.Firewall.Own), pick(r, p.Places).Prefixes[0])
	case 19:
		if r.IntN(2) == 0 {
			place.Prefixes = append(slices.Clone(place.Prefixes), pick(r, p.Places).Prefixes[0])
		} else if route := anyRoute(r, g); route != nil {
			route.Device = "rw9"
		}
	case 20, 21, 22:
		x := pick(r, place.Prefixes)
		for range 1 + r.IntN(4) {
			reroute(r, p, pick(r, p.Gateways), x)
		}
	case 23, 24:
		for range 1 + r.IntN(3) {
			open(pick(r, p.Gateways))
		}
	case 25:
		for _, g := range p.Gateways {
			open(g)
		}
	case 26:
		x := pick(r, place.Prefixes)
		for _, g := range p.Gateways {
			open(g)
			if g.Place != place.Name {
				reroute(r, p, g, x)
			}
		}
	case 31, 32:
		secondDevice(p, g)
	case 27, 28, 29, 30:
		for range 4 {
			sideways(p, place, pick(r, p.Places))
		}
	}
}

// secondDevice moves the last peer of a gateway to a device of its own, on another port.
func secondDevice(p *plan.Fabric, g *plan.Gateway) {
	d := &g.Devices[0]
	if len(g.Devices) > 1 || len(d.Peers) < 2 {
		return
	}
	last := len(d.Peers) - 1
	moved := d.Peers[last]
	d.Peers = d.Peers[:last]
	g.Devices = append(g.Devices, plan.Device{Name: "rw1", ListenPort: 6000, MTU: d.MTU - 16, Addresses: d.Addresses, Peers: []*plan.Peer{moved}})
	for _, x := range g.Routes {
		if x.Peer == moved.Gateway {
			x.Device = "rw1"
		}
	}
	if far := p.Gateway(moved.Gateway); far != nil {
		for _, d := range far.Devices {
			for _, q := range d.Peers {
				if q.Gateway == g.Name && !q.Endpoint.IsZero() {
					q.Endpoint.Port = 6000
				}
			}
		}
	}
}

// sideways leads the packets from one place to another over other gateways than those from there to here.
func sideways(p *plan.Fabric, a, b *plan.Place) {
	var gw [2][]*plan.Gateway
	for _, g := range p.Gateways {
		for i, place := range []*plan.Place{a, b} {
			if g.Place == place.Name {
				gw[i] = append(gw[i], g)
			}
		}
	}
	if a == b || len(gw[0]) < 2 || len(gw[1]) < 2 {
		return
	}
	for i := range 2 { // the second gateways of both are made to do what the first do
		here, there, other := gw[i][1], gw[1-i][1], []*plan.Place{b, a}[i]
		open(here)
		for _, q := range here.Devices[0].Peers {
			for _, x := range other.Prefixes {
				q.AllowedIPs = slices.DeleteFunc(slices.Clone(q.AllowedIPs), func(y netip.Prefix) bool { return y == x })
			}
			if q.Gateway == there.Name {
				q.AllowedIPs = append(q.AllowedIPs, other.Prefixes...)
				here.Routes = append(here.Routes, &plan.Route{Device: here.Devices[0].Name, Peer: q.Gateway, MTU: q.MTU, Prefixes: other.Prefixes})
			}
		}
	}
	for i, place := range []*plan.Place{a, b} {
		other := []*plan.Place{b, a}[i]
		for _, route := range place.Routes {
			route.Prefixes = slices.DeleteFunc(slices.Clone(route.Prefixes), func(y netip.Prefix) bool { return slices.Contains(other.Prefixes, y) })
		}
		place.Routes = append(place.Routes, &plan.RouterRoute{Gateway: gw[i][1-i].Name, Prefixes: other.Prefixes})
	}
	open(gw[0][0])
	open(gw[1][0])
}

// reroute sends a prefix to another peer, in the routes and in AllowedIPs, and lets that peer's gateway take any source from here.
func reroute(r *rand.Rand, p *plan.Fabric, g *plan.Gateway, x netip.Prefix) {
	q := anyPeer(r, &g.Devices[0])
	if q == nil {
		return
	}
	drop := func(list []netip.Prefix) []netip.Prefix {
		return slices.DeleteFunc(slices.Clone(list), func(y netip.Prefix) bool { return y == x })
	}
	for _, route := range g.Routes {
		route.Prefixes = drop(route.Prefixes)
	}
	for _, other := range g.Devices[0].Peers {
		other.AllowedIPs = drop(other.AllowedIPs)
	}
	q.AllowedIPs = append(slices.Clone(q.AllowedIPs), x)
	g.Routes = append(g.Routes, &plan.Route{Device: g.Devices[0].Name, Peer: q.Gateway, MTU: q.MTU, Prefixes: []netip.Prefix{x}})
	far := p.Gateway(q.Gateway)
	if far == nil || r.IntN(3) == 0 {
		return
	}
	for _, back := range far.Devices[0].Peers {
		for _, place := range p.Places {
			if back.Gateway == g.Name && r.IntN(2) == 0 {
				back.AllowedIPs = append(slices.Clone(back.AllowedIPs), place.Prefixes...)
			}
		}
	}
}

// open lets a gateway pass everything.
func open(g *plan.Gateway) {
	everything := []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")}
	for _, d := range []plan.Direction{plan.In, plan.Out, plan.Transit} {
		g.Firewall.Rules = append(g.Firewall.Rules, plan.Rule{ID: 1, Direction: d, From: everything, To: everything})
	}
}

// wide returns a prefix that can be split.
func wide(p netip.Prefix) netip.Prefix {
	if p.Bits() == p.Addr().BitLen() {
		return netip.PrefixFrom(p.Addr(), p.Bits()-1).Masked()
	}
	return p
}

func anyRoute(r *rand.Rand, g *plan.Gateway) *plan.Route {
	if len(g.Routes) == 0 {
		return nil
	}
	return pick(r, g.Routes)
}

func anyPeer(r *rand.Rand, d *plan.Device) *plan.Peer {
	if len(d.Peers) == 0 {
		return nil
	}
	return pick(r, d.Peers)
}

func without(r *rand.Rand, list []netip.Prefix) []netip.Prefix {
	if len(list) == 0 {
		return list
	}
	i := r.IntN(len(list))
	return slices.Delete(slices.Clone(list), i, i+1)
}

// randomFacts are mostly none.
func randomFacts(r *rand.Rand, p *plan.Fabric) (f Facts) {
	for range r.IntN(3) {
		a, b := pick(r, p.Gateways), pick(r, p.Gateways)
		switch r.IntN(6) {
		case 0:
			f.Down = append(f.Down, a.Name)
		case 1:
			f.Cut = append(f.Cut, Link{a.Name, b.Name})
		case 2:
			f.Cut = append(f.Cut, Link{a.Place, b.Place})
		case 3:
			f.Underlay = append(f.Underlay, Underlay{A: a.Place, MTU: 1300 + r.IntN(300)})
		case 4:
			f.Underlay = append(f.Underlay, Underlay{A: a.Place, B: b.Place, MTU: 1300 + r.IntN(300)})
		case 5:
			f.NoICMP = true
		}
	}
	return f
}
