package wireguard

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"ropeway/internal/key"
)

// A device that goes up begins handshakes with its peers, and so do theirs where gateways boot together. Two handshakes that cross spoil
// each other: each end gives up its own to answer the other's, and neither answer fits what is left. Both try again after 5 s
// (REKEY_TIMEOUT), and cross again where they are still in step.
//
// At an end to which that happened, a peer was heard and no handshake came of it. One of the two makes the peer anew, so that it begins
// at once: the end with the lower public key, and where that does not (it may be nobody's agent), the other one. There is no
// session that could be lost. Letting one end wait to begin with would cost every restart of a gateway what it waits.

// glances are when an end looks for handshakes that crossed, after its device was made: in the first Apply that comes later. The two ends take
// turns. What crossed once can cross again when both ends try again, where a busy machine keeps them in step; so there are more than two.
var glances = [...]glance{
	{500 * time.Millisecond, true}, {1500 * time.Millisecond, false},
	{3 * time.Second, true}, {5 * time.Second, false},
	{8 * time.Second, true}, {11 * time.Second, false},
	{15 * time.Second, true}, {20 * time.Second, false},
}

// A glance is at half of the peers.
type glance struct {
	after time.Duration // more than a handshake takes to the other side of the world
	lower bool          // at those whose public key is higher than ours, else at the others
}

// A youth is how far a new device has come with its glances.
type youth struct {
	since time.Time // when it was made, or this Client first saw it: whoever made it may have ended soon after
	next  int
}

// uncross looks for handshakes that crossed, where it is time for that, and begins them anew.
func (c *Client) uncross(ctx context.Context, j *job) error {
	y := c.youths[j.want.Name]
	if y == nil {
		y = &youth{since: time.Now()}
		c.youths[j.want.Name] = y
	}
	if y.next == len(glances) || time.Since(y.since) < glances[y.next].after {
		return nil
	}
	y.next++
	read := j.control.read
	if h, ok := j.control.(hearer); ok {
		read = h.heard
	}
	s, err := read()
	if err != nil {
		return fmt.Errorf("look for handshakes that crossed: %w", err)
	}
	begin, restore := crossed(&s, j.want.PublicKey, glances[y.next-1].lower)
	before := j.writes
	for _, list := range [][]section{begin, restore} {
		if err := inPieces(ctx, list, j.write); err != nil {
			return fmt.Errorf("begin handshakes anew: %w", err)
		}
	}
	if s.Count != 0 && j.known.count == s.Count {
		j.known.count += j.writes - before
	}
	return nil
}

// crossed returns what makes those peers anew that were heard and have no session. Each gets a keepalive, which it sends at once, and then
// the one that it had.
func crossed(s *status, own key.Public, ourTurn bool) (begin, restore []section) {
	soon := 1
	for i := range s.Peers {
		p := &s.Peers[i]
		if !p.LastHandshake.IsZero() || p.Received == 0 || !p.Endpoint.IsValid() || lower(own, p.PublicKey) != ourTurn {
			continue
		}
		begin = append(begin,
			section{PublicKey: p.PublicKey, UpdateOnly: true, Remove: true},
			section{PublicKey: p.PublicKey, Endpoint: p.Endpoint, Keepalive: &soon, AllowedIPs: p.AllowedIPs})
		restore = append(restore, section{PublicKey: p.PublicKey, UpdateOnly: true, Keepalive: &p.Keepalive})
	}
	return begin, restore
}

// lower orders the two ends of a session, the same way at both.
func lower(a, b key.Public) bool {
	x, y := a.Bytes(), b.Bytes()
	return bytes.Compare(x[:], y[:]) < 0
}
