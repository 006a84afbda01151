package plan

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// bgp compares what two routing daemons have to be.
func (c *changes) bgp(a, b *BGP) {
	if a == b {
		return
	}
	c.parts("bgp", a.describe(), b.describe())
	empty := BGP{}
	a, b = cmp.Or(a, &empty), cmp.Or(b, &empty)
	c.lists("bgp announces", a.Own, b.Own)
	if (kind[Neighbor]{"neighbors", "", func(n *Neighbor) string { return n.Name }}).whole(c, a.Neighbors, b.Neighbors) {
		return
	}
	order := func(x, y *Neighbor) int { return cmp.Or(strings.Compare(x.Name, y.Name), x.Address.Compare(y.Address)) }
	pairs(a.Neighbors, b.Neighbors, order, func(x, y *Neighbor) {
		n := cmp.Or(y, x)
		name := fmt.Sprintf("neighbor %s at %s", n.Name, n.Address)
		switch {
		case x == nil:
			c.parts(name, nil, append(y.whole(), "accepts "+few(y.Accept)))
		case y == nil:
			c.parts(name, x.whole(), nil)
		default:
			c.parts(name, x.describe(), y.describe())
			c.preferences(name+" metric", x.Prefer, y.Prefer)
			c.lists(name+" accepts", x.Accept, y.Accept)
		}
	})
}

// describe says what a daemon is beside its neighbours and prefixes, part by part.
func (b *BGP) describe() []string {
	if b == nil {
		return nil
	}
	parts := []string{string(b.Daemon), fmt.Sprintf("AS %d", b.ASN), fmt.Sprintf("router ID %s", b.RouterID)}
	if len(b.Tags) > 0 {
		parts = append(parts, "tags "+numbers(b.Tags))
	}
	if len(b.Communities) > 0 {
		parts = append(parts, "communities "+join(b.Communities, ","))
	}
	if b.MaxPaths > 1 {
		parts = append(parts, fmt.Sprintf("shares packets among %d tunnels", b.MaxPaths))
	}
	if b.Table != nil {
		parts = append(parts, "holds its part of the place's route table")
		for _, s := range b.Table.Siblings {
			parts = append(parts, fmt.Sprintf("watches %s at %s from %s, BFD %d ms × %d", s.Name, s.Address, s.Local, s.BFD.Interval, s.BFD.Multiplier))
		}
	}
	return parts
}

// whole says what a session is beside what it accepts.
func (n *Neighbor) whole() []string {
	if len(n.Prefer) == 0 {
		return n.describe()
	}
	return append(n.describe(), "metric "+worths(n.Prefer))
}

// describe says what a session is beside its prefixes and what they are worth, part by part.
func (n *Neighbor) describe() []string {
	over := "on the LAN"
	if !n.External() {
		over = fmt.Sprintf("over %s from %s", n.Device, n.Local)
	}
	parts := []string{over, fmt.Sprintf("AS %d", n.ASN), "told " + string(n.Tell), fmt.Sprintf("at most %s and %d prefixes", hops(n.MaxHops), n.MaxPrefixes)}
	if n.Spoke {
		parts = append(parts, "a spoke")
	}
	if len(n.Tags) > 0 {
		parts = append(parts, "tags "+numbers(n.Tags))
	}
	if n.BFD != nil {
		parts = append(parts, fmt.Sprintf("BFD %d ms × %d", n.BFD.Interval, n.BFD.Multiplier))
	}
	if n.Password != "" {
		parts = append(parts, "password of file "+n.Password)
	}
	return append(parts, n.Announce.describe()...)
}

// describe says what is added to routes, part by part.
func (a *Announce) describe() (parts []string) {
	if a == nil {
		return nil
	}
	if len(a.Communities) > 0 {
		parts = append(parts, "adds communities "+join(a.Communities, ","))
	}
	if a.Prepend > 0 {
		parts = append(parts, fmt.Sprintf("prepends its AS %d×", a.Prepend))
	}
	if a.NoExport {
		parts = append(parts, "adds NO_EXPORT")
	}
	return parts
}

// preferences notes a change of what routes are worth. The first that fits decides, so their order counts.
func (c *changes) preferences(object string, before, after []Preference) {
	if !slices.Equal(before, after) {
		c.note(Alter, object, cmp.Or(differ(before, after, worths), "the same in another order"))
	}
}

// worths says what routes are worth: the first words of a list that can be long.
func worths(list []Preference) string {
	const shown = 2
	var words []string
	for _, p := range list[:min(shown, len(list))] {
		words = append(words, p.String())
	}
	if more := len(list) - shown; more > 0 {
		words = append(words, fmt.Sprintf("%d more", more))
	}
	return strings.Join(words, ", ")
}

// String returns a preference as plans show it: "3 at 1 hop with tag 7".
func (p Preference) String() string {
	out := fmt.Sprint(p.Metric)
	if p.LocalPreference != 0 {
		out += fmt.Sprintf(" (preference %d)", p.LocalPreference)
	}
	if p.Hops != 0 {
		out += " at " + hops(p.Hops)
	}
	if p.Tag != 0 {
		out += fmt.Sprintf(" with tag %d", p.Tag)
	}
	return out
}

func hops(n int) string {
	if n == 1 {
		return "1 hop"
	}
	return fmt.Sprintf("%d hops", n)
}

func numbers(list []uint32) string {
	return join(slices.Sorted(slices.Values(list)), ",")
}
