package verify

import (
	"ropeway/internal/fabric"
	"ropeway/internal/plan"
)

// A session is what one peer of a device comes to: the device at the other end, or why there is none.
type session struct {
	far   int32    // the device at the other end, or the nearest to it; nobody where there is none
	back  uint16   // 1 + number of the peer there that stands for this end
	fits  uint16   // largest inner packet that the path carries from here
	fault fault    // why there is no session
	seen  sighting // what is wrong beside that
}

// A fault is why two devices have no session.
type fault uint8

const (
	noFault fault = iota
	unknownPeer
	repeatedPeer
	oneSided
	ownKey
	repeatedKey
	otherKey
	noEndpoint
	wrongPort
	peerDown
	linkCut
)

// A sighting is something wrong with a session that exists.
type sighting uint8

const (
	sightNoKeepalive sighting = 1 << iota // this end alone dials, and does not keep the session open
	sightTooBig                           // the peer's MTU is more than the path carries
	sightWrongPort                        // this end dials the wrong port; the other end dials us
)

// connect works out the sessions of every device.
func (m *Model) connect() {
	for i := range m.devices {
		m.devices[i].sessions = make([]session, len(m.devices[i].allowed))
	}
	repeated := make([]map[int]bool, len(m.devices))
	parallel(len(m.devices), func(_, i int) {
		x := &m.devices[i]
		repeated[i] = repeatedKeys(x)
		guess := int32(0)
		for k := range x.sessions {
			p := x.Peers[k]
			if p == nil {
				x.sessions[k] = session{far: nobody, fault: unknownPeer}
				continue
			}
			guess = m.named(p.Gateway, guess+1)
			if y := m.mutual(int32(i), k, guess); y == nobody {
				x.sessions[k] = m.session(int32(i), k, guess)
			} else if y > int32(i) {
				m.both(int32(i), k, y)
			}
		}
	})
	for i, dup := range repeated {
		for k := range dup {
			m.repeat(&m.devices[i], k)
		}
	}
}

// mutual returns the device that a peer of device x must be, where it cannot be another: both gateways have one device, and each names
// the other. Such sessions are worked out once for both ends. Otherwise it returns nobody.
func (m *Model) mutual(x int32, k int, named int32) int32 {
	d := &m.devices[x]
	if named == nobody || named == d.gateway || int(d.toward[named]) != k+1 {
		return nobody
	}
	far := m.gateways[named].devices
	if len(far) != 1 || len(m.gateways[d.gateway].devices) != 1 || m.devices[far[0]].toward[d.gateway] == 0 {
		return nobody
	}
	return far[0]
}

// both works out the two ends of a session.
func (m *Model) both(x int32, k int, y int32) {
	d, far := &m.devices[x], &m.devices[y]
	back := far.toward[d.gateway]
	p, q := d.Peers[k], far.Peers[back-1]
	here, there := m.match(d, p, far, q), m.match(far, q, d, p)
	here.far, here.back = y, back
	there.far, there.back = x, uint16(k+1)
	if !p.PublicKey.IsZero() && p.PublicKey == d.PublicKey {
		here = session{far: nobody, fault: ownKey}
	} else if here.fault == noFault {
		here.fault = m.outage(d.gateway, far.gateway)
	}
	if !q.PublicKey.IsZero() && q.PublicKey == far.PublicKey {
		there = session{far: nobody, fault: ownKey}
	} else if there.fault == noFault {
		there.fault = m.outage(far.gateway, d.gateway)
	}
	d.sessions[k], far.sessions[back-1] = here, there
}

// repeat says that a peer does not exist, to it and to its other end.
func (m *Model) repeat(x *device, k int) {
	s := &x.sessions[k]
	s.fault = repeatedKey
	if s.far == nobody || s.back == 0 {
		return
	}
	if other := &m.devices[s.far].sessions[s.back-1]; other.fault == noFault || other.fault >= peerDown {
		other.fault = repeatedKey
	}
}

// repeatedKeys returns the peers of a device whose key an earlier peer has: WireGuard sees one peer where the plan has two.
func repeatedKeys(x *device) map[int]bool {
	seen := make(map[[32]byte]struct{}, len(x.allowed))
	var out map[int]bool
	for k, p := range x.Peers[:len(x.allowed)] {
		if p == nil || p.PublicKey.IsZero() {
			continue
		}
		b := p.PublicKey.Bytes()
		if _, again := seen[b]; again {
			if out == nil {
				out = map[int]bool{}
			}
			out[k] = true
		}
		seen[b] = struct{}{}
	}
	return out
}

// session finds the other end of a peer of a device.
func (m *Model) session(x int32, k int, named int32) session {
	d := &m.devices[x]
	p := d.Peers[k]
	best := session{far: nobody, fault: unknownPeer}
	switch {
	case named == nobody || named == d.gateway:
		return best
	case int(d.toward[named]) != k+1:
		best.fault = repeatedPeer
		return best
	case !p.PublicKey.IsZero() && p.PublicKey == d.PublicKey:
		best.fault = ownKey
		return best
	}
	best.fault = oneSided
	for _, y := range m.gateways[named].devices {
		far := &m.devices[y]
		back := far.toward[d.gateway]
		if back == 0 {
			continue
		}
		found := m.match(d, p, far, far.Peers[back-1])
		found.far, found.back = y, back
		if best.far == nobody || found.fault == noFault {
			best = found
		}
		if found.fault == noFault {
			break
		}
	}
	if best.fault == noFault {
		best.fault = m.outage(d.gateway, named)
	}
	return best
}

// match judges whether two peers are the two ends of one session.
func (m *Model) match(d *device, p *plan.Peer, far *device, q *plan.Peer) session {
	var s session
	if q.PublicKey == far.PublicKey && !q.PublicKey.IsZero() {
		s.fault = ownKey
	}
	if !sameKey(p.PublicKey, far.PublicKey) || !sameKey(q.PublicKey, d.PublicKey) {
		s.fault = otherKey
	}
	weDial, theyDial := dials(p.Endpoint, far), dials(q.Endpoint, d)
	switch {
	case s.fault != noFault:
	case weDial || theyDial:
	case p.Endpoint.IsZero() && q.Endpoint.IsZero():
		s.fault = noEndpoint
	default:
		s.fault = wrongPort
	}
	if !p.Endpoint.IsZero() && !weDial && theyDial {
		s.seen |= sightWrongPort
	}
	if weDial && q.Endpoint.IsZero() && p.Keepalive == 0 {
		s.seen |= sightNoKeepalive
	}
	real := m.facts.underlay(m.gateways[d.gateway].Place, m.gateways[far.gateway].Place, p.Underlay)
	s.fits = uint16(max(0, min(capacity(d.MTU, real, p.Overhead), 65535)))
	if p.MTU > int(s.fits) {
		s.seen |= sightTooBig
	}
	return s
}

// sameKey compares two keys as far as they are known.
func sameKey[K interface {
	comparable
	IsZero() bool
}](a, b K) bool {
	return a == b || a.IsZero() || b.IsZero()
}

// dials reports whether an endpoint leads to the port that a device listens on.
func dials(e fabric.Endpoint, far *device) bool { return !e.IsZero() && e.Port == far.ListenPort }

// outage returns what the facts say against a session that the plan makes.
func (m *Model) outage(a, b int32) fault {
	ga, gb := &m.gateways[a], &m.gateways[b]
	switch {
	case gb.down:
		return peerDown
	case m.facts.severed(ga.Name, ga.Place, gb.Name, gb.Place):
		return linkCut
	}
	return noFault
}
