package wireguard

import (
	"context"
	"fmt"
	"slices"
	"time"

	"ropeway/internal/key"
	"ropeway/internal/plan"
)

// A device that has lost its sessions, because its process or its machine was killed, has peers that do not know. What they send in a session that is gone
// is lost until they give up on it, 15 s later (KEEPALIVE_TIMEOUT + REKEY_TIMEOUT; whitepaper, 6.5). A handshake from here ends that at once. So a device
// that goes up begins one with every peer whose address is known: from the plan, from a name, or from where a peer behind NAT was heard last (recall.go). A peer
// whose address becomes known later, because its name could not be looked up, gets his then. A device does so by itself for peers with a keepalive, all in the
// same instant; so they get theirs when it is up.
//
// It takes no packet: a keepalive where none was makes a device send one, and with no session that is a handshake. Kernel and userspace are alike in this.

// Handshakes are begun in groups, 2,000 a second. Each costs this machine two computations of a key and the answer as many, 0.3 ms in all, and a device
// that has more than 128 handshake messages waiting takes itself for attacked and sends cookies (QueueHandshakeSize / 8 in wireguard-go, 512 in the kernel).
const (
	greetAtOnce = 100
	greetPause  = 50 * time.Millisecond
)

// greet begins a handshake with every peer whose address is known; found is the device as it was before. It must be up now.
func (j *job) greet(ctx context.Context, peers []*plan.Peer, found *Device) error {
	known := j.whereKnown(peers, found)
	first := true
	for group := range slices.Chunk(known, greetAtOnce) {
		if !first {
			select {
			case <-ctx.Done():
				return context.Cause(ctx)
			case <-time.After(greetPause):
			}
		}
		first = false
		if err := j.write(config{Peers: greetings(group)}); err != nil {
			return err
		}
	}
	return nil
}

// whereKnown leaves those peers whose address the device was given, or had.
func (j *job) whereKnown(peers []*plan.Peer, found *Device) (known []*plan.Peer) {
	had := map[key.Public]bool{}
	for i := range found.Peers {
		had[found.Peers[i].PublicKey] = found.Peers[i].Endpoint.IsValid()
	}
	for _, p := range peers {
		_, literal := addrPort(p)
		if !p.PublicKey.IsZero() && (literal || j.recalled[p.PublicKey] || had[p.PublicKey]) {
			known = append(known, p)
		}
	}
	return known
}

// greetings gives each peer his keepalive anew, and one for a moment to who has none. Sections are carried out in their order.
func greetings(peers []*plan.Peer) (out []section) {
	none, soon := 0, 1
	for _, p := range peers {
		steps := []*int{&soon, &none}
		if p.Keepalive != 0 {
			steps = []*int{&none, &p.Keepalive}
		}
		for _, seconds := range steps {
			out = append(out, section{PublicKey: p.PublicKey, UpdateOnly: true, Keepalive: seconds})
		}
	}
	return out
}

// introduce sends changes of peers. Where the device is down it leaves out keepalives that greet sets when it is up; where it is up, it greets the peers
// whose address was not known before.
func (j *job) introduce(ctx context.Context, changes []Change, found *Device) error {
	if !found.Up {
		return j.writePeers(ctx, withoutKeepalive(changes))
	}
	if err := j.writePeers(ctx, changes); err != nil {
		return err
	}
	return j.greetLate(ctx, changes, found)
}

// withoutKeepalive leaves the keepalives out of changes that give a peer its address.
func withoutKeepalive(changes []Change) []Change {
	out := slices.Clone(changes)
	for i := range out {
		if p := out[i].Peer; p.Endpoint.IsValid() && p.Keepalive != nil {
			silent := *p
			silent.Keepalive = nil
			out[i].Peer = &silent
		}
	}
	return out
}

// greetLate begins handshakes with the peers that these changes gave an address and that had none, and with those that are new and were heard before.
func (j *job) greetLate(ctx context.Context, changes []Change, found *Device) error {
	late := map[key.Public]bool{}
	for _, c := range changes {
		had := slices.IndexFunc(found.Peers, func(p Peer) bool { return p.PublicKey == c.Peer.PublicKey })
		told := c.Op == UpdatePeer && c.Peer.Endpoint.IsValid() && had >= 0 && !found.Peers[had].Endpoint.IsValid()
		if told || c.Op == AddPeer && j.recalled[c.Peer.PublicKey] {
			late[c.Peer.PublicKey] = true
		}
	}
	if len(late) == 0 {
		return nil
	}
	var peers []*plan.Peer
	for _, p := range j.want.Peers {
		if late[p.PublicKey] {
			peers = append(peers, p)
		}
	}
	if err := j.greet(ctx, peers, found); err != nil {
		return fmt.Errorf("begin the handshakes: %w", err)
	}
	return nil
}
