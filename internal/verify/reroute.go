package verify

import (
	"net/netip"
	"slices"

	"ropeway/internal/intent"
	"ropeway/internal/plan"
)

// rerouted proves a plan again for the loss of each gateway and of each link, with the ways that BGP finds then, and reports what breaks that held before.
//
// Nearly everything goes on as before, so a loss is worked out as a difference to the fabric that has lost nothing (stage.go). Only gateways that chose what is lost choose again, and
// those who hear of it: taking away what nobody chose changes no choice. Cells of rows change where choices did. And a pair of places fares otherwise only if its packets came to a cell
// that changed, or over what is lost.
func rerouted(p *plan.Fabric, facts Facts, in *intent.Fabric) []Failure {
	r := newRerouting(p, facts, in)
	out := make([]Failure, len(r.losses.names))
	lost := r.each()
	var stages [workers]*stage
	parallel(len(out), func(worker, i int) {
		if stages[worker] == nil {
			stages[worker] = newStage(r)
		}
		out[i] = stages[worker].lose(lost[i], r.losses.names[i])
	})
	slices.SortFunc(out[len(r.m.gateways):], byLost)
	return out
}

// A rerouting is what is known while nothing is lost.
type rerouting struct {
	c         *convergence
	choices   []choice // by kind; nobody chooses anything where the gateways come to no choice
	unsettled []int32  // those kinds
	losses    *losses
	doubts    map[doubt]bool
	before    map[[2]int32]bool // pairs of places that do not get what they were promised

	m       *Model     // of what the plan itself has, with a number for all that gateways and routers may learn
	layers  *layers    // what they may learn, over the rows of the model's world
	rowsOf  [][]int32  // by kind: rows that it lies over
	cells   [][]uint16 // by gateway, then session: what a cell is that leads by it
	entries [][]int32  // by kind, then place: the gateway that its routers learn it from, or nobody
	rows    [][]uint16 // of the world, with what is learnt

	over     map[[2]int32][]int32 // by link: kinds of which a choice leads over it
	at       [][]int32            // by gateway: kinds of which a choice leads by it, or begins there
	fixed    map[[2]int32][]cellAt
	passages [][]passage // by row, sorted by gateway
	places   [][]int32   // by kind: those that own part of it
}

// newRerouting plays and judges the fabric that has lost nothing.
func newRerouting(p *plan.Fabric, facts Facts, in *intent.Fabric) *rerouting {
	r := &rerouting{c: newConvergence(p, facts)}
	r.choices = r.c.playAll()
	whole := r.c.tables(r.choices, noLoss())
	r.doubts = whole.doubts()
	proven := newModel(whole.plan(), facts, r.c.m.pool)
	report := proven.Check(in)
	r.losses = newLosses(proven, report)
	for i, t := range report.Tests {
		if t.OK { // what is denied may get through by another way, too
			r.losses.holds.add(i)
		}
	}
	r.before = proven.breaks(r.losses.holds, nil).pairs
	for k, have := range r.choices {
		if have == nil {
			r.choices[k] = make(choice, len(r.c.speakers))
			r.unsettled = append(r.unsettled, int32(k))
		}
	}
	r.draw(facts, in)
	r.learn()
	r.follow()
	return r
}

// draw makes rows of what the plan itself has, and layers of what it may learn.
func (r *rerouting) draw(facts Facts, in *intent.Fabric) {
	r.m = newModel(newTables(r.c, nil, nil, noLoss()).plan(), facts, r.c.m.pool)
	r.number()
	lists := make([]listID, len(r.c.kinds))
	for k, kind := range r.c.kinds {
		lists[k] = r.m.routing(kind.prefixes, forRoutes)
	}
	d := newDrawing(r.m, in)
	d.gather()
	d.layers = d.makeLayers(lists)
	d.makeRows()
	r.layers, r.m.world = d.layers, d.finish()
	r.rowsOf, r.places = make([][]int32, len(lists)), make([][]int32, len(lists))
	for row, owner := range r.m.world.rowOwner {
		for _, k := range r.layers.over(int32(row)).kinds {
			if owner != nobody {
				r.rowsOf[k] = append(r.rowsOf[k], int32(row))
			}
		}
	}
	parallel(len(lists), func(_, k int) { r.places[k] = r.m.owners(r.c.kinds[k]) })
}

