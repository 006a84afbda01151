package verify

import (
	"net/netip"

	"ropeway/internal/intent"
)

// A world is a plan cut up for one specification: the address space in atoms, atoms in classes that nothing tells apart, and what
// every gateway does with each class.
//
// Where packets go and what filters let pass are kept apart. A row says where, for every gateway, device and place; a kind says in
// which lists of filters, access and tests. A class is an owner, a row and a kind: there are as many classes as differ, not as many as
// rows and kinds could make.
type world struct {
	in       *intent.Fabric
	space    *space
	services *services
	gates    []gate
	spec     spec

	keysAt, entryAt int        // where in a row the columns of devices and of places begin; those of gateways come first
	rows            [][]uint16 // what happens to packets for a class, and where those from it may come from
	rowAtoms        []int32    // how many atoms have a row
	rowOwner        []int32    // the place that owns the addresses of a row, or nobody
	rowFamily       []family   // of the addresses of a row
	classes         []class
	spots           []spot
	worthy          worthy
	byPlace         [][]int32 // rows of each place's classes
	byRow           [][]int32 // classes of each row

	judged   bool        // every pair was: bad and severe say what came of it
	bad      [][]badPair // by class: classes with which not all is well, in either direction
	severe   int         // bad pairs that are errors
	stats    Stats
	perPlace [families][]int // atoms
	partings int
	parted   [][]int32 // by row: gateways whose route means another peer than cryptokey routing chooses, in order
	live     *live     // what updates need; nil before the first
}

// A class is addresses of one place and family that nothing tells apart.
type class struct {
	owner int32
	row   int32
	kind  int32
	spot  int32
	atoms []netip.Addr // the first address of each, in order; the very first stands for all
}

// What a row says of a gateway (1 + number of a route group), a device (1 + number of a peer) or a place (1 + number of a route).
const (
	nowhere uint16 = 0
	local   uint16 = 1<<16 - 1 // the place's own
)

// A drawing is a world in the making: what is needed only until its rows are painted.
type drawing struct {
	*world
	m     *Model
	atoms *atoms
	sort  *partition // atoms by the routing lists that hold them, and how long the prefix is
	kinds *partition // atoms by the filter lists that hold them
	sorts int
	count int     // of kinds
	owner []int32 // by atom; nobody where no place owns it
	rowOf []int32 // by atom

	layers *layers // what BGP may put over the rows; nil where routes are what the plan has
}

// newWorld cuts up the plan for a specification.
func newWorld(m *Model, in *intent.Fabric) *world {
	d := newDrawing(m, in)
	d.makeRows()
	return d.finish()
}

// newDrawing cuts up the address space.
func newDrawing(m *Model, in *intent.Fabric) *drawing {
	d := &drawing{world: &world{in: in}, m: m}
	d.keysAt = len(m.gateways)
	d.entryAt = d.keysAt + len(m.devices)
	specLists := d.spec.number(m, in)
	d.atoms = cut(m.pool)
	d.sort, d.kinds = newPartition(d.atoms), newPartition(d.atoms)
	for id, list := range m.pool.lists {
		if m.routes(listID(id)) {
			d.sort.refine(d.atoms, list, true)
		}
		if id < len(m.isFilter) && m.isFilter[id] || specLists[listID(id)] {
			d.kinds.refine(d.atoms, list, false)
		}
	}
	d.sorts = d.sort.compact()
	d.count = d.kinds.compact()
	d.services = newServices(m.namedServices(in))
	d.makeGates()
	d.makeOwners()
	return d
}

// finish makes classes of the rows, and all that goes by classes.
func (d *drawing) finish() *world {
	d.makeClasses()
	d.findParted(d.m)
	d.readSpec(d.count)
	d.makeWorthy(d.count)
	d.stats = Stats{Gateways: len(d.m.gateways), Rules: d.m.rules, Atoms: len(d.atoms.starts), Pairs: d.pairs()}
	return d.world
}

// makeOwners finds the place of every atom: the one with the longest prefix that covers it, the first by name where two have it.
func (d *drawing) makeOwners() {
	d.owner = make([]int32, len(d.atoms.starts))
	length := make([]int16, len(d.owner))
	for a := range d.owner {
		d.owner[a], length[a] = nobody, -1
	}
	for i := range d.m.places {
		d.atoms.each(d.m.pool.lists[d.m.places[i].own], func(s span) {
			for a := s.lo; a < s.hi; a++ {
				if int16(s.bits) > length[a] {
					d.owner[a], length[a] = int32(i), int16(s.bits)
				}
			}
		})
	}
}

// makeClasses groups the atoms that places own by row and kind.
func (d *drawing) makeClasses() {
	w := d.world
	type key struct{ row, kind int32 }
	known, spots := map[key]int32{}, map[spot]int32{}
	w.byPlace = make([][]int32, len(d.m.places))
	w.byRow = make([][]int32, len(w.rows))
	for f := range w.perPlace {
		w.perPlace[f] = make([]int, len(d.m.places))
	}
	all := make([]atom, len(d.rowOf))
	for a, row := range d.rowOf {
		x := &all[a]
		*x = atom{start: d.atoms.starts[a], sort: d.sort.of[a], kind: d.kinds.of[a], row: row, class: nobody, owner: d.owner[a]}
		w.rowAtoms[row]++
		if x.owner == nobody {
			continue
		}
		c, found := known[key{row, x.kind}]
		if !found {
			c = int32(len(w.classes))
			known[key{row, x.kind}] = c
			if len(w.byRow[row]) == 0 {
				w.byPlace[x.owner] = append(w.byPlace[x.owner], row)
			}
			at, seen := spots[spot{x.owner, x.kind}]
			if !seen {
				at = int32(len(w.spots))
				spots[spot{x.owner, x.kind}] = at
				w.spots = append(w.spots, spot{x.owner, x.kind})
			}
			w.newClass(class{owner: x.owner, row: row, kind: x.kind, spot: at})
		}
		x.class = c
		w.classes[c].atoms = append(w.classes[c].atoms, x.start)
		w.perPlace[w.rowFamily[row]][x.owner]++
	}
	w.space = newSpace(all)
}

// newClass adds a class.
func (w *world) newClass(c class) {
	w.byRow[c.row] = append(w.byRow[c.row], int32(len(w.classes)))
	w.classes = append(w.classes, c)
	w.bad = append(w.bad, nil)
}

// first returns the address that stands for a class.
func (c *class) first() netip.Addr { return c.atoms[0] }
