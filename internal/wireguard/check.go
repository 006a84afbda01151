package wireguard

import (
	"errors"
	"fmt"
	"net/netip"

	"ropeway/internal/key"
	"ropeway/internal/plan"
)

// check refuses a device that WireGuard would take and silently make something else of: it lets a prefix have one peer only, and the last one
// named wins; a peer with the device's own key it ignores.
func check(d *plan.Device, own key.Public) error {
	if !validName(d.Name) {
		return errors.New("the name of a device has at most 15 lower-case letters and digits and begins with rw")
	}
	if !d.PublicKey.IsZero() && d.PublicKey != own {
		return errors.New("the plan was made for another public key than that of the private key on this gateway")
	}
	keys := make(map[key.Public]string, len(d.Peers))
	owners := make(map[netip.Prefix]string, len(d.Peers))
	var errs []error
	for _, p := range d.Peers {
		if p.PublicKey.IsZero() {
			continue
		}
		if p.PublicKey == own {
			errs = append(errs, fmt.Errorf("peer %s has the public key of this device itself", p.Gateway))
		}
		if other, taken := keys[p.PublicKey]; taken {
			errs = append(errs, fmt.Errorf("the peers %s and %s have the same public key", other, p.Gateway))
		}
		keys[p.PublicKey] = p.Gateway
		for _, a := range p.AllowedIPs {
			if other, taken := owners[a]; taken && other != p.Gateway {
				errs = append(errs, fmt.Errorf("the peers %s and %s both have the prefix %s", other, p.Gateway, a))
			}
			owners[a] = p.Gateway
		}
	}
	return errors.Join(errs...)
}
