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
	count uint64      // 0: not known to be as planned
	at    time.Time   // when all of it was read last
	plan  plan.Device // with addresses in place of names
	set   map[key.Public]netip.AddrPort

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

// forget makes the next Apply read all of the device.
func (s *settled) forget() { s.count = 0 }

// settle remembers a device that was found to be as planned.
func (s *settled) settle(d plan.Device, count uint64) {
	s.count, s.at, s.plan = count, time.Now(), d
	s.gateways = make(map[key.Public]string, len(d.Peers))
	s.owners = make(map[netip.Prefix]key.Public, len(d.Peers))
	s.learn(d.Peers)
	maps.DeleteFunc(s.set, func(k key.Public, _ netip.AddrPort) bool { _, there := s.gateways[k]; return !there })
}

func (s *settled) learn(peers []*plan.Peer) {
	for _, p := range peers {
		if p.PublicKey.IsZero() {
			continue
		}
		s.gateways[p.PublicKey] = p.Gateway
		for _, a := range p.AllowedIPs {
			s.owners[a] = p.PublicKey
		}
	}
}

// A delta is the part of a plan that differs from the one before.
type delta struct {
	keys          []key.Public // whose peers differ, never nil
	before, after []*plan.Peer
}

// compare walks two lists of peers, sorted by gateway, side by side. It never misses a difference, even where they are not sorted.
func compare(before, after []*plan.Peer) delta {
	d := delta{keys: []key.Public{}}
	for len(before) > 0 || len(after) > 0 {
		switch {
		case len(after) == 0 || len(before) > 0 && before[0].Gateway < after[0].Gateway:
			d.before, before = append(d.before, before[0]), before[1:]
		case len(before) == 0 || after[0].Gateway < before[0].Gateway:
			d.after, after = append(d.after, after[0]), after[1:]
		default:
			if before[0] != after[0] && !samePeer(before[0], after[0]) {
				d.before, d.after = append(d.before, before[0]), append(d.after, after[0])
			}
			before, after = before[1:], after[1:]
		}
	}
	for _, p := range slices.Concat(d.before, d.after) {
		if !p.PublicKey.IsZero() && !slices.Contains(d.keys, p.PublicKey) {
			d.keys = append(d.keys, p.PublicKey)
		}
	}
	return d
}

// samePeer compares what a device is told of a peer.
func samePeer(a, b *plan.Peer) bool {
	return a.PublicKey == b.PublicKey && a.Endpoint == b.Endpoint && a.Keepalive == b.Keepalive && slices.Equal(a.AllowedIPs, b.AllowedIPs)
}

// maxDelta is the most peers that are worth asking for one by one.
const maxDelta = 256

// narrow returns what a new plan changes of a settled device, or ok false where the whole device has to be read: it is not settled, much of
// it changes, or the new plan gives one thing to two peers, which check has to tell.
func (s *settled) narrow(d *plan.Device) (delta, bool) {
	if s.count == 0 || time.Since(s.at) > trustedFor || s.plan.PublicKey != d.PublicKey {
		return delta{}, false
	}
	change := compare(s.plan.Peers, d.Peers)
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
	for _, p := range change.before {
		delete(s.gateways, p.PublicKey)
		for _, a := range p.AllowedIPs {
			if s.owners[a] == p.PublicKey {
				delete(s.owners, a)
			}
		}
	}
	s.learn(change.after)
	for _, k := range change.keys {
		if _, there := s.gateways[k]; !there {
			delete(s.set, k)
		}
	}
}
