package wireguard

import (
	"context"
	"crypto/rand"
	"errors"
	"net/netip"
	"time"

	"ropeway/internal/key"
)

// A control speaks to one WireGuard device: through its socket, or through the kernel.
type control interface {
	// read returns what the device says of itself.
	read() (status, error)
	// write configures the device. It may have done a part of it when it fails.
	write(config) error
	// change configures peers in the order given, where the device's count is still that, and returns what it says of them afterwards (and nothing of
	// the rest of itself). Where the count is another one it does nothing and returns errCount.
	change(count uint64, peers []section) (status, error)
	// start makes sure that the device has its UDP port. The interface must be up.
	start() error
	close() error
}

// An announcer is a control whose device can be told that a change may come soon. Whatever comes instead is as if nothing had been announced.
type announcer interface{ announce(count uint64) }

// A hearer is a control that can read less than all: no more than count and those peers that were heard and have had no session.
type hearer interface{ heard() (status, error) }

// errCount means that somebody else has configured the device, or that it does not count.
var errCount = errors.New("the device was configured by somebody else")

// A status is what a device says of itself.
type status struct {
	Count      uint64 // rises with every configuration, whoever makes it; 0: the device does not count
	Offload    string
	PublicKey  key.Public
	ListenPort uint16
	Peers      []Peer // sorted by public key
}

// A config is what becomes of a device. What is absent stays as it is.
type config struct {
	Private *key.Private
	Port    *uint16
	Peers   []section // in the order in which they are carried out
}

// A section configures one peer. AllowedIPs are added, and taken from any other peer that has them.
type section struct {
	PublicKey  key.Public
	Nobody     bool // the peer exists to take AllowedIPs away, and is removed with them
	Remove     bool // after it has taken AllowedIPs
	UpdateOnly bool // leave a peer alone that is not there
	Endpoint   netip.AddrPort
	Keepalive  *int
	AllowedIPs []netip.Prefix
}

// peersPerWrite bounds a write, so that a device that gets thousands of peers answers others in between and the work can be cut
// short: 256 new peers cost 256 X25519 operations, 15 to 50 ms.
const peersPerWrite = 256

// sections arranges changes of peers as a device must get them: what is added first, so that a prefix passes from peer to peer
// without a gap; then what is dropped; peers that go come last.
//
// WireGuard can replace a peer's prefixes, or add to them, but not take one away (the kernel learnt it in Linux 6.16). Replacing would leave the
// peer without the prefixes that stay for a moment. So the prefixes to drop are given to a peer that exists for this alone, under a
// random public key, and is removed with them. A device of ours need not make one (opChange).
func sections(changes []Change) []section {
	var out, last []section
	var drop []netip.Prefix
	for _, c := range changes {
		switch p := c.Peer; c.Op {
		case AddPeer:
			out = append(out, section{PublicKey: p.PublicKey, Endpoint: p.Endpoint, Keepalive: p.Keepalive, AllowedIPs: p.Add})
		case UpdatePeer:
			drop = append(drop, p.Drop...)
			if p.Endpoint.IsValid() || p.Keepalive != nil || len(p.Add) > 0 {
				out = append(out, section{PublicKey: p.PublicKey, UpdateOnly: true, Endpoint: p.Endpoint, Keepalive: p.Keepalive, AllowedIPs: p.Add})
			}
		case RemovePeer:
			last = append(last, section{PublicKey: p.PublicKey, Remove: true, UpdateOnly: true})
		}
	}
	if len(drop) > 0 {
		var nobody [key.Size]byte
		_, _ = rand.Read(nobody[:]) // it never fails
		k := key.PublicFromBytes(nobody)
		out = append(out, section{PublicKey: k, Nobody: true, AllowedIPs: drop, Remove: true})
	}
	return append(out, last...)
}

// inPieces writes sections in bounded pieces.
func inPieces(ctx context.Context, rest []section, write func(config) error) error {
	for len(rest) > 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
		n := min(len(rest), peersPerWrite)
		if err := write(config{Peers: rest[:n]}); err != nil {
			return err
		}
		rest = rest[n:]
	}
	return nil
}

// stale tells whether a session whose last handshake was at that time is broken or idle.
func stale(last, now time.Time) bool { return last.IsZero() || now.Sub(last) > StaleAfter }
