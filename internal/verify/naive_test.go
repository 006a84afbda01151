package verify

import (
	"net/netip"
	"slices"

	"ropeway/internal/fabric"
	"ropeway/internal/intent"
	"ropeway/internal/plan"
	"ropeway/internal/prefixes"
)

// naive walks one packet through a plan without anything that the proof is made of: no atoms, no rows, no classes, no numbers; names,
// loops and linear searches only. It is slow and short, and written from the plan's comments.
type naive struct {
	plan  *plan.Fabric
	facts Facts
}

// A naiveWay is what became of a packet.
type naiveWay struct {
	path     []string
	reason   Reason // "" where it arrived
	at       string
	mtu      int
	first    int // MTU that the first gateway announces
	accepted []string
}

func (n naive) owner(a netip.Addr) *plan.Place {
	var best *plan.Place
	length := -1
	for _, p := range n.plan.Places {
		for _, q := range p.Prefixes {
			if q.Contains(a) && q.Bits() > length {
				best, length = p, q.Bits()
			}
		}
	}
	return best
}

// meet reports whether a packet can go from one address to another and cross the fabric.
func (n naive) meet(src, dst netip.Addr) bool {
	return src.Is4() == dst.Is4() && n.owner(src) != n.owner(dst)
}

// longest returns the length of the longest prefix that holds an address, or -1.
func longest(list []netip.Prefix, a netip.Addr) int {
	best := -1
	for _, p := range list {
		if p.Contains(a) {
			best = max(best, p.Bits())
		}
	}
	return best
}

// peer returns the peer of a device to which an address belongs.
func (naive) peer(d *plan.Device, a netip.Addr) *plan.Peer {
	var best *plan.Peer
	length := -1
	for _, p := range d.Peers {
		if l := longest(p.AllowedIPs, a); l >= 0 && l >= length {
			best, length = p, l
		}
	}
	return best
}

// walk follows a packet. seen names the gateways that saw the request where the packet is an answer; nil where it is not.
func (n naive) walk(src, dst netip.Addr, service fabric.Service, seen []string, answer bool) (w naiveWay) {
	from := n.owner(src)
	if from == nil || n.owner(dst) == nil {
		w.reason = NoOwner
		return w
	}
	router := "router " + from.Name
	name, length := "", -1
	for _, r := range from.Routes {
		if l := longest(r.Prefixes, dst); l >= 0 && l >= length {
			name, length = r.Gateway, l
		}
	}
	if length < 0 || longest(from.Prefixes, dst) >= length {
		w.reason, w.at = NoRoute, router
		return w
	}
	g := n.plan.Gateway(name)
	if g == nil || g.Place != from.Name {
		w.reason, w.at = NoRoute, router
		return w
	}
	if slices.Contains(n.facts.Down, name) {
		w.reason, w.at = GatewayDown, name
		return w
	}
	var inDevice *plan.Device
	for {
		w.path = append(w.path, g.Name)
		if slices.Contains(w.path[:len(w.path)-1], g.Name) {
			return w.die(Loop, g.Name)
		}
		if inDevice != nil {
			sender := w.path[len(w.path)-2]
			if p := n.peer(inDevice, src); p == nil || p.Gateway != sender {
				return w.die(SourceCheck, g.Name)
			}
		}
		var route *plan.Route
		length := -1
		for _, r := range g.Routes {
			if l := longest(r.Prefixes, dst); l >= 0 && l >= length {
				route, length = r, l
			}
		}
		var own []netip.Prefix
		for _, p := range n.plan.Places {
			if p.Name == g.Place {
				own = p.Prefixes
			}
		}
		if l := longest(own, dst); l >= 0 && l >= length {
			if inDevice == nil {
				return w.die(Loop, g.Name)
			}
			if !n.accepts(&w, g, plan.In, src, dst, service, seen, answer) {
				return w.die(Filtered, g.Name)
			}
			for _, r := range n.owner(dst).Routes {
				if longest(r.Prefixes, dst) > l {
					return w.die(NoRoute, g.Name) // the router sends it away again
				}
			}
			if n.owner(dst).Name != g.Place {
				return w.die(NoRoute, g.Name)
			}
			return w
		}
		if route == nil {
			return w.die(NoRoute, g.Name)
		}
		direction := plan.Transit
		if inDevice == nil {
			direction = plan.Out
		}
		if !n.accepts(&w, g, direction, src, dst, service, seen, answer) {
			return w.die(Filtered, g.Name)
		}
		d := g.Device(route.Device)
		if d == nil {
			return w.die(NoPeer, g.Name)
		}
		p := n.peer(d, dst)
		if p == nil {
			return w.die(NoPeer, g.Name)
		}
		far, back := n.session(g, d, p)
		if far == nil {
			return w.die(NoSession, g.Name)
		}
		mtu := min(route.MTU, d.MTU)
		if len(w.path) == 1 {
			w.first, w.mtu = mtu, mtu
		}
		w.mtu = min(w.mtu, mtu, n.fits(g, d, far, p))
		g, inDevice = far, back
	}
}

