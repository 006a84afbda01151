package diagnose

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// sessions finds BGP sessions that are not up although both ends are there and well, and the tunnel between them works. Where that is so of all that a gateway should
// have it is the gateway, and where it is so of a router with everybody it is the router.
func (d *doctor) sessions() {
	down, routers := map[[2]string]*Session{}, map[string][]*Session{}
	for i := range d.facts.Sessions {
		s := &d.facts.Sessions[i]
		switch pair := pairOf(s.Gateway, s.Neighbor); {
		case d.excused(s.Gateway):
		case s.External:
			routers[s.Neighbor] = append(routers[s.Neighbor], s)
		case !d.excused(s.Neighbor) && !d.unheard(pair) && down[pair] == nil: // both ends tell of it
			down[pair] = s
		}
	}
	d.mute(down)
	for pair, s := range down {
		d.note(Cause{Weight: Fault, Subject: "session " + pair[0] + "," + pair[1], What: fmt.Sprintf("it is not up: %s has it %s", s.Gateway, s.State), Next: lookThere, links: 1})
	}
	for name, list := range routers {
		var gateways []string
		for _, s := range list {
			gateways = append(gateways, s.Gateway)
		}
		slices.Sort(gateways)
		d.note(Cause{Weight: Fault, Subject: "router " + name, What: fmt.Sprintf("it has no BGP session with %s: %s", some(slices.Compact(gateways)), list[0].State),
			Next: "does it run, and does it know these gateways as neighbours? The place's hosts may not find the way to others", links: len(list)})
	}
}

const lookThere = "do packets pass through the tunnel? ropeway get links, and ropeway get neighbors -o wide"

// mute takes out of what is down the sessions of gateways that have none with others at all, and speaks of these. Whom all others miss is named before those others.
func (d *doctor) mute(down map[[2]string]*Session) {
	of := map[string][]string{} // by gateway, the other ends
	for pair := range down {
		of[pair[0]], of[pair[1]] = append(of[pair[0]], pair[1]), append(of[pair[1]], pair[0])
	}
	order := slices.SortedFunc(maps.Keys(of), func(a, b string) int { return cmp.Or(cmp.Compare(len(of[b]), len(of[a])), strings.Compare(a, b)) })
	for _, name := range order {
		left := slices.DeleteFunc(slices.Sorted(slices.Values(of[name])), func(other string) bool { return down[pairOf(name, other)] == nil })
		if len(left) < 2 || !d.misses(name, of[name]) {
			continue
		}
		c := Cause{Weight: Fault, Subject: "gateway " + name, What: fmt.Sprintf("none of its %s with other gateways is up: %s", count(len(of[name]), "BGP session"), some(left)),
			Next: "is the machine up? If so, does UDP pass between it and them? There: ropeway-gateway status", links: len(left)}
		if d.only(name) {
			c.Weight = Outage
		}
		d.note(c)
		for _, other := range left {
			delete(down, pairOf(name, other))
		}
	}
}

// misses reports whether a gateway has no session with anybody whom it has a link to and who is there. Where links are not known it is as the gateway says itself.
func (d *doctor) misses(name string, others []string) bool {
	known := false
	for i := range d.facts.Links {
		l := &d.facts.Links[i]
		if l.A != name && l.B != name || d.excused(l.other(name)) {
			continue
		}
		if known = true; !slices.Contains(others, l.other(name)) && len(l.Unheard) == 0 {
			return false
		}
	}
	g := d.byName[name]
	return known || g != nil && g.Up == 0
}

// only reports whether a place has no other gateway that is there and as it should be.
func (d *doctor) only(name string) bool {
	g := d.byName[name]
	return g != nil && !slices.ContainsFunc(d.facts.Gateways, func(o Gateway) bool { return o.Place == g.Place && o.Name != name && !d.excused(o.Name) })
}

// pairOf names two ends in the order of their names.
func pairOf(a, b string) [2]string { return [2]string{min(a, b), max(a, b)} }

// excused reports whether something else explains that a gateway has no sessions.
func (d *doctor) excused(name string) bool {
	return d.gone(name) || d.explained[name]
}

// unheard reports whether no packet passes between two gateways.
func (d *doctor) unheard(pair [2]string) bool {
	return slices.ContainsFunc(d.facts.Links, func(l Link) bool { return len(l.Unheard) > 0 && pairOf(l.A, l.B) == pair })
}

// routing returns what is wrong with the routing of a gateway that is there; no weight means nothing.
func (g *Gateway) routing() (w Weight, what, next string) {
	switch {
	case g.Silent != "":
		what = "learns no routes: its routing daemon " + g.Silent + " does not run"
		if g.Message != "" {
			what += ": " + g.Message
		}
		return Fault, what, "its agent starts it again; where that does not help, on the gateway: ropeway-gateway status, and its log"
	case g.State == Ill || g.Stands > 0:
		return "", "", ""
	case g.Drained:
		return Notice, "is drained: who has another way uses that", "ropeway gateway undrain NAME, once the work there is done"
	case g.Learnt < g.Promised:
		return Notice, fmt.Sprintf("has routes to %d of the %d prefixes that the plan promises", g.Learnt, g.Promised), "ropeway verify --live says which are missing; it may be that a router does not announce them"
	}
	return "", "", ""
}
