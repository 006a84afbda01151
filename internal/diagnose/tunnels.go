package diagnose

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// tunnels finds links whose ends are there and of which one hears nothing of the other through the tunnel. Where that is so of everybody whom a gateway
// should hear, it is the gateway, and not each of its links.
func (d *doctor) tunnels() {
	dead, all := map[string][]*Link{}, map[string]int{} // by gateway
	for i := range d.facts.Links {
		l := &d.facts.Links[i]
		if d.gone(l.A) || d.gone(l.B) {
			continue
		}
		for _, end := range []string{l.A, l.B} {
			all[end]++
			if len(l.Unheard) > 0 {
				dead[end] = append(dead[end], l)
			}
		}
	}
	told := map[*Link]bool{}
	untold := func(name string) (out []*Link) {
		return slices.DeleteFunc(slices.Clone(dead[name]), func(l *Link) bool { return told[l] })
	}
	deaf := slices.SortedFunc(maps.Keys(dead), func(a, b string) int {
		return cmp.Or(cmp.Compare(len(dead[b]), len(dead[a])), strings.Compare(a, b))
	})
	for _, name := range deaf {
		if left := untold(name); len(dead[name]) == all[name] && len(left) > 1 {
			d.note(deafCause(name, left))
			for _, l := range left {
				told[l] = true
			}
		}
	}
	for i := range d.facts.Links {
		if l := &d.facts.Links[i]; len(l.Unheard) > 0 && !told[l] && !d.gone(l.A) && !d.gone(l.B) {
			d.note(Cause{Weight: weigh(l), Subject: "link " + l.A + "," + l.B, What: strings.Join(l.unheard(), ", "), Next: underlay, links: 1})
		}
	}
}

// gone reports whether a gateway is not there, which explains all of its links.
func (d *doctor) gone(name string) bool {
	g := d.byName[name]
	return g == nil || g.State == Away || g.State == Absent
}

const underlay = "does UDP pass between their endpoints, both ways? On either one: ropeway-gateway status"

// deafCause is one gateway whose every link is dead.
func deafCause(name string, links []*Link) Cause {
	c := Cause{Weight: Fault, Subject: "gateway " + name, Next: underlay, links: len(links)}
	var others []string
	for _, l := range links {
		if weigh(l) == Outage {
			c.Weight = Outage
		}
		others = append(others, l.other(name))
	}
	slices.Sort(others)
	c.What = fmt.Sprintf("no packet passes through any of its %d tunnels, to %s", len(links), some(others))
	return c
}

// weigh says how bad a dead link is: nothing carries on for one that carries, unless gateways go round it.
func weigh(l *Link) Weight {
	if l.Carries && !l.Learnt {
		return Outage
	}
	return Fault
}

func (l *Link) other(name string) string {
	if name == l.A {
		return l.B
	}
	return l.A
}

func (l *Link) unheard() (out []string) {
	for _, end := range l.Unheard {
		out = append(out, fmt.Sprintf("%s gets no answer from %s through the tunnel", end, l.other(end)))
	}
	return out
}
