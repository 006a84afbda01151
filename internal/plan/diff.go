package plan

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"
)

// An Action says what happens to an object.
type Action string

const (
	Add    Action = "add"    // shown as +
	Alter  Action = "change" // shown as ~
	Remove Action = "remove" // shown as -
)

// Mark returns the sign that a plan shows: +, ~ or -.
func (a Action) Mark() string {
	switch a {
	case Add:
		return "+"
	case Remove:
		return "-"
	}
	return "~"
}

// A Diff is what has to happen to come from one plan to another. Nothing in it means that nothing has to.
type Diff struct {
	Gateways []Difference `json:"gateways"` // sorted by name
	Routers  []Difference `json:"routers"`  // the route tables of places, sorted by name
}

// Empty reports whether two plans are the same.
func (d *Diff) Empty() bool { return len(d.Gateways) == 0 && len(d.Routers) == 0 }

// A Difference is what happens to one gateway or one place's route table.
type Difference struct {
	Name    string   `json:"name"`
	Place   string   `json:"place"`
	Action  Action   `json:"action"`
	Changes []Change `json:"changes"`
}

// A Change is one thing that happens.
type Change struct {
	Action Action `json:"action"`
	Object string `json:"object"` // "device rw0", "peer euw1-a", "routes via euw1-a", "access 2 out", "sysctl …"
	Detail string `json:"detail"` // one line
}

// Compare returns the difference between two plans; before may be nil.
func Compare(before, after *Fabric) *Diff {
	if before == nil {
		before = &Fabric{}
	}
	d := &Diff{Gateways: []Difference{}, Routers: []Difference{}}
	pairs(before.Gateways, after.Gateways, func(g *Gateway) string { return g.Name }, func(a, b *Gateway) {
		if a == b {
			return
		}
		x := difference(a, b, func(g *Gateway) (string, string) { return g.Name, g.Place })
		x.Changes = compareGateways(a, b)
		if len(x.Changes) > 0 {
			d.Gateways = append(d.Gateways, x)
		}
	})
	pairs(before.Places, after.Places, func(p *Place) string { return p.Name }, func(a, b *Place) {
		if a == b {
			return
		}
		x := difference(a, b, func(p *Place) (string, string) { return p.Name, p.Name })
		x.Changes = compareRouters(a, b)
		if len(x.Changes) > 0 {
			d.Routers = append(d.Routers, x)
		}
	})
	return d
}

func difference[T any](a, b *T, names func(*T) (name, place string)) Difference {
	x := Difference{Action: Alter}
	switch {
	case a == nil:
		x.Action = Add
		x.Name, x.Place = names(b)
	case b == nil:
		x.Action = Remove
		x.Name, x.Place = names(a)
	default:
		x.Name, x.Place = names(b)
	}
	return x
}

// pairs walks two lists sorted by name and calls f with what has the same name; nil stands for what one list lacks.
func pairs[T any](before, after []*T, name func(*T) string, f func(a, b *T)) {
	for len(before) > 0 || len(after) > 0 {
		var order int
		switch {
		case len(before) == 0:
			order = 1
		case len(after) == 0:
			order = -1
		default:
			order = strings.Compare(name(before[0]), name(after[0]))
		}
		switch {
		case order < 0:
			f(before[0], nil)
			before = before[1:]
		case order > 0:
			f(nil, after[0])
			after = after[1:]
		default:
			f(before[0], after[0])
			before, after = before[1:], after[1:]
		}
	}
}

// changes collects what happens to one gateway.
type changes []Change

func (c *changes) note(a Action, object, detail string) {
	*c = append(*c, Change{a, object, detail})
}

// text notes a change between two descriptions, of which "" means that there is nothing.
func (c *changes) text(object, before, after string) {
	switch {
	case before == after:
	case before == "":
		c.note(Add, object, after)
	case after == "":
		c.note(Remove, object, before)
	default:
		c.note(Alter, object, before+" → "+after)
	}
}

// parts notes a change between two descriptions in parts: whole where one is empty, else what went and what came.
func (c *changes) parts(object string, before, after []string) {
	switch {
	case slices.Equal(before, after):
	case before == nil:
		c.note(Add, object, strings.Join(after, ", "))
	case after == nil:
		c.note(Remove, object, strings.Join(before, ", "))
	default:
		var changed []string
		for _, p := range before {
			if !slices.Contains(after, p) {
				changed = append(changed, "- "+p)
			}
		}
		for _, p := range after {
			if !slices.Contains(before, p) {
				changed = append(changed, "+ "+p)
			}
		}
		c.note(Alter, object, strings.Join(changed, ", "))
	}
}

// lists notes a change between two sets of prefixes, and nothing where they are the same.
func (c *changes) lists(object string, before, after []netip.Prefix) {
	gone, come := onlyIn(before, after), onlyIn(after, before)
	var parts []string
	if len(come) > 0 {
		parts = append(parts, "+ "+few(come))
	}
	if len(gone) > 0 {
		parts = append(parts, "- "+few(gone))
	}
	if len(parts) > 0 {
		c.note(Alter, object, strings.Join(parts, ", "))
	}
}

// onlyIn returns what is in a and not in b. A list that both share is compared by what it is, not by what it holds.
func onlyIn(a, b []netip.Prefix) []netip.Prefix {
	if len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0]) {
		return nil
	}
	in := make(map[netip.Prefix]bool, len(b))
	for _, p := range b {
		in[p] = true
	}
	return slices.DeleteFunc(slices.Clone(a), func(p netip.Prefix) bool { return in[p] })
}

func compareRouters(a, b *Place) []Change {
	var c changes
	empty := Place{}
	a, b = cmp.Or(a, &empty), cmp.Or(b, &empty)
	c.lists("prefixes", a.Prefixes, b.Prefixes)
	pairs(a.Routes, b.Routes, func(r *RouterRoute) string { return r.To }, func(x, y *RouterRoute) {
		switch {
		case x == nil:
			c.note(Add, "routes to "+y.To, "via "+y.Gateway+": "+few(y.Prefixes))
		case y == nil:
			c.note(Remove, "routes to "+x.To, "via "+x.Gateway+": "+few(x.Prefixes))
		default:
			c.text("routes to "+y.To, "via "+x.Gateway, "via "+y.Gateway)
			c.lists("routes to "+y.To, x.Prefixes, y.Prefixes)
		}
	})
	return c
}
