package wireguard

import (
	"cmp"
	"net/netip"
	"slices"

	"ropeway/internal/key"
	"ropeway/internal/plan"
)

// Diff returns the steps that lead from have to want, in the order in which they are safe: a device is made, keyed, addressed and
// given its peers before it goes up; prefixes are given to their new peer, which takes them from the old one in the same moment,
// before any is dropped; peers go last. It is the smallest difference: what is as wanted is not named. The lists need no order.
//
// Peers whose public key is zero (pending) are skipped. An endpoint is wanted only where it is an address, and is set
//
//   - where the peer has none,
//   - where the plan wants another one than this Client set last,
//   - or where the session is stale;
//
// an endpoint that differs for any other reason has roamed, and stays.
func Diff(want []plan.Device, have []Device) []Change {
	var changes []Change
	for i := range have {
		if !slices.ContainsFunc(want, func(w plan.Device) bool { return w.Name == have[i].Name }) {
			changes = append(changes, Change{Op: DeleteDevice, Device: have[i].Name})
		}
	}
	for i := range want {
		w := &want[i]
		at := slices.IndexFunc(have, func(h Device) bool { return h.Name == w.Name })
		h := &Device{Name: w.Name}
		if at >= 0 {
			h = &have[at]
		} else {
			changes = append(changes, Change{Op: CreateDevice, Device: w.Name})
		}
		changes = diffLink(changes, w, h)
		changes = append(changes, diffPeers(w, h)...)
		if !h.Up {
			changes = append(changes, Change{Op: SetUp, Device: w.Name})
		}
	}
	return changes
}

// diffLink compares everything of a device but its peers and whether it is up.
func diffLink(changes []Change, w *plan.Device, h *Device) []Change {
	add := func(c Change) {
		c.Device = w.Name
		changes = append(changes, c)
	}
	if !w.PublicKey.IsZero() && w.PublicKey != h.PublicKey {
		add(Change{Op: SetKey})
	}
	if w.ListenPort != h.ListenPort {
		add(Change{Op: SetPort, Value: int(w.ListenPort)})
	}
	for _, a := range h.Addresses {
		if !slices.Contains(w.Addresses, a) {
			add(Change{Op: DeleteAddress, Address: a})
		}
	}
	for _, a := range w.Addresses {
		if !slices.Contains(h.Addresses, a) {
			add(Change{Op: AddAddress, Address: a})
		}
	}
	if w.MTU != h.MTU {
		add(Change{Op: SetMTU, Value: w.MTU})
	}
	return changes
}

// diffPeers compares the peers of a device: first those that the plan names, in its order, then those that go, by public key.
func diffPeers(w *plan.Device, h *Device) []Change {
	have := make(map[key.Public]*Peer, len(h.Peers))
	for i := range h.Peers {
		have[h.Peers[i].PublicKey] = &h.Peers[i]
	}
	wanted := make(map[netip.Prefix]bool, len(w.Peers))
	for _, p := range w.Peers {
		for _, a := range p.AllowedIPs {
			if !p.PublicKey.IsZero() {
				wanted[a] = true
			}
		}
	}
	var changes []Change
	for _, p := range w.Peers {
		if p.PublicKey.IsZero() {
			continue
		}
		found := have[p.PublicKey]
		delete(have, p.PublicKey)
		if change, differs := diffPeer(p, found, wanted); differs {
			op := UpdatePeer
			if found == nil {
				op = AddPeer
			}
			changes = append(changes, Change{Op: op, Device: w.Name, Peer: change})
		}
	}
	gone := len(changes)
	for k := range have {
		changes = append(changes, Change{Op: RemovePeer, Device: w.Name, Peer: &PeerChange{PublicKey: k}})
	}
	slices.SortFunc(changes[gone:], func(a, b Change) int { return compareKeys(a.Peer.PublicKey, b.Peer.PublicKey) })
	return changes
}

// diffPeer compares one peer with what was found of it, which may be nothing. A prefix that any peer wants is never dropped: the
// peer that wants it takes it.
func diffPeer(p *plan.Peer, found *Peer, wanted map[netip.Prefix]bool) (*PeerChange, bool) {
	c := &PeerChange{PublicKey: p.PublicKey, Gateway: p.Gateway}
	isNew := found == nil
	if isNew {
		found = &Peer{}
	}
	endpoint, literal := addrPort(p)
	if literal && endpoint != found.Endpoint &&
		(!found.Endpoint.IsValid() || found.Stale || found.Set.IsValid() && found.Set != endpoint) {
		c.Endpoint = endpoint
	}
	if p.Keepalive != found.Keepalive {
		c.Keepalive = &p.Keepalive
	}
	if !slices.Equal(p.AllowedIPs, found.AllowedIPs) {
		c.Add = without(p.AllowedIPs, found.AllowedIPs)
		c.Drop = slices.DeleteFunc(without(found.AllowedIPs, p.AllowedIPs), func(a netip.Prefix) bool { return wanted[a] })
	}
	return c, isNew || c.Endpoint.IsValid() || c.Keepalive != nil || len(c.Add)+len(c.Drop) > 0
}

// addrPort returns a peer's endpoint where it is an address and not a name.
func addrPort(p *plan.Peer) (netip.AddrPort, bool) {
	addr, ok := p.Endpoint.Addr()
	return netip.AddrPortFrom(addr, p.Endpoint.Port), ok
}

// without returns what is in a and not in b, sorted.
func without(a, b []netip.Prefix) []netip.Prefix {
	a, b = sorted(a), sorted(b)
	var out []netip.Prefix
	for _, p := range a {
		for len(b) > 0 && b[0].Compare(p) < 0 {
			b = b[1:]
		}
		if len(b) == 0 || b[0] != p {
			out = append(out, p)
		}
	}
	return slices.Compact(out)
}

func sorted(list []netip.Prefix) []netip.Prefix {
	if slices.IsSortedFunc(list, netip.Prefix.Compare) {
		return list
	}
	list = slices.Clone(list)
	slices.SortFunc(list, netip.Prefix.Compare)
	return list
}

func compareKeys(a, b key.Public) int {
	x, y := a.Bytes(), b.Bytes()
	return slices.Compare(x[:], y[:])
}

func comparePeers(a, b Peer) int { return cmp.Or(compareKeys(a.PublicKey, b.PublicKey)) }
