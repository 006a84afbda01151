package verify

import (
	"fmt"

	"ropeway/internal/fabric"
	"ropeway/internal/plan"
)

// Trace follows one packet, and with answer also the answer to it. Where the packet dies there is no answer; the walk then shows the way
// that one would take.
func (m *Model) Trace(p Packet, answer bool) *Trace {
	forward := tracer{m: m, packet: p}
	forward.walk()
	t := &Trace{Forward: forward.out}
	if answer {
		p.Source, p.Destination = p.Destination, p.Source
		back := tracer{m: m, packet: p, answers: true, seen: forward.accepted}
		back.walk()
		t.Return = &back.out
	}
	return t
}

// A tracer takes one packet through the plan's own lists, hop by hop.
type tracer struct {
	m        *Model
	packet   Packet
	answers  bool           // the packet is an answer
	seen     map[int32]bool // gateways that saw the request
	accepted map[int32]bool // gateways whose firewall let this packet pass
	visited  map[int32]bool
	via      int32 // device that it came in on, nobody from the place
	out      Walk
	hop      *Hop
}

func (t *tracer) walk() {
	t.accepted, t.visited = map[int32]bool{}, map[int32]bool{}
	t.via = nobody
	t.out.Path = Path{Source: t.packet.Source, Destination: t.packet.Destination, Gateways: []string{}}
	if t.packet.Service.Protocol != "" {
		t.out.Service = t.packet.Service.String()
	}
	at, ok := t.enter()
	for ok {
		at, ok = t.gateway(at)
	}
	if t.out.DroppedBy != nil {
		t.out.MTU = 0
	}
}

// enter takes the packet from its sender through the router of the place, and returns the gateway that the router gives it to.
func (t *tracer) enter() (int32, bool) {
	src, dst := t.m.ownerOf(t.packet.Source), t.m.ownerOf(t.packet.Destination)
	if src == nobody {
		t.step("")
		return t.drop("", NoOwner, "no place of the plan owns the source %s", t.packet.Source)
	}
	p := &t.m.places[src]
	at := "router " + p.Name
	t.step(at)
	if dst == nobody {
		return t.drop(at, NoOwner, "no place of the plan owns the destination %s", t.packet.Destination)
	}
	h, own := t.m.entryTo(src, t.packet.Destination)
	switch {
	case own && src == dst:
		t.hop.Route = fmt.Sprintf("%s is the place's own", h.prefix)
		t.hop.Decision = "deliver: both ends are in the same place, the fabric is not crossed"
		return nobody, false
	case own:
		return t.drop(at, NoRoute, "the router takes %s for the place's own prefix %s", t.packet.Destination, h.prefix)
	case !h.found:
		return t.drop(at, NoRoute, "the router has no route to %s", t.packet.Destination)
	}
	name := p.Routes[h.number].Gateway
	t.hop.Route = fmt.Sprintf("%s via gateway %s", h.prefix, name)
	g := p.via[h.number]
	if g == nobody {
		return t.drop(at, NoRoute, "the route to %s leads to %s, which is no gateway of %s", h.prefix, name, p.Name)
	}
	if t.m.gateways[g].down {
		return t.drop(name, GatewayDown, "the router gives packets to %s to gateway %s, which is down", h.prefix, name)
	}
	t.hop.Decision = "forward"
	t.arrive(g)
	return g, true
}

func (t *tracer) arrive(g int32) {
	name := t.m.gateways[g].Name
	t.out.Gateways = append(t.out.Gateways, name)
	t.visited[g] = true
	t.step("gateway " + name)
}

// gateway takes the packet through a gateway and to the next one.
func (t *tracer) gateway(n int32) (int32, bool) {
	g := &t.m.gateways[n]
	h, own := t.m.routeTo(n, t.packet.Destination)
	switch {
	case !h.found:
		return t.drop(g.Name, NoRoute, "gateway %s has no route to %s", g.Name, t.packet.Destination)
	case own && t.via == nobody:
		return t.drop(g.Name, Loop, "gateway %s takes %s for its place's own and gives the packet back to the router", g.Name, h.prefix)
	case own:
		return t.deliver(n, g, h)
	}
	group := g.groups[h.number]
	route := g.words(int(h.number))
	t.hop.Route = fmt.Sprintf("%s via device %s, MTU %d", h.prefix, route.device, route.mtu)
	if t.packet.Size > int(group.mtu) && group.device != nobody {
		return t.drop(g.Name, TooBig, "the route to %s carries %d bytes; the gateway tells the sender so by ICMP", h.prefix, group.mtu)
	}
	direction := plan.Transit
	if t.via == nobody {
		direction = plan.Out
	}
	if !t.filter(n, g, direction) {
		return nobody, false
	}
	if group.device == nobody {
		return t.drop(g.Name, NoPeer, "gateway %s has no device %s", g.Name, route.device)
	}
	return t.send(g, group)
}

