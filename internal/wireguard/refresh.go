package wireguard

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"ropeway/internal/plan"
)

// Plan returns what Apply would change now, and changes nothing.
func (c *Client) Plan(ctx context.Context, want []plan.Device, keys Keys) ([]Change, error) {
	have, err := c.Observe(ctx)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	var errs []error
	resolved := make([]plan.Device, len(want))
	for i := range want {
		private, err := keys(want[i].Name)
		if err != nil {
			return nil, fmt.Errorf("%s: private key: %w", want[i].Name, err)
		}
		own := private.Public()
		var unresolved error
		resolved[i], unresolved = c.names.resolve(ctx, want[i])
		if err := errors.Join(check(&resolved[i], own), unresolved); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", want[i].Name, err))
		}
		resolved[i].PublicKey = own
	}
	return Diff(resolved, have), errors.Join(errs...)
}

// Refresh mends endpoints: where the last handshake with a peer is older than StaleAfter, its DNS name is resolved again, and the
// endpoint of the plan is set in place of one that has roamed. Sessions that work are left alone. To be called every now and then,
// such as every 30 s; it reads all peers.
func (c *Client) Refresh(ctx context.Context, want []plan.Device) ([]Change, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	found, err := c.links()
	if err != nil {
		return nil, err
	}
	var done []Change
	var errs []error
	for i := range want {
		at := slices.IndexFunc(found, func(l link) bool { return l.Name == want[i].Name })
		if at < 0 {
			continue
		}
		changes, err := c.refreshDevice(ctx, want[i], found[at])
		done = append(done, changes...)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", want[i].Name, err))
		}
	}
	return done, errors.Join(errs...)
}

func (c *Client) refreshDevice(ctx context.Context, want plan.Device, l link) ([]Change, error) {
	ctl, backend, err := c.open(ctx, l)
	if err != nil {
		return nil, err
	}
	defer func() { _ = ctl.close() }()
	s, err := ctl.read()
	if err != nil {
		return nil, err
	}
	have := c.combine(s, backend, l)
	c.names.renew(ctx, staleNames(&want, &have))
	want, unresolved := c.names.resolve(ctx, want)

	j := &job{want: want, control: ctl, known: c.settledOf(l.Name)}
	changes := endpointsOnly(diffPeers(&want, &have))
	if len(changes) == 0 {
		return nil, unresolved
	}
	if err := j.writePeers(ctx, changes); err != nil {
		j.known.forget()
		return nil, errors.Join(err, unresolved)
	}
	if s.Count != 0 && j.known.count == s.Count {
		j.known.count += j.writes
	}
	return changes, unresolved
}

// staleNames returns the DNS names of peers whose session is stale.
func staleNames(want *plan.Device, have *Device) []string {
	var out []string
	for _, p := range want.Peers {
		if !named(p) {
			continue
		}
		i := slices.IndexFunc(have.Peers, func(h Peer) bool { return h.PublicKey == p.PublicKey })
		if i >= 0 && have.Peers[i].Stale {
			out = append(out, p.Endpoint.Host)
		}
	}
	return out
}

// endpointsOnly leaves of changes what they say about endpoints of peers that are there.
func endpointsOnly(changes []Change) []Change {
	var out []Change
	for _, c := range changes {
		if c.Op == UpdatePeer && c.Peer.Endpoint.IsValid() {
			c.Peer = &PeerChange{PublicKey: c.Peer.PublicKey, Gateway: c.Peer.Gateway, Endpoint: c.Peer.Endpoint}
			out = append(out, c)
		}
	}
	return out
}