// number gives every tunnel that a gateway may learn routes over a group, and every gateway that a router may learn them from a number.
func (r *rerouting) number() {
	r.cells = make([][]uint16, len(r.c.speakers))
	for i := range r.c.speakers {
		s, g := &r.c.speakers[i], &r.m.gateways[i]
		known := map[hop]uint16{}
		for _, x := range s.sessions {
			h := hop{x.device, x.far}
			if _, found := known[h]; !found && len(g.groups) < most {
				device := &r.m.devices[x.device]
				g.groups, g.routes = append(g.groups, r.m.group(g, device.Name, x.far, device.MTU)), append(g.routes, 0)
				known[h] = uint16(len(g.groups))
			}
			r.cells[i] = append(r.cells[i], known[h])
		}
	}
	for i := range r.m.places {
		p := &r.m.places[i]
		for _, g := range p.gateways {
			p.routes, p.via = append(p.routes, 0), append(p.via, g)
		}
	}
}

// learn paints what is learnt while nothing is lost.
func (r *rerouting) learn() {
	t := newTables(r.c, nil, nil, noLoss())
	r.entries = make([][]int32, len(r.choices))
	parallel(len(r.choices), func(_, k int) {
		r.entries[k] = make([]int32, len(r.m.places))
		for p := range r.m.places {
			r.entries[k][p], _ = t.entry(int32(p), r.c.kinds[k], r.choices[k])
		}
	})
	w := r.m.world
	r.rows = make([][]uint16, len(w.rows))
	parallel(len(w.rows), func(_, row int) {
		r.rows[row] = slices.Clone(w.rows[row])
		for g := range r.m.gateways {
			r.rows[row][g] = r.route(r.choices, int32(row), int32(g))
		}
		for p := range r.m.places {
			r.rows[row][w.entryAt+p] = r.entry(r.entries, int32(row), int32(p))
		}
	})
}

// route returns the cell of a gateway: what it learnt of the first kind that goes before what the plan itself has, or that.
func (r *rerouting) route(choices []choice, row, g int32) uint16 {
	l := r.layers.over(row)
	if l.depth != nil {
		for _, k := range l.kinds[:l.depth[g]] {
			if best := choices[k][g]; len(best) > 0 && best[0].session >= 0 {
				return r.cells[g][best[0].session]
			}
		}
	}
	return r.m.world.rows[row][g]
}

// entry returns the cell of a place's router in the same way.
func (r *rerouting) entry(entries [][]int32, row, p int32) uint16 {
	l := r.layers.over(row)
	if l.depth != nil {
		for _, k := range l.kinds[:l.depth[len(r.m.gateways)+int(p)]] {
			if at := entries[k][p]; at != nobody {
				first := len(r.m.places[p].via) - len(r.m.places[p].gateways)
				return uint16(first + slices.Index(r.m.places[p].gateways, at) + 1)
			}
		}
	}
	return r.m.world.rows[row][r.m.world.entryAt+int(p)]
}

// each returns every loss, in the order of their names.
func (r *rerouting) each() []loss {
	out := make([]loss, len(r.losses.names))
	for i := range r.c.m.gateways {
		out[i] = loss{int32(i), noLoss().link}
	}
	for pair, n := range r.losses.links {
		out[n] = loss{nobody, pair}
	}
	return out
}

// owners returns the places that own part of a kind.
func (m *Model) owners(k *kind) (out []int32) {
	for n := range m.places {
		if slices.ContainsFunc(k.prefixes, func(p netip.Prefix) bool { return slices.ContainsFunc(m.places[n].Prefixes, p.Overlaps) }) {
			out = append(out, int32(n))
		}
	}
	return out
}
