package intent

import (
	"fmt"
	"slices"

	"ropeway/internal/diag"
	"ropeway/internal/fabric"
)

// readTopology finds out who is a hub, and whose.
func (r *reader) readTopology() {
	topology := r.spec.Topology
	if r.fabric.Topology == fabric.Mesh {
		r.noHubs(topology.Hubs, "topology")
		for _, p := range r.fabric.Places {
			r.noHubs(r.written[p].Hubs, p.subject())
		}
		return
	}
	hubbed := r.fabric.Topology == fabric.HubAndSpoke || r.fabric.Topology == fabric.Hybrid
	if hubbed && len(topology.Hubs) == 0 {
		r.fail("RW1301", topology.Mode.At, "topology", "a "+topology.Mode.Value+" fabric has hubs, and none is named", "name them: hubs: ["+r.candidate()+"]")
	}
	var hubs []*Place
	for _, text := range topology.Hubs {
		p := r.place(text, "topology")
		switch {
		case p == nil:
		case p.Hub:
			r.fail("RW1102", text.At, "topology", called("hub", p.Name)+" is named twice", "name it once")
		default:
			p.Hub = true
			hubs = append(hubs, p)
		}
	}
	for _, p := range r.fabric.Places {
		r.readSpoke(p, hubs)
	}
}

// noHubs warns of hubs where they mean nothing.
func (r *reader) noHubs(hubs []fabric.Text, subject string) {
	if len(hubs) > 0 && hubs[0].Given() {
		r.warn("RW1302", hubs[0].At, subject, "hubs mean nothing in a mesh", "remove them, or choose the mode hub-and-spoke or hybrid")
	}
}

// candidate returns the name of a place that could be a hub.
func (r *reader) candidate() string {
	for _, p := range r.fabric.Places {
		reached := func(g *Gateway) bool { return !g.Endpoint.IsZero() }
		if fabric.ValidName(p.Name) && slices.ContainsFunc(p.Gateways, reached) {
			return p.Name
		}
	}
	return "…"
}

// readSpoke gives a spoke its hubs: those that the file names for it, in their order, else all.
func (r *reader) readSpoke(p *Place, hubs []*Place) {
	texts := r.written[p].Hubs
	if p.Hub {
		if len(texts) > 0 {
			r.warn("RW1302", texts[0].At, p.subject(), "a hub is joined with every other hub; its own hubs mean nothing", "remove them")
		}
		return
	}
	if len(texts) == 0 {
		p.Hubs = hubs
		return
	}
	p.Ranked = true
	for _, text := range texts {
		hub := r.place(text, p.subject())
		switch {
		case hub == nil:
		case !hub.Hub:
			r.fail("RW1303", text.At, p.subject(), called("place", hub.Name)+" is not a hub", "add it to topology.hubs, or choose one of those")
		case slices.Contains(p.Hubs, hub):
			r.fail("RW1102", text.At, p.subject(), called("hub", hub.Name)+" is named twice", "name it once")
		default:
			p.Hubs = append(p.Hubs, hub)
		}
	}
}

// place looks a place up, or reports that there is none of that name.
func (r *reader) place(text fabric.Text, subject string) *Place {
	p := r.places[text.Value]
	if p == nil && fabric.ValidName(text.Value) && len(r.places) > 0 {
		r.fail("RW1103", text.At, subject, "there is no place "+text.Value, r.nearest(text.Value, r.placeNames))
	}
	return p
}

// nearest returns the hint for a name that nobody has. The names are a function because most files need none.
func (r *reader) nearest(wrong string, names func() []string) string {
	if r.full() {
		return ""
	}
	return diag.DidYouMean(wrong, names())
}

func (r *reader) placeNames() []string {
	var names []string
	for _, p := range r.fabric.Places {
		if fabric.ValidName(p.Name) {
			names = append(names, p.Name)
		}
	}
	return names
}

func (r *reader) readLinks() {
	order := map[*Place]int{}
	for i, p := range r.fabric.Places {
		order[p] = i
	}
	seen := map[[2]*Place]int{}
	for i := range r.spec.Links {
		w := &r.spec.Links[i]
		subject := fmt.Sprintf("link %d", i+1)
		if len(w.Between) != 2 {
			continue
		}
		a, b := r.place(w.Between[0], subject), r.place(w.Between[1], subject)
		if a == nil || b == nil {
			continue
		}
		if order[a] > order[b] {
			a, b = b, a
		}
		if a == b {
			r.fail("RW1310", w.Between[1].At, subject, "both ends are "+a.subject(), "a link joins two places")
			continue
		}
		if line := seen[[2]*Place{a, b}]; line > 0 {
			r.fail("RW1310", w.At, subject, fmt.Sprintf("%s and %s have a link on line %d", a.subject(), b.subject(), line), "keep one of the two")
			continue
		}
		seen[[2]*Place{a, b}] = w.At.Line
		r.linkAt[w.At] = i
		l := Link{A: a, B: b, UnderlayMTU: w.Underlay.MTU.Value, Tunnels: w.Tunnels.Value, Path: fabric.PathPreference(w.Path.Value), Position: w.At}
		r.readLink(l, w.Underlay.At.Line > 0 || w.Tunnels.Given() || w.Path.Given(), subject)
	}
}

// readLink accepts a link, with a warning where it changes nothing.
func (r *reader) readLink(l Link, speaks bool, subject string) {
	joined := r.fabric.joins(l.A, l.B)
	switch {
	case joined && !speaks:
		r.warn("RW1311", l.Position, subject, fmt.Sprintf("the topology joins %s and %s already", l.A.subject(), l.B.subject()), "remove the link, or say what its path carries: underlay: {mtu: …}")
	case !joined && r.fabric.Topology == fabric.HubAndSpoke:
		r.fail("RW1312", l.Position, subject, fmt.Sprintf("in a hub-and-spoke fabric %s and %s reach each other through hubs", l.A.subject(), l.B.subject()), "choose topology mode hybrid to add direct links")
	}
	r.fabric.Links = append(r.fabric.Links, l)
}
