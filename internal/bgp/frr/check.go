package frr

import (
	"fmt"
	"strings"

	"ropeway/internal/bgp"
	"ropeway/internal/fabric"
)

// check refuses what would be another configuration than was meant. plan.Gateway.Validate refuses it, too; passwords alone come from elsewhere.
func check(c *bgp.Config) error {
	if c.BGP == nil || c.ASN == 0 || !c.RouterID.Is4() || c.MaxPaths < 1 {
		return fmt.Errorf("want an AS number, an IPv4 router ID and a number of paths")
	}
	if c.Table != nil {
		if err := c.Table.Validate(); err != nil {
			return fmt.Errorf("table: %w", err)
		}
	}
	for _, n := range c.Neighbors {
		if !fabric.ValidName(n.Name) || !n.Address.IsValid() || n.Address.Zone() != "" || n.Local.Zone() != "" || !n.External() && !n.Local.IsValid() {
			return fmt.Errorf("neighbor %q at %s: its name or addresses cannot be", n.Name, n.Address)
		}
		if n.ASN == 0 || n.ASN == c.ASN || n.MaxHops < 1 || n.MaxHops > mostHops || n.MaxPrefixes < 1 {
			return fmt.Errorf("neighbor %s: want an AS number that is not ours, 1 to %d hops, and a bound of prefixes", n.Name, mostHops)
		}
		if n.Password == "" {
			continue
		}
		p, given := c.Passwords[n.Password]
		switch {
		case !fabric.ValidName(n.Password) || !given:
			return fmt.Errorf("neighbor %s: its password %q is not there", n.Name, n.Password)
		case p == "" || len(p) > bgp.MaxPassword || strings.ContainsFunc(p, func(r rune) bool { return r <= ' ' || r > '~' }):
			return fmt.Errorf("neighbor %s: FRR takes passwords of 1 to %d visible characters of ASCII without spaces, and %s is another", n.Name, bgp.MaxPassword, n.Password)
		}
	}
	return nil
}

// placeholder stands where a password goes when a daemon is told. A name is a DNS label, so no password's place is part of another's.
func placeholder(name string) string { return "<password:" + name + ">" }

// secrets returns the passwords by what stands for them.
func secrets(c *bgp.Config) map[string]string {
	out := map[string]string{}
	for name, p := range c.Passwords {
		out[placeholder(name)] = p
	}
	return out
}
