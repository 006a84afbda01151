package plan

import (
	"cmp"
	"fmt"
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

// A Change is one thing that happens. Where what had no peers or routes gets more than 20, or loses all of more than 20, one change
// stands for them: the object is "peers" or "routes", and the detail names the first and says how many more there are.
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
	known := comparedLists{}
	pairs(before.Gateways, after.Gateways, byName(func(g *Gateway) string { return g.Name }), func(a, b *Gateway) {
		if a == b {
			return
		}
		x := difference(a, b, func(g *Gateway) (string, string) { return g.Name, g.Place })
		x.Changes = compareGateways(a, b, known)
		if len(x.Changes) > 0 {
			d.Gateways = append(d.Gateways, x)
		}
	})
	pairs(before.Places, after.Places, byName(func(p *Place) string { return p.Name }), func(a, b *Place) {
		if a == b {
			return
		}
		x := difference(a, b, func(p *Place) (string, string) { return p.Name, p.Name })
		x.Changes = compareRouters(a, b, known)
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

// pairs walks two sorted lists and calls f with what stands in both; nil stands for what one list lacks.
func pairs[T any](before, after []*T, order func(a, b *T) int, f func(a, b *T)) {
	for len(before) > 0 || len(after) > 0 {
		var which int
		switch {
		case len(before) == 0:
			which = 1
		case len(after) == 0:
			which = -1
		default:
			which = order(before[0], after[0])
		}
		switch {
		case which < 0:
			f(before[0], nil)
			before = before[1:]
		case which > 0:
			f(nil, after[0])
			after = after[1:]
		default:
			f(before[0], after[0])
			before, after = before[1:], after[1:]
		}
	}
}

// byName is the order of a list that is sorted by a name.
func byName[T any](name func(*T) string) func(a, b *T) int {
	return func(a, b *T) int { return strings.Compare(name(a), name(b)) }
}

// changes collects what happens to one gateway or route table.
type changes struct {
	all   []Change
	known comparedLists
}

func (c *changes) note(a Action, object, detail string) {
	c.all = append(c.all, Change{a, object, detail})
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

// mostWhole is how many things of a kind are noted one by one where all of them come or go.
const mostWhole = 20

// A kind is how things of one list are spoken of together: "routes", "via " and the name of each.
type kind[T any] struct {
	object, lead string
	name         func(*T) string
}

// whole notes a long list that comes or goes whole as one change, and reports whether it did. A thousand new gateways in mesh have a
// million peers: nobody reads them here, and the plans themselves have them.
func (k kind[T]) whole(c *changes, before, after []*T) bool {
	action, list := Add, after
	if len(after) == 0 {
		action, list = Remove, before
	}
	if len(list) <= mostWhole || len(list) < len(before)+len(after) {
		return false
	}
	var first []string
	for _, x := range list[:mostShown] {
		first = append(first, k.name(x))
	}
	c.note(action, k.object, fmt.Sprintf("%s%s and %d more", k.lead, strings.Join(first, ", "), len(list)-len(first)))
	return true
}

func compareRouters(a, b *Place, known comparedLists) []Change {
	c := changes{known: known}
	empty := Place{}
	a, b = cmp.Or(a, &empty), cmp.Or(b, &empty)
	c.lists("prefixes", a.Prefixes, b.Prefixes)
	to := func(r *RouterRoute) string { return r.To }
	if (kind[RouterRoute]{"routes", "to ", to}).whole(&c, a.Routes, b.Routes) {
		return c.all
	}
	pairs(a.Routes, b.Routes, byName(to), func(x, y *RouterRoute) {
		switch {
		case x == nil:
			c.note(Add, "routes to "+y.To, "via "+y.holders()+": "+few(y.Prefixes))
		case y == nil:
			c.note(Remove, "routes to "+x.To, "via "+x.holders()+": "+few(x.Prefixes))
		default:
			c.text("routes to "+y.To, "via "+x.holders(), "via "+y.holders())
			c.lists("routes to "+y.To, x.Prefixes, y.Prefixes)
		}
	})
	return c.all
}

// holders names the gateways of a route in their turn.
func (r *RouterRoute) holders() string {
	return strings.Join(append([]string{r.Gateway}, r.Then...), ", then ")
}
