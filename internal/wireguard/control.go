package wireguard

import (
	"context"
	"net/netip"
	"time"

	"ropeway/internal/key"
)

// A control speaks to one WireGuard device: through its socket, or through the kernel.
type control interface {
	// read returns what the device says of itself and of the peers named; nil names all of them. Peers that it has not are not in
	// the answer. PublicKey and ListenPort are known only where all peers are asked for.
	read(only []key.Public) (status, error)
	// write configures the device. It may have done a part of it when it fails.
	write(config) error
	// start makes sure that the device has its UDP port. The interface must be up.
	start() error
	close() error
}

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
	Remove     bool
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
// peer without the prefixes that stay for a moment. So the prefixes to drop are given to a peer that exists for this alone, under a key
// that nobody holds, and is removed with them.
func sections(changes []Change) ([]section, error) {
	var out, last []section
	var drop []netip.Prefix
	for _, c := range changes {
		switch p := c.Peer; c.Op {
		case AddPeer:
			out = append(out, section{p.PublicKey, false, false, p.Endpoint, p.Keepalive, p.Add})
		case UpdatePeer:
			drop = append(drop, p.Drop...)
			if p.Endpoint.IsValid() || p.Keepalive != nil || len(p.Add) > 0 {
				out = append(out, section{p.PublicKey, false, true, p.Endpoint, p.Keepalive, p.Add})
			}
		case RemovePeer:
			last = append(last, section{PublicKey: p.PublicKey, Remove: true, UpdateOnly: true})
		}
	}
	if len(drop) > 0 {
		nobody, err := key.NewPrivate()
		if err != nil {
			return nil, err
		}
		k := nobody.Public()
		out = append(out, section{PublicKey: k, AllowedIPs: drop}, section{PublicKey: k, Remove: true})
	}
	return append(out, last...), nil
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