func (w naiveWay) die(why Reason, at string) naiveWay {
	w.reason, w.at = why, at
	return w
}

// fits tries every size, from the largest.
func (n naive) fits(g *plan.Gateway, d *plan.Device, far *plan.Gateway, p *plan.Peer) int {
	real := p.Underlay
	atA, atB, path := 0, 0, 0
	for _, u := range n.facts.Underlay {
		least := func(x *int) {
			if *x == 0 || u.MTU < *x {
				*x = u.MTU
			}
		}
		switch {
		case u.B != "" && (u.A == g.Place && u.B == far.Place || u.A == far.Place && u.B == g.Place):
			least(&path)
		case u.B == "" && u.A == g.Place:
			least(&atA)
		}
		if u.B == "" && u.A == far.Place {
			least(&atB)
		}
	}
	switch {
	case path != 0:
		real = path
	case atA != 0 && atB != 0:
		real = min(atA, atB)
	case atA+atB != 0:
		real = min(real, atA+atB)
	}
	for size := d.MTU; size > 0; size-- {
		padded := min((size+15)/16*16, d.MTU)
		if padded+p.Overhead <= real {
			return size
		}
	}
	return 0
}

// session returns the gateway and device at the other end of a peer. Generated plans have one device per gateway.
func (n naive) session(g *plan.Gateway, d *plan.Device, p *plan.Peer) (*plan.Gateway, *plan.Device) {
	far := n.plan.Gateway(p.Gateway)
	if far == nil || far == g || slices.Contains(n.facts.Down, far.Name) {
		return nil, nil
	}
	for _, c := range n.facts.Cut {
		for _, l := range []Link{c, {c.B, c.A}} {
			if l == (Link{g.Name, far.Name}) || l == (Link{g.Place, far.Place}) && g.Place != far.Place {
				return nil, nil
			}
		}
	}
	for i := range far.Devices {
		y := &far.Devices[i]
		for _, q := range y.Peers {
			if q.Gateway != g.Name {
				continue
			}
			wrong := !p.PublicKey.IsZero() && !y.PublicKey.IsZero() && p.PublicKey != y.PublicKey ||
				!q.PublicKey.IsZero() && !d.PublicKey.IsZero() && q.PublicKey != d.PublicKey ||
				!p.PublicKey.IsZero() && p.PublicKey == d.PublicKey || !q.PublicKey.IsZero() && q.PublicKey == y.PublicKey
			reach := !p.Endpoint.IsZero() && p.Endpoint.Port == y.ListenPort || !q.Endpoint.IsZero() && q.Endpoint.Port == d.ListenPort
			if !wrong && reach && !shadowed(d, p) && !shadowed(y, q) {
				return far, y
			}
		}
	}
	return nil, nil
}

// shadowed reports whether an earlier peer of the device has the same key.
func shadowed(d *plan.Device, p *plan.Peer) bool {
	for _, q := range d.Peers {
		if q == p {
			return false
		}
		if !p.PublicKey.IsZero() && q.PublicKey == p.PublicKey {
			return true
		}
	}
	return false
}

func (n naive) accepts(w *naiveWay, g *plan.Gateway, dir plan.Direction, src, dst netip.Addr, s fabric.Service, seen []string, answer bool) bool {
	f := &g.Firewall
	if dir == plan.In && longest(f.Own, src) >= 0 && longest(f.Fabric, dst) >= 0 && longest(f.Own, dst) < 0 {
		return false
	}
	if answer {
		if slices.Contains(seen, g.Name) {
			return true
		}
		if s.Protocol == fabric.TCP || s.Protocol == fabric.ICMP {
			asked := map[plan.Direction]plan.Direction{plan.In: plan.Out, plan.Out: plan.In, plan.Transit: plan.Transit}[dir]
			return slices.Contains(f.Answers, asked) && rulesAccept(f, asked, dst, src, s)
		}
		if s.Protocol == fabric.UDP { // to any port that a system may have chosen
			ports := []int{32768} // and wherever a rule begins to say something else
			for _, r := range f.Rules {
				for _, x := range r.Services {
					ports = append(ports, int(x.First), int(x.Last)+1)
				}
			}
			for _, port := range ports {
				if port >= 32768 && port <= 60999 && !rulesAccept(f, dir, src, dst, fabric.Service{Protocol: fabric.UDP, First: uint16(port), Last: uint16(port)}) {
					return false
				}
			}
			return true
		}
	}
	if !rulesAccept(f, dir, src, dst, s) {
		return false
	}
	w.accepted = append(w.accepted, g.Name)
	return true
}