// deliver hands the packet to the place of the gateway it is at.
func (t *tracer) deliver(n int32, g *gateway, h hit) (int32, bool) {
	t.hop.Route = fmt.Sprintf("%s is the place's own", h.prefix)
	if !t.filter(n, g, plan.In) {
		return nobody, false
	}
	if owner := t.m.ownerOf(t.packet.Destination); owner != g.place {
		return t.drop(g.Name, NoRoute, "gateway %s takes %s for its own place's, but %s is in %s",
			g.Name, h.prefix, t.packet.Destination, t.m.places[owner].Name)
	}
	if _, local := t.m.entryTo(g.place, t.packet.Destination); !local {
		return t.drop(g.Name, NoRoute, "the router of %s sends %s away again", g.Place, t.packet.Destination)
	}
	t.hop.Decision = "deliver"
	return nobody, false
}

// send gives the packet to a device, which chooses the peer by its AllowedIPs, and takes it in at the other end.
func (t *tracer) send(g *gateway, group group) (int32, bool) {
	x := &t.m.devices[group.device]
	dst := t.packet.Destination
	h := t.m.peerFor(group.device, dst)
	if !h.found {
		return t.drop(g.Name, NoPeer, "no peer of device %s of %s is allowed %s", x.Name, g.Name, dst)
	}
	name := "?"
	if p := x.Peers[h.number]; p != nil {
		name = p.Gateway
	}
	t.peer("%s allows %s", name, h.prefix)
	s := x.sessions[h.number]
	if s.fault != noFault {
		return t.drop(g.Name, NoSession, "%s", faultText(s.fault, g.Name, name))
	}
	t.narrow(int(group.mtu), int(s.fits))
	if t.packet.Size > int(s.fits) {
		p := x.Peers[h.number]
		return t.drop(g.Name, TooBig, "the path to %s carries packets of %d bytes at most, the plan assumed %d; %s", name, s.fits, p.MTU, t.m.told())
	}
	t.hop.Decision = "forward"
	return t.receive(s, g.Name)
}

// told says what a sender hears of a packet that is too big for the underlay.
func (m *Model) told() string {
	if m.facts.silent {
		return "ICMP is dropped on the way, so nobody tells the sender"
	}
	return "the tunnel tells its own sender, not the packet's"
}

func (t *tracer) narrow(route, fits int) {
	if len(t.out.Gateways) == 1 || route < t.out.MTU {
		t.out.MTU = route
	}
	t.out.MTU = min(t.out.MTU, fits)
}

// receive takes the packet out of the device at the other end, if its source is one that the sender may have.
func (t *tracer) receive(s session, sender string) (int32, bool) {
	y := &t.m.devices[s.far]
	next := y.gateway
	name := t.m.gateways[next].Name
	again := t.visited[next]
	t.arrive(next)
	if again {
		return t.drop(name, Loop, "the packet comes to gateway %s a second time", name)
	}
	h := t.m.peerFor(s.far, t.packet.Source)
	switch {
	case !h.found:
		return t.drop(name, SourceCheck, "gateway %s allows the source %s from nobody, so not from %s", name, t.packet.Source, sender)
	case h.number != int32(s.back)-1:
		owner := "?"
		if p := y.Peers[h.number]; p != nil {
			owner = p.Gateway
		}
		return t.drop(name, SourceCheck, "gateway %s allows the source %s (%s) from %s, not from %s", name, t.packet.Source, h.prefix, owner, sender)
	}
	t.peer("%s may send %s", sender, h.prefix)
	t.via = s.far
	return next, true
}

func (t *tracer) peer(format string, args ...any) {
	if t.hop.Peer != "" {
		t.hop.Peer += "; "
	}
	t.hop.Peer += fmt.Sprintf(format, args...)
}

func (t *tracer) step(at string) {
	t.out.Hops = append(t.out.Hops, Hop{At: at})
	t.hop = &t.out.Hops[len(t.out.Hops)-1]
}

func (t *tracer) drop(at string, why Reason, format string, args ...any) (int32, bool) {
	detail := fmt.Sprintf(format, args...)
	t.out.DroppedBy = &Drop{At: at, Reason: why, Detail: detail}
	t.hop.Decision = "drop: " + detail
	return nobody, false
}

// service returns what rules are held against, and whether one rule has to name all of it: an answer goes to some port that nobody
// knows beforehand.
func (t *tracer) service() fabric.Service {
	if t.answers && t.packet.Service.Protocol == fabric.UDP {
		return ephemeral
	}
	return t.packet.Service
}
