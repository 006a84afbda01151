package wireguard

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"ropeway/internal/key"
	"ropeway/internal/plan"
)

// Peers behind NAT have no endpoint in the plan: they dial, and a device answers where it heard them. One that is made anew has heard nobody. Until such a
// peer gives up on the session that is gone it would be out of reach, though its NAT still lets through what comes from here. So the Client tells where
// these peers were heard (Heard), and who kept that, beyond the end of this process or machine, is asked when a peer is new to its device (Options.Recall).
//
// What is recalled need not be true any more. A handshake that goes where the peer is not is answered by nobody, for only the peer can, and its address
// follows as ever when it dials.

// Endpoints are addresses of peers, by the name of the device and the public key of the peer. Two tunnels to one peer cross its NAT by two ports.
type Endpoints map[string]map[key.Public]netip.AddrPort

// A Recall returns where a peer of a device was heard last, as Heard told; the zero value where nobody knows.
type Recall func(device string, peer key.Public) netip.AddrPort

// Heard returns where those peers were heard last to whom the plan gives no endpoint, as far as they had a session with the device as it is now. A device that
// has such peers and was read is named, with none of them too; one that is not there is not, nor one that does not answer, which the error tells.
func (c *Client) Heard(ctx context.Context, want []plan.Device) (Endpoints, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	found, err := c.links()
	if err != nil {
		return nil, err
	}
	out := Endpoints{}
	var errs []error
	for i := range want {
		dialing := dialingPeers(&want[i])
		at := slices.IndexFunc(found, func(l link) bool { return l.Name == want[i].Name })
		if at < 0 || len(dialing) == 0 {
			continue
		}
		d, err := c.observe(ctx, found[at])
		switch {
		case errors.Is(err, errForeign):
		case err != nil:
			errs = append(errs, fmt.Errorf("%s: %w", want[i].Name, err))
		default:
			out[d.Name] = heardOf(d.Peers, dialing)
		}
	}
	return out, errors.Join(errs...)
}

// dialingPeers returns the peers of a device that the plan knows no address of.
func dialingPeers(d *plan.Device) map[key.Public]bool {
	out := map[key.Public]bool{}
	for _, p := range d.Peers {
		if p.Endpoint.IsZero() && !p.PublicKey.IsZero() {
			out[p.PublicKey] = true
		}
	}
	return out
}

// heardOf leaves out what was only set, or has a zone, which means something else after the next boot.
func heardOf(peers []Peer, dialing map[key.Public]bool) map[key.Public]netip.AddrPort {
	out := map[key.Public]netip.AddrPort{}
	for i := range peers {
		p := &peers[i]
		if dialing[p.PublicKey] && !p.LastHandshake.IsZero() && p.Endpoint.IsValid() && p.Endpoint.Addr().Zone() == "" {
			out[p.PublicKey] = p.Endpoint
		}
	}
	return out
}

// recall gives peers that are new to the device, and have no address, the one where they were heard last.
func (j *job) recall(changes []Change) []Change {
	if j.heard == nil {
		return changes
	}
	for i := range changes {
		p := changes[i].Peer
		if changes[i].Op != AddPeer || p.Endpoint.IsValid() {
			continue
		}
		if at := j.heard(j.want.Name, p.PublicKey); at.IsValid() {
			p.Endpoint = at
			j.recalled[p.PublicKey] = true
		}
	}
	return changes
}
