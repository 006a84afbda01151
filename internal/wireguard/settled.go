package wireguard

import (
	"maps"
	"net/netip"
	"slices"
	"time"

	"ropeway/internal/key"
	"ropeway/internal/plan"
)

// settled is what the Client remembers of a device between two calls: what it was made to be, and how often it had been configured by
// then. While nobody else has configured it, comparing two plans tells what a new one changes, and the device need not be read whole.
type settled struct {
	count uint64       // 0: not known to be as planned
	at    time.Time    // when all of it was read last
	plan  plan.Device  // as it was given, but with the public key
	named []*plan.Peer // those of its peers whose endpoint is a DNS name
	set   map[key.Public]netip.AddrPort
	own   pairOfKeys

	gateways map[key.Public]string
	owners   map[netip.Prefix]key.Public
}

// trusted bounds how long the count alone is believed: after that the whole device is read again.
const trustedFor = time.Minute

func (c *Client) settledOf(device string) *settled {
	s := c.known[device]
	if s == nil {
		s = &settled{set: map[key.Public]netip.AddrPort{}}
		c.known[device] = s
	}
	return s
}

// pairOfKeys spares deriving the public key at every call, 50 µs.
type pairOfKeys struct {
	private key.Private
	public  key.Public
}

func (s *settled) public(private key.Private) key.Public {
	if !s.own.private.Equal(private) || s.own.public.IsZero() {
		s.own = pairOfKeys{private, private.Public()}
	}
	return s.own.public
}

// forget makes the next Apply read all of the device.
func (s *settled) forget() { s.count = 0 }

// settle remembers a device that was found to be as planned; resolved is the plan with addresses in place of names. What endpoints it found
// it takes as set: where one differs from the plan it has roamed, and later changes of its peer shall leave it.
func (s *settled) settle(d plan.Device, resolved []*plan.Peer, count uint64) {
	s.count, s.at, s.plan = count, time.Now(), d
	s.gateways = make(map[key.Public]string, len(d.Peers))
	s.owners = make(map[netip.Prefix]key.Public, len(d.Peers))
	s.named = nil
	s.learn(d.Peers)
	for _, p := range resolved {
		if e, literal := addrPort(p); literal && !p.PublicKey.IsZero() {
			s.set[p.PublicKey] = e
		}
	}
	maps.DeleteFunc(s.set, func(k key.Public, _ netip.AddrPort) bool { _, there := s.gateways[k]; return !there })
}

func (s *settled) learn(peers []*plan.Peer) {
	for _, p := range peers {
		if p.PublicKey.IsZero() {
			continue
		}
		s.gateways[p.PublicKey] = p.Gateway
		if named(p) {
			s.named = append(s.named, p)
		}
		for _, a := range p.AllowedIPs {
			s.owners[a] = p.PublicKey
		}
	}
}

// A delta is the part of a plan that differs from the one before.
type delta struct{ before, after []*plan.Peer }

// compare walks two lists of peers, sorted by gateway, side by side. It never misses a difference, even where they are not sorted. What it costs is
// to fetch both from memory, so names are looked at only beside a difference: no device knows them.
func compare(before, after []*plan.Peer) (d delta) {
	for len(before) > 0 || len(after) > 0 {
		switch {
		case len(before) > 0 && len(after) > 0 && (before[0] == after[0] || samePeer(before[0], after[0])):
			before, after = before[1:], after[1:]
		case len(before) > 0 && len(after) > 0 && before[0].Gateway == after[0].Gateway:
			d.before, d.after = append(d.before, before[0]), append(d.after, after[0])
			before, after = before[1:], after[1:]
		case len(after) == 0 || len(before) > 0 && before[0].Gateway < after[0].Gateway:
			d.before, before = append(d.before, before[0]), before[1:]
		default:
			d.after, after = append(d.after, after[0]), after[1:]
		}
	}
	return d
}

// keys returns the public keys of the peers of a delta; never nil, which would mean all.
func (d *delta) keys() []key.Public {
	out := []key.Public{}
	for _, p := range slices.Concat(d.before, d.after) {
		if !p.PublicKey.IsZero() && !slices.Contains(out, p.PublicKey) {
			out = append(out, p.PublicKey)
		}
	}
	return out
}

// samePeer compares what a device is told of a peer.
func samePeer(a, b *plan.Peer) bool {
	return a.PublicKey == b.PublicKey && a.Endpoint == b.Endpoint && a.Keepalive == b.Keepalive && slices.Equal(a.AllowedIPs, b.AllowedIPs)
}

// expected returns what the device, settled, is: as for peers, those of a delta. An endpoint may have roamed since; Diff sets one where the
// plan wants another than was set.
func (s *settled) expected(d *delta) status {
	out := status{Count: s.count, PublicKey: s.plan.PublicKey, ListenPort: s.plan.ListenPort}
	for _, p := range d.before {
		if !p.PublicKey.IsZero() {
			set := s.set[p.PublicKey]
			out.Peers = append(out.Peers, Peer{PublicKey: p.PublicKey, AllowedIPs: p.AllowedIPs, Keepalive: p.Keepalive, Endpoint: set, Set: set})
		}
	}
	return out
}

// maxDelta is the most peers that are worth asking for one by one.
const maxDelta = 256

// changed returns how the peers of a new plan differ from those that the device was settled to have; nothing where it was not settled.
func (s *settled) changed(d *plan.Device) delta {
	if s.count == 0 {
		return delta{}
	}
	return compare(s.plan.Peers, d.Peers)
}

// narrow returns what a new plan changes of a settled device, or ok false where the whole device has to be read: it is not settled, much of
// it changes, or the new plan gives one thing to two peers, which check has to tell. Peers in again, whose endpoint's name means something else
// than before, are part of it.
func (s *settled) narrow(d *plan.Device, change delta, again []*plan.Peer) (delta, bool) {
	if s.count == 0 || time.Since(s.at) > trustedFor || s.plan.PublicKey != d.PublicKey {
		return delta{}, false
	}
	for _, p := range again {
		if !slices.Contains(change.before, p) {
			change.before, change.after = append(change.before, p), append(change.after, p)
		}
	}
	if len(change.before)+len(change.after) > maxDelta {
		return delta{}, false
	}
	changed := make(map[string]bool, len(change.before))
	for _, p := range change.before {
		changed[p.Gateway] = true
	}
	for _, p := range change.after {
		if other, taken := s.gateways[p.PublicKey]; taken && !changed[other] {
			return delta{}, false
		}
		for _, a := range p.AllowedIPs {
			if k, taken := s.owners[a]; taken && !changed[s.gateways[k]] {
				return delta{}, false
			}
		}
	}
	sub := *d
	sub.Peers = change.after
	return change, check(&sub, d.PublicKey) == nil
}

// settleDelta remembers that a delta was carried out.
func (s *settled) settleDelta(d plan.Device, change delta, count uint64) {
	s.count, s.plan = count, d
	s.named = slices.DeleteFunc(s.named, func(p *plan.Peer) bool { return slices.Contains(change.before, p) })
	for _, p := range change.before {
		delete(s.gateways, p.PublicKey)
		for _, a := range p.AllowedIPs {
			if s.owners[a] == p.PublicKey {
				delete(s.owners, a)
			}
		}
	}
	s.learn(change.after)
	for _, k := range change.keys() {
		if _, there := s.gateways[k]; !there {
			delete(s.set, k)
		}
	}
}
