package verify

// A breakage is the pairs of places of which access promises something that does not pass, and the tests that do not hold.
type breakage struct {
	judge  *judge
	wanted set            // tests that are looked at
	doubts map[doubt]bool // what crosses one does not pass for certain
	pairs  map[[2]int32]bool
	tests  set
}

func (m *Model) newBreakage(wanted set, doubts map[doubt]bool) *breakage {
	return &breakage{newJudge(m, m.world), wanted, doubts, map[[2]int32]bool{}, make(set, len(wanted))}
}

// breaks judges all pairs. The plan was drawn.
func (m *Model) breaks(wanted set, doubts map[doubt]bool) *breakage {
	o, w := m.newBreakage(wanted, doubts), m.world
	for a := range w.byPlace {
		for b := range a {
			for _, rowA := range w.byPlace[a] {
				for _, rowB := range w.byPlace[b] {
					o.judgeRows(rowA, rowB)
				}
			}
		}
	}
	return o
}

// judgeRows judges two rows, both ways.
func (o *breakage) judgeRows(a, b int32) {
	j, w := o.judge, o.judge.w
	if !w.rowsWorthy(a, b) {
		return
	}
	from, to := w.rowOwner[a], w.rowOwner[b]
	j.rows(side{from, w.rows[a]}, side{to, w.rows[b]})
	unsure := crossedBy(o.doubts, &j.forward, from, to) || crossedBy(o.doubts, &j.backward, to, from)
	for _, x := range w.byRow[a] {
		for _, y := range w.byRow[b] {
			o.add(&j.forward, &j.backward, &w.classes[x], &w.classes[y], unsure)
			o.add(&j.backward, &j.forward, &w.classes[y], &w.classes[x], unsure)
		}
	}
}

// add judges two classes of rows that were walked last, one way.
func (o *breakage) add(there, back *way, from, to *class, unsure bool) {
	j := o.judge
	v := j.way(there, back, from, to)
	if v.flags&broken != 0 || unsure && !v.due.empty() {
		o.pairs[[2]int32{from.owner, to.owner}] = true
	}
	left, right := j.w.spec.testFrom[from.kind], j.w.spec.testTo[to.kind]
	for i := left.firstOfBoth(right, 0); i >= 0; i = left.firstOfBoth(right, i+1) {
		if o.wanted.has(i) && (unsure || j.fails(v, there, back, i) != "") {
			o.tests.add(i)
		}
	}
}