func rulesAccept(f *plan.Firewall, dir plan.Direction, src, dst netip.Addr, s fabric.Service) bool {
	for _, r := range f.Rules {
		if r.Direction == dir && longest(r.From, src) >= 0 && longest(r.To, dst) >= 0 && named(r.Services, s) {
			return true
		}
	}
	return false
}

func named(list []fabric.Service, s fabric.Service) bool {
	if len(list) == 0 {
		return true
	}
	for _, x := range list {
		if s.Protocol != "" && x.Contains(s) {
			return true
		}
	}
	return false
}

// A naivePair is what became of a request and its answer.
type naivePair struct{ forward, back naiveWay }

func (p naivePair) arrives() bool { return p.forward.reason == "" }
func (p naivePair) both() bool    { return p.forward.reason == "" && p.back.reason == "" }

func (p naivePair) symmetric() bool {
	a, b := slices.Sorted(slices.Values(p.forward.path)), slices.Sorted(slices.Values(p.back.path))
	return slices.Equal(a, b)
}

func (n naive) pair(src, dst netip.Addr, s fabric.Service) naivePair {
	forward := n.walk(src, dst, s, nil, false)
	return naivePair{forward, n.walk(dst, src, s, forward.accepted, true)}
}

// addresses returns one address of every piece that no prefix in plan or specification cuts, of those that the plan's places own.
func (n naive) addresses(in *intent.Fabric) []netip.Addr {
	var all []netip.Prefix
	for _, p := range n.plan.Places {
		all = append(all, p.Prefixes...)
		for _, r := range p.Routes {
			all = append(all, r.Prefixes...)
		}
	}
	for _, g := range n.plan.Gateways {
		for _, r := range g.Routes {
			all = append(all, r.Prefixes...)
		}
		for _, d := range g.Devices {
			for _, p := range d.Peers {
				all = append(all, p.AllowedIPs...)
			}
		}
		all = append(append(all, g.Firewall.Own...), g.Firewall.Fabric...)
		for _, r := range g.Firewall.Rules {
			all = append(append(all, r.From...), r.To...)
		}
	}
	for _, s := range selectors(in) {
		all = append(all, s.Prefixes...)
	}
	var out []netip.Addr
	for _, p := range all {
		out = append(out, p.Addr())
		if next := prefixes.Last(p).Next(); next.IsValid() {
			out = append(out, next)
		}
	}
	slices.SortFunc(out, netip.Addr.Compare)
	return slices.DeleteFunc(slices.Compact(out), func(a netip.Addr) bool { return n.owner(a) == nil })
}

// spoken returns one service of every kind that plan or specification tells apart.
func (n naive) spoken(in *intent.Fabric) []fabric.Service {
	var named []fabric.Service
	for _, g := range n.plan.Gateways {
		for _, r := range g.Firewall.Rules {
			named = append(named, r.Services...)
		}
	}
	for _, a := range in.Access {
		named = append(named, a.Services...)
	}
	for _, t := range in.Tests {
		if t.Service != nil {
			named = append(named, *t.Service)
		}
	}
	ports := map[fabric.Protocol][]int{fabric.TCP: {1}, fabric.UDP: {1}}
	for _, s := range named {
		if s.Protocol != fabric.ICMP {
			ports[s.Protocol] = append(ports[s.Protocol], int(s.First), int(s.Last)+1)
		}
	}
	out := []fabric.Service{{Protocol: fabric.ICMP}, {}}
	for _, proto := range []fabric.Protocol{fabric.TCP, fabric.UDP} {
		list := slices.Compact(slices.Sorted(slices.Values(ports[proto])))
		for _, p := range list {
			if p < 1<<16 {
				out = append(out, fabric.Service{Protocol: proto, First: uint16(p), Last: uint16(p)})
			}
		}
	}
	return out
}
