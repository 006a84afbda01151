package verify

// An end is how a packet's way ends, filters aside.
type end uint8

const (
	arrived end = iota
	endNoRoute
	endNoPeer
	endNoSession
	endSourceCheck
	endLoop
	endDown
)

// reasons gives the word of a report for every end.
var reasons = [...]Reason{"", NoRoute, NoPeer, NoSession, SourceCheck, Loop, GatewayDown}

// A way is where packets of one row go on their way to another, filters aside: they are the same for every kind.
type way struct {
	end     end
	hops    []int32 // gateways that it comes to, in order; of a loop the last one twice
	met     int     // hops whose firewall it meets before it ends
	at      int32   // the gateway where it ends, nobody for the router
	toward  int32   // the gateway that a peer names, where there is no session
	first   int     // MTU that the first gateway's route announces
	mtu     int     // smallest that the way carries
	tightAt int32   // the gateway that sends into the part that carries less than announced
}

// A side is a row of addresses of a place: where packets come from, or where they go.
type side struct {
	place int32
	row   []uint16
}

// walk follows packets from one side to another until they arrive or die. It ends because no gateway is crossed twice.
func (w *world) walk(m *Model, v *way, src, dst side) {
	*v = way{hops: v.hops[:0], at: nobody, toward: nobody, tightAt: nobody}
	entry := dst.row[w.entryAt+int(src.place)]
	if entry == nowhere || entry == local {
		v.end = endNoRoute
		return
	}
	g := m.places[src.place].via[entry-1]
	if g == nobody {
		v.end = endNoRoute
		return
	}
	if m.gateways[g].down || g == m.lost.gateway {
		v.stop(endDown, g)
		return
	}
	v.hops = append(v.hops, g)
	for v.step(w, m, src, dst) {
	}
}

// step takes the packet through the gateway that it came to last, and reports whether it came to another one.
func (v *way) step(w *world, m *Model, src, dst side) bool {
	at := v.hops[len(v.hops)-1]
	g := &m.gateways[at]
	cell := dst.row[at]
	switch {
	case cell == nowhere:
		return v.stop(endNoRoute, at)
	case cell == local && len(v.hops) == 1:
		return v.stop(endLoop, at) // back to the router that it came from
	case cell == local && g.place == dst.place && dst.row[w.entryAt+int(g.place)] == local:
		v.met++
		return v.stop(arrived, at)
	case cell == local:
		v.met++
		return v.stop(endNoRoute, at)
	}
	v.met++
	group := &g.groups[cell-1]
	if group.device == nobody {
		return v.stop(endNoPeer, at)
	}
	x := &m.devices[group.device]
	peer := dst.row[w.keysAt+int(group.device)]
	if peer == nowhere {
		return v.stop(endNoPeer, at)
	}
	s := &x.sessions[peer-1]
	if s.fault != noFault || m.lost.severs(at, m.devices[s.far].gateway) {
		if p := x.Peers[peer-1]; p != nil {
			v.toward = m.named(p.Gateway, s.farGateway(m))
		}
		return v.stop(endNoSession, at)
	}
	v.narrow(at, int(group.mtu), int(s.fits))
	next := m.devices[s.far].gateway
	for _, h := range v.hops {
		if h == next {
			v.hops = append(v.hops, next)
			return v.stop(endLoop, next)
		}
	}
	v.hops = append(v.hops, next)
	if src.row[w.keysAt+int(s.far)] != s.back {
		return v.stop(endSourceCheck, next)
	}
	return true
}

// narrow takes a hop's MTU into account: what the route announces and what the path beyond it carries.
func (v *way) narrow(at int32, route, fits int) {
	carries := min(route, fits)
	if len(v.hops) == 1 {
		v.first, v.mtu = route, route
	}
	if carries < v.mtu {
		v.mtu = carries
		if v.tightAt == nobody {
			v.tightAt = at
		}
	}
}

func (v *way) stop(e end, at int32) bool {
	v.end, v.at = e, at
	return false
}

// crossing returns which way a packet crosses its hop number i.
func (v *way) crossing(i int) crossing {
	switch {
	case i == 0:
		return outward
	case v.leaves(i):
		return inward
	}
	return through
}

// leaves reports whether a packet leaves the fabric at hop number i: it arrived there, or its place took it and was wrong.
func (v *way) leaves(i int) bool {
	return i == len(v.hops)-1 && i < v.met && (v.end == arrived || v.end == endNoRoute)
}

// same reports whether two ways cross the same gateways.
func (v *way) same(o *way) bool {
	if len(v.hops) != len(o.hops) {
		return false
	}
	for i, h := range v.hops {
		if o.hops[len(o.hops)-1-i] != h && !o.crosses(h) {
			return false
		}
	}
	return true
}

func (v *way) crosses(gateway int32) bool {
	for _, h := range v.hops {
		if h == gateway {
			return true
		}
	}
	return false
}

func (s *session) farGateway(m *Model) int32 {
	if s.far == nobody {
		return nobody
	}
	return m.devices[s.far].gateway
}
