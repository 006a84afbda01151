package verify

import (
	"slices"

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
	atoms    *atoms
	sort     *partition // atoms by the routing lists that hold them, and how long the prefix is
	kinds    *partition // atoms by the filter lists that hold them
	services *services
	gates    []gate
	spec     spec

	keysAt, entryAt int        // where in a row the columns of devices and of places begin; those of gateways come first
	rows            [][]uint16 // what happens to packets for a class, and where those from it may come from
	rowOwner        []int32    // the place that owns the addresses of a row, or nobody
	classes         []class
	owner           []int32   // by atom; nobody where no place owns it
	classOf         []int32   // by atom; nobody where no place owns it
	rowOf           []int32   // by atom, owned or not
	byPlace         [][]int32 // rows of each place's classes
	byRow           [][]int32 // classes of each row

	bad      [][]badPair // by class: classes with which not all is well, in either direction
	severe   int         // bad pairs that are errors
	stats    Stats
	tests    []testSize
	partings int
	parted   [][]int32 // by row: gateways whose route means another peer than cryptokey routing chooses, in order
	live     *live     // what updates need; nil before the first
}

// A class is addresses of one place that nothing tells apart.
type class struct {
	owner int32
	row   int32
	kind  int32
	atoms []int32 // in order; the first one's first address stands for all
}

// What a row says of a gateway (1 + number of a route group), a device (1 + number of a peer) or a place (1 + number of a route).
const (
	nowhere uint16 = 0
	local   uint16 = 1<<16 - 1 // the place's own
)

// newWorld cuts up the plan for a specification.
func newWorld(m *Model, in *intent.Fabric) *world {
	w := &world{in: in}
	specLists := w.spec.number(m, in)
	w.atoms = cut(m.pool)
	n := len(w.atoms.starts)
	w.sort, w.kinds = newPartition(n), newPartition(n)
	for id, list := range m.pool.lists {
		if m.routes(listID(id)) {
			w.sort.refine(w.atoms, list, true)
		}
		if id < len(m.isFilter) && m.isFilter[id] || specLists[listID(id)] {
			w.kinds.refine(w.atoms, list, false)
		}
	}
	sorts := w.sort.compact()
	w.kinds.compact()
	w.makeServices(m, in)
	w.makeGates(m)
	w.makeOwners(m)
	w.makeRows(m, sorts)
	w.makeClasses(m)
	w.findParted(m)
	w.spec.ready(w, m)
	w.count(m)
	return w
}

// makeClasses groups the atoms that places own by row and kind.
func (w *world) makeClasses(m *Model) {
	type key struct{ row, kind int32 }
	known := map[key]int32{}
	w.classOf = make([]int32, len(w.rowOf))
	w.byPlace = make([][]int32, len(m.places))
	w.byRow = make([][]int32, len(w.rows))
	for a, row := range w.rowOf {
		w.classOf[a] = nobody
		if w.owner[a] == nobody {
			continue
		}
		k := key{row, w.kinds.of[a]}
		c, found := known[k]
		if !found {
			c = int32(len(w.classes))
			known[k] = c
			w.classes = append(w.classes, class{owner: w.owner[a], row: row, kind: k.kind})
			if len(w.byRow[row]) == 0 {
				w.byPlace[w.owner[a]] = append(w.byPlace[w.owner[a]], row)
			}
			w.byRow[row] = append(w.byRow[row], c)
		}
		w.classes[c].atoms = append(w.classes[c].atoms, int32(a))
		w.classOf[a] = c
	}
	w.bad = make([][]badPair, len(w.classes))
}

// makeOwners finds the place of every atom: the one with the longest prefix that covers it, the first by name where two have it.
func (w *world) makeOwners(m *Model) {
	w.owner = make([]int32, len(w.atoms.starts))
	length := make([]int16, len(w.owner))
	for a := range w.owner {
		w.owner[a], length[a] = nobody, -1
	}
	for i := range m.places {
		w.atoms.each(m.pool.lists[m.places[i].own], func(s span) {
			for a := s.lo; a < s.hi; a++ {
				if int16(s.bits) > length[a] {
					w.owner[a], length[a] = int32(i), int16(s.bits)
				}
			}
		})
	}
}

// makeServices cuts what can be spoken by everything that names a service.
func (w *world) makeServices(m *Model, in *intent.Fabric) {
	w.services = newServices(m.namedServices(in))
}

// count fills in how much there is.
func (w *world) count(m *Model) {
	perPlace := make([]int, len(m.places))
	total := 0
	for _, c := range w.classes {
		perPlace[c.owner] += len(c.atoms)
		total += len(c.atoms)
	}
	pairs := total * total
	for _, n := range perPlace {
		pairs -= n * n
	}
	w.stats = Stats{Gateways: len(m.gateways), Rules: m.rules, Atoms: len(w.atoms.starts), Pairs: pairs}
}

// first returns the atom that stands for a class.
func (c *class) first() int32 { return slices.Min(c.atoms) }
