package plan

import (
	"cmp"
	"fmt"
	"net/netip"
	"strings"

	"ropeway/internal/prefixes"
)

// compareGateways returns what happens to a gateway; nil stands for one that does not exist.
func compareGateways(a, b *Gateway, known comparedLists) []Change {
	c := changes{known: known}
	if a != nil && b != nil {
		c.text("place", a.Place, b.Place)
	}
	empty := Gateway{}
	a, b = cmp.Or(a, &empty), cmp.Or(b, &empty)
	c.devices(a, b)
	c.routes(a.Routes, b.Routes)
	c.firewall(&a.Firewall, &b.Firewall)
	c.sysctls(a.Sysctls, b.Sysctls)
	c.bgp(a.BGP, b.BGP)
	return c.all
}

func (c *changes) devices(a, b *Gateway) {
	peer := func(p *Peer) string { return p.Gateway }
	pairs(pointers(a.Devices), pointers(b.Devices), byName(func(d *Device) string { return d.Name }), func(x, y *Device) {
		name := "device " + cmp.Or(x, y).Name
		c.parts(name, x.describe(), y.describe())
		empty := Device{}
		x, y = cmp.Or(x, &empty), cmp.Or(y, &empty)
		if !(kind[Peer]{"peers", "", peer}).whole(c, x.Peers, y.Peers) {
			pairs(x.Peers, y.Peers, byName(peer), c.peers)
		}
	})
}

func (c *changes) peers(x, y *Peer) {
	if x == y {
		return
	}
	name := "peer " + cmp.Or(x, y).Gateway
	switch {
	case x == nil:
		c.parts(name, nil, append(y.describe(), "allows "+few(y.AllowedIPs)))
	case y == nil:
		c.parts(name, x.describe(), nil)
	default:
		if !x.alike(y) {
			c.parts(name, x.describe(), y.describe())
		}
		c.lists(name+" allows", x.AllowedIPs, y.AllowedIPs)
	}
}

// describe says what a device is beside its peers, part by part.
func (d *Device) describe() []string {
	if d == nil {
		return nil
	}
	return []string{fmt.Sprintf("port %d", d.ListenPort), "address " + few(d.Addresses), fmt.Sprintf("MTU %d", d.MTU), "key " + pending(d.PublicKey.String())}
}

// describe says what a peer is beside its prefixes, part by part.
func (p *Peer) describe() []string {
	parts := []string{"dials in"}
	if !p.Endpoint.IsZero() {
		parts[0] = "endpoint " + p.Endpoint.String()
	}
	if p.Standby {
		parts = append(parts, "standby")
	}
	if p.Keepalive > 0 {
		parts = append(parts, fmt.Sprintf("keepalive %d s", p.Keepalive))
	}
	return append(parts, "key "+pending(p.PublicKey.String()), p.whyMTU())
}

// alike reports whether describe says the same of two peers. Most of a million pairs are, and words are slow.
func (p *Peer) alike(o *Peer) bool {
	return p.Endpoint == o.Endpoint && p.Standby == o.Standby && p.Keepalive == o.Keepalive && p.PublicKey == o.PublicKey &&
		p.MTU == o.MTU && p.Underlay == o.Underlay && p.Overhead == o.Overhead
}

// whyMTU says how a link's MTU came about.
func (p *Peer) whyMTU() string {
	why := fmt.Sprintf("MTU %d (underlay %d - %d for WireGuard over IPv%d", p.MTU, p.Underlay, p.Overhead, ipVersion(p.Overhead))
	if p.MTU != p.Underlay-p.Overhead {
		why += ", down to a multiple of 16 because a device of the two pads beyond it"
	}
	return why + ")"
}

func ipVersion(overhead int) int {
	if overhead == 60 {
		return 4
	}
	return 6
}

func pending(k string) string { return cmp.Or(k, "pending") }

// routes compares groups by peer and MTU.
func (c *changes) routes(a, b []*Route) {
	if (kind[Route]{"routes", "via ", func(r *Route) string { return r.Peer }}).whole(c, a, b) {
		return
	}
	order := func(x, y *Route) int {
		return cmp.Or(cmp.Compare(x.Device, y.Device), cmp.Compare(x.Peer, y.Peer), cmp.Compare(y.MTU, x.MTU))
	}
	pairs(a, b, order, func(x, y *Route) {
		switch r := cmp.Or(y, x); {
		case x == y:
		case x == nil:
			c.note(Add, "routes via "+r.Peer, fmt.Sprintf("MTU %d: %s", r.MTU, few(r.Prefixes)))
		case y == nil:
			c.note(Remove, "routes via "+r.Peer, fmt.Sprintf("MTU %d: %s", r.MTU, few(r.Prefixes)))
		default:
			c.lists(fmt.Sprintf("routes via %s, MTU %d", r.Peer, r.MTU), x.Prefixes, y.Prefixes)
		}
	})
}

func (c *changes) firewall(a, b *Firewall) {
	c.lists("firewall: own prefixes", a.Own, b.Own)
	c.lists("firewall: guarded prefixes", a.Fabric, b.Fabric)
	c.text("firewall: answers to flows opened elsewhere", join(a.Answers, ", "), join(b.Answers, ", "))
	order := func(x, y *Rule) int { return cmp.Or(cmp.Compare(x.ID, y.ID), cmp.Compare(x.Direction, y.Direction)) }
	pairs(pointers(a.Rules), pointers(b.Rules), order, func(x, y *Rule) {
		r := cmp.Or(y, x)
		name := fmt.Sprintf("access %d %s", r.ID, r.Direction)
		c.text(name, x.describe(), y.describe())
		if x != nil && y != nil {
			c.lists(name+" from", x.From, y.From)
			c.lists(name+" to", x.To, y.To)
		}
	})
}

// describe says what a rule lets through; the prefixes of a rule that stays are compared one by one instead.
func (r *Rule) describe() string {
	if r == nil {
		return ""
	}
	if len(r.Services) == 0 {
		return "any protocol"
	}
	return join(r.Services, ", ")
}

// join writes a list in one line.
func join[T any](list []T, between string) string {
	words := make([]string, len(list))
	for i, x := range list {
		words[i] = fmt.Sprint(x)
	}
	return strings.Join(words, between)
}

func (c *changes) sysctls(a, b []Sysctl) {
	pairs(pointers(a), pointers(b), byName(func(s *Sysctl) string { return s.Key }), func(x, y *Sysctl) {
		var before, after string
		if x != nil {
			before = x.Value
		}
		if y != nil {
			after = y.Value
		}
		c.text("sysctl "+cmp.Or(x, y).Key, before, after)
	})
}

// pointers returns pointers to the elements of a list.
func pointers[T any](list []T) []*T {
	out := make([]*T, len(list))
	for i := range list {
		out[i] = &list[i]
	}
	return out
}

// mostShown is how many prefixes a line of a plan names before it counts the rest.
const mostShown = 6

func few(list []netip.Prefix) string { return prefixes.Few(list, mostShown) }
