package plan

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"

	"ropeway/internal/fabric"
)

// Limits of what a plan may say. The kernel's names of interfaces have at most 15 bytes (IFNAMSIZ).
var (
	deviceName = regexp.MustCompile(`^rw[a-z0-9]{1,13}$`)
	sysctlKey  = regexp.MustCompile(`^net/(ipv4|ipv6|core|netfilter)/[a-z0-9_]+(/[a-z0-9_]+)*$`)
	sysctlVal  = regexp.MustCompile(`^[0-9]+( [0-9]+)*$`)
)

// Validate reports the first thing in a plan that no compiler of ours writes: a name that is not a DNS label, a prefix with host
// bits, a rule without direction. It says nothing of whether the plan does what anybody wants; that is the prover's work.
func (g *Gateway) Validate() error {
	if !fabric.ValidName(g.Name) || !fabric.ValidName(g.Place) {
		return fmt.Errorf("the names of gateway and place must be DNS labels")
	}
	seen := map[string]bool{}
	for i := range g.Devices {
		d := &g.Devices[i]
		if !deviceName.MatchString(d.Name) || seen[d.Name] {
			return fmt.Errorf("device %d: want a unique name of at most 15 characters that begins with rw", i+1)
		}
		seen[d.Name] = true
		if err := d.validate(); err != nil {
			return fmt.Errorf("device %s: %w", d.Name, err)
		}
	}
	for i, r := range g.Routes {
		if r == nil || !seen[r.Device] || !fabric.ValidName(r.Peer) || !validMTU(r.MTU) {
			return fmt.Errorf("route group %d: want a device of this plan, a peer and an MTU", i+1)
		}
		if err := canonical(r.Prefixes); err != nil {
			return fmt.Errorf("routes to %s: %w", r.Peer, err)
		}
	}
	if err := g.Firewall.validate(); err != nil {
		return fmt.Errorf("firewall: %w", err)
	}
	for i, s := range g.Sysctls {
		if !sysctlKey.MatchString(s.Key) || !sysctlVal.MatchString(s.Value) {
			return fmt.Errorf("sysctl %d: want a key below net/ and a number", i+1)
		}
	}
	if g.BGP != nil {
		if err := g.BGP.validate(seen); err != nil {
			return fmt.Errorf("bgp: %w", err)
		}
	}
	return nil
}

func (d *Device) validate() error {
	if d.ListenPort == 0 || !validMTU(d.MTU) {
		return fmt.Errorf("want a listen port and an MTU from 68 to 65535")
	}
	for _, a := range d.Addresses {
		if single := a.Bits() >= a.Addr().BitLen()-1; !a.IsValid() || a.Addr().Is4In6() || !single && a != a.Masked() {
			return fmt.Errorf("address %s is neither one of a pair nor canonical", a)
		}
	}
	seen := map[string]bool{}
	for i, p := range d.Peers {
		if p == nil || !fabric.ValidName(p.Gateway) || seen[p.Gateway] {
			return fmt.Errorf("peer %d: want a unique DNS label as its gateway", i+1)
		}
		seen[p.Gateway] = true
		if p.Keepalive < 0 || p.Keepalive > 65535 || !validMTU(p.MTU) {
			return fmt.Errorf("peer %s: keepalive or MTU out of range", p.Gateway)
		}
		if err := canonical(p.AllowedIPs); err != nil {
			return fmt.Errorf("peer %s: %w", p.Gateway, err)
		}
	}
	return nil
}

func (f *Firewall) validate() error {
	for _, list := range [][]netip.Prefix{f.Own, f.Fabric} {
		if err := canonical(list); err != nil {
			return err
		}
	}
	for i, d := range f.Answers {
		if !d.valid() || slices.Contains(f.Answers[:i], d) {
			return fmt.Errorf("answers: want directions out, in or transit, each once")
		}
	}
	for i, r := range f.Rules {
		if r.ID < 1 {
			return fmt.Errorf("rule %d: want the number of its access entry, from 1", i+1)
		}
		if !r.Direction.valid() {
			return fmt.Errorf("rule %d: want direction out, in or transit", i+1)
		}
		for _, list := range [][]netip.Prefix{r.From, r.To} {
			if err := canonical(list); err != nil {
				return fmt.Errorf("rule %d: %w", i+1, err)
			}
		}
	}
	return nil
}

func (d Direction) valid() bool { return d == Out || d == In || d == Transit }

// validMTU bounds an MTU by what IPv4 requires of a link (RFC 791) and by the size of an IP packet.
func validMTU(mtu int) bool { return mtu >= 68 && mtu <= 65535 }

// canonical refuses a prefix that is not valid, has host bits or is IPv4 written as IPv6.
func canonical(prefixes []netip.Prefix) error {
	for _, p := range prefixes {
		if !p.IsValid() || p != p.Masked() || p.Addr().Is4In6() {
			return fmt.Errorf("prefix %s is not canonical", p)
		}
	}
	return nil
}
