package wireguard

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// Observe returns Ropeway's devices sorted by name. A userspace device whose process is dead is not there, as its interface is not. A
// device that does not answer is left out and told in the error; the others are returned all the same.
func (c *Client) Observe(ctx context.Context) ([]Device, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reap()
	found, err := c.links()
	if err != nil {
		return nil, err
	}
	var devices []Device
	var errs []error
	for _, l := range found {
		d, err := c.observe(ctx, l)
		if errors.Is(err, errForeign) {
			continue
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", l.Name, err))
			continue
		}
		devices = append(devices, d)
	}
	return devices, errors.Join(errs...)
}

// errForeign means that an interface has a name of ours and is not ours.
var errForeign = errors.New("the interface is not a WireGuard device of Ropeway's, it is left alone")

// open returns the control of the device behind an interface, or errForeign.
func (c *Client) open(ctx context.Context, l link) (control, Backend, error) {
	switch l.Kind {
	case "wireguard":
		k, err := openKernel(l.Name)
		return k, Kernel, err
	case "tun":
		s, err := c.converse(ctx, l.Name)
		if err == nil {
			return s, Userspace, nil
		}
		if nobodyListens(err) {
			return nil, "", fmt.Errorf("%w (a TUN interface, and nobody serves %s)", errForeign, socketPath(c.opts.SocketDir, l.Name))
		}
		return nil, "", err
	}
	return nil, "", errForeign
}

func (c *Client) observe(ctx context.Context, l link) (Device, error) {
	ctl, backend, err := c.open(ctx, l)
	if err != nil {
		return Device{}, err
	}
	defer func() { _ = ctl.close() }()
	return c.readDevice(ctl, backend, l)
}

// readDevice reads all of a device.
func (c *Client) readDevice(ctl control, backend Backend, l link) (Device, error) {
	s, err := ctl.read()
	if err != nil {
		return Device{}, err
	}
	return c.combine(s, backend, l), nil
}

// combine puts together what the device and its interface say, and what we set.
func (c *Client) combine(s status, backend Backend, l link) Device {
	set := c.settledOf(l.Name).set
	for i := range s.Peers {
		s.Peers[i].Set = set[s.Peers[i].PublicKey]
	}
	return Device{l.Name, backend, s.Offload, l.Up, l.MTU, s.ListenPort, s.PublicKey, slices.Clone(l.Addresses), s.Peers}
}
