// Package scope says what in a fabric belongs to some of its places, and so what somebody may change who is bound to them.
//
// It is narrow on purpose. Of a place that is his he may change what it is made of: its gateways, its provider, its underlay. He may not change
// which addresses it has, because every other place sends packets there, nor its part in the topology, nor whether it exists. A segment, a link, an
// access entry or a test is his where every address, or place, that it names is his. One between his places and others is not: it lets somebody
// in to them, or says what must hold for them. What is not his must be in the new file as it is in the old one, in the same order, in
// meaning; comments and spelling are nobody's.
//
// So a change that passes moves no packet between two places of others, except what a gateway of his carried for them as a hub: its loss is theirs
// too, as it is when the gateway dies, and the proof shows it.
package scope

import (
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strings"

	"ropeway/internal/intent"
	"ropeway/internal/prefixes"
)

// Foreign lists what a change touches that does not belong to the places, in the words of the new file; nil: nothing. What is only in the old one
// is not named, for whoever is bound may not know of it. Without an old one everything is foreign.
func Foreign(before, after *intent.Fabric, places []string) []string {
	if before == nil {
		return []string{"the first file of a fabric"}
	}
	c := &change{before: before, after: after, places: places}
	for _, f := range []*intent.Fabric{before, after} {
		for _, p := range f.Places {
			if slices.Contains(places, p.Name) {
				c.own = append(c.own, p.Prefixes...)
			}
		}
	}
	if before.Name != after.Name || before.Topology != after.Topology || before.Routing != after.Routing || !reflect.DeepEqual(before.Pools, after.Pools) {
		c.note("the fabric's name, topology, routing or addressing")
	}
	c.comparePlaces()
	compare(c, before.Segments, after.Segments, kind[intent.Segment]{"segment", segment, func(s intent.Segment) bool { return c.within(s.Prefixes) }})
	compare(c, before.Links, after.Links, kind[intent.Link]{"link", link, func(l intent.Link) bool { return c.has(l.A) && c.has(l.B) }})
	compare(c, before.Access, after.Access, kind[intent.Access]{"access entry", access, func(a intent.Access) bool { return c.within(a.From.Prefixes) && c.within(a.To.Prefixes) }})
	compare(c, before.Tests, after.Tests, kind[intent.Test]{"test", test, func(t intent.Test) bool { return c.within(t.From.Prefixes) && c.within(t.To.Prefixes) }})
	return c.out
}

// A change is two files and what was found between them.
type change struct {
	before, after *intent.Fabric
	places        []string
	own           []netip.Prefix // every address of the places, before or after
	out           []string
}

// note adds what is foreign, in a few words.
func (c *change) note(what string) {
	const most = 120
	if len(what) > most {
		what = strings.ToValidUTF8(what[:most], "") + "…"
	}
	c.out = append(c.out, what)
}

func (c *change) has(p *intent.Place) bool { return slices.Contains(c.places, p.Name) }

// within reports whether every address is one of the places'.
func (c *change) within(list []netip.Prefix) bool {
	return len(list) > 0 && len(prefixes.Subtract(list, prefixes.Normal(c.own))) == 0
}

func (c *change) comparePlaces() {
	for _, p := range c.after.Places {
		switch was := c.before.Place(p.Name); {
		case was == nil:
			c.note("place " + p.Name + ", which is new")
		case place(was) != place(p):
			c.note("place " + p.Name + ": its addresses, or its part in the topology")
		case !c.has(p) && inside(was) != inside(p):
			c.note("place " + p.Name)
		}
	}
	for _, p := range c.before.Places {
		if c.after.Place(p.Name) == nil {
			c.note("the file leaves out: place")
			return
		}
	}
}

// A kind is how entries of one kind are held against each other: text writes what one means, with everything that counts.
type kind[T any] struct {
	what string
	text func(T) string
	own  func(T) bool
}

// compare holds what is foreign in two lists against each other.
func compare[T any](c *change, before, after []T, k kind[T]) {
	foreign := func(list []T) (out []string) {
		for _, x := range list {
			if !k.own(x) {
				out = append(out, k.text(x))
			}
		}
		return out
	}
	was, is := foreign(before), foreign(after)
	for i, x := range is {
		if i >= len(was) || was[i] != x {
			c.note(k.what + " " + x)
			return
		}
	}
	if len(was) > len(is) {
		c.note("the file leaves out: " + k.what)
	}
}

// What of each thing counts: everything but where it was written.

// place writes what of a place is never only its own: addresses, topology, and the number and marks that others know it by.
func place(p *intent.Place) string {
	hubs := make([]string, 0, len(p.Hubs))
	for _, h := range p.Hubs {
		hubs = append(hubs, h.Name)
	}
	return fmt.Sprint(p.Name, p.Kind, p.Prefixes, p.Hub, hubs, p.Ranked, p.ASN, p.Communities)
}

// inside writes the rest.
func inside(p *intent.Place) string {
	out := fmt.Sprint(p.Provider, " ", p.UnderlayMTU, " ", p.TakeOver)
	for _, g := range p.Gateways {
		out += fmt.Sprintf(" %s %q %s %d %t %d %s", g.Name, g.Zone, g.Endpoint, g.Port, g.NAT, g.Cores, g.Address)
	}
	for _, r := range p.Routers {
		out += fmt.Sprintf(" %s %s %d %s %s %v", r.Name, r.Address, r.ASN, r.Accept, r.Password, r.Announce)
	}
	return out
}

func segment(s intent.Segment) string { return fmt.Sprint(s.Name, " ", s.Prefixes) }

func link(l intent.Link) string {
	return fmt.Sprint(l.A.Name, " ", l.B.Name, " ", l.UnderlayMTU, " ", l.Tunnels, " ", l.Path)
}

func access(a intent.Access) string {
	return fmt.Sprint("from ", selector(a.From), " to ", selector(a.To), " ", a.Services)
}

func test(t intent.Test) string {
	service := ""
	if t.Service != nil {
		service = fmt.Sprint(*t.Service)
	}
	return fmt.Sprint("from ", selector(t.From), " to ", selector(t.To), " ", service, " ", t.Expect, " ", t.Symmetric, " ", t.MTU)
}

func selector(s intent.Selector) string {
	if len(s.Prefixes) == 1 && s.Text == s.Prefixes[0].String() {
		return s.Text
	}
	return fmt.Sprint(s.Text, " ", s.Prefixes)
}
