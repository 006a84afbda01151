package verify

import (
	"cmp"
	"slices"
)

// A stage is the fabric of one goroutine, on which one thing after the other is lost. It begins with all that is known while nothing is, and what a loss changes is put back after it.
type stage struct {
	*rerouting
	m       *Model
	t       *tables
	choices []choice
	entries [][]int32
	hearing *hearing

	chosen    []choiceAt        // by gateways
	entered   []entryAt         // by routers
	painted   []repaintedCell   // cells of rows
	taken     map[int32][]int32 // by place: the gateways of its routes before
	doubts    map[doubt]bool    // that there were not before
	concerned []towards         // what may fare otherwise
}

// A choiceAt is what a gateway chose of a kind.
type choiceAt struct {
	kind, gateway int32
	was           []learnt
}

// An entryAt is where the routers of a place sent a kind.
type entryAt struct{ kind, place, was int32 }

// A repaintedCell is one of a row that was something else.
type repaintedCell struct {
	row, column int32
	was         uint16
}

// towards is packets of a place for a row.
type towards struct{ place, row int32 }

func newStage(r *rerouting) *stage {
	s := &stage{
		rerouting: r, t: newTables(r.c, nil, nil, noLoss()), hearing: newHearing(r.c), choices: make([]choice, len(r.choices)), entries: make([][]int32, len(r.entries)),
		taken: map[int32][]int32{}, doubts: map[doubt]bool{},
	}
	for k := range r.choices {
		s.choices[k], s.entries[k] = slices.Clone(r.choices[k]), slices.Clone(r.entries[k])
	}
	m, w := *r.m, *r.m.world
	w.rows = make([][]uint16, len(r.rows))
	for i, row := range r.rows {
		w.rows[i] = slices.Clone(row)
	}
	m.places, m.world = slices.Clone(r.m.places), &w
	s.m = &m
	return s
}

// lose says what does not hold any more under a loss.
func (s *stage) lose(l loss, name string) Failure {
	s.m.lost, s.t.lost = l, l
	defer s.restore()
	s.replay(l)
	s.repaint()
	s.takeOver(l)
	s.cross(l)
	after := s.m.newBreakage(s.losses.holds, s.doubts)
	for _, pair := range s.pairs() {
		after.judgeRows(pair[0], pair[1])
	}
	f := Failure{Lost: name, Broken: []string{}, Tests: []int{}}
	for n := after.tests.firstOfBoth(after.tests, 0); n >= 0; n = after.tests.firstOfBoth(after.tests, n+1) {
		f.Tests = append(f.Tests, n+1)
	}
	for pair := range after.pairs {
		if !s.before[pair] {
			f.Broken = append(f.Broken, s.m.places[pair[0]].Name+" → "+s.m.places[pair[1]].Name)
		}
	}
	slices.Sort(f.Broken)
	return f
}

// restore puts everything back.
func (s *stage) restore() {
	for _, x := range slices.Backward(s.chosen) {
		s.choices[x.kind][x.gateway] = x.was
	}
	for _, x := range slices.Backward(s.entered) {
		s.entries[x.kind][x.place] = x.was
	}
	for _, x := range slices.Backward(s.painted) {
		s.m.world.rows[x.row][x.column] = x.was
	}
	for p, via := range s.taken {
		s.m.places[p].via = via
	}
	clear(s.taken)
	clear(s.doubts)
	s.chosen, s.entered, s.painted, s.concerned = s.chosen[:0], s.entered[:0], s.painted[:0], s.concerned[:0]
}

// replay lets gateways choose again.
//
// Where the length of the AS path comes first everywhere, one choice alone is stable (hear.go), so it does not matter that they begin with what they have. Elsewhere they begin with nothing.
func (s *stage) replay(l loss) {
	kinds := s.over[l.link]
	if l.gateway != nobody {
		kinds = s.at[l.gateway]
	}
	for _, k := range kinds {
		if s.c.opinionated || !s.rehear(k, l) {
			s.play(k, l)
		}
	}
	for _, k := range s.unsettled {
		if !slices.Contains(kinds, k) {
			s.play(k, l)
		}
	}
}

// choose notes another choice of a gateway.
func (s *stage) choose(k, g int32, now []learnt) {
	s.chosen = append(s.chosen, choiceAt{k, g, s.choices[k][g]})
	s.choices[k][g] = now
}

// rehear begins with what everybody has, and lets those choose whom the loss concerns. It reports whether they came to an end.
func (s *stage) rehear(k int32, l loss) bool {
	kind := s.c.kinds[k]
	if l.gateway != nobody {
		s.hearing.tell(kind, l.gateway)
		s.choose(k, l.gateway, nil)
	} else {
		for _, g := range l.link {
			if slices.ContainsFunc(s.choices[k][g], func(r learnt) bool { return r.session >= 0 && l.severs(g, s.c.speakers[g].sessions[r.session].far) }) {
				s.hearing.hears(g)
			}
		}
	}
	return s.hearing.settle(kind, s.choices[k], l, func(g int32, was []learnt) { s.chosen = append(s.chosen, choiceAt{k, g, was}) })
}

// play begins with nothing.
func (s *stage) play(k int32, l loss) {
	now := s.c.play(s.c.kinds[k], l)
	if now == nil {
		now = make(choice, len(s.c.speakers))
	}
	for g := range now {
		if !slices.EqualFunc(now[g], s.choices[k][g], sameLearnt) {
			s.choose(k, int32(g), now[g])
		}
	}
}

// repaint changes the cells of everybody who chose again, and notes what may fare otherwise by that.
func (s *stage) repaint() {
	for _, x := range s.chosen {
		s.doubt(x.kind, x.gateway)
		for _, row := range s.rowsOf[x.kind] {
			if s.paint(row, int(x.gateway), s.route(s.choices, row, x.gateway)) {
				s.concern(row, x.gateway)
			}
		}
		if p := s.m.gateways[x.gateway].place; p != nobody {
			s.reenter(x.kind, p)
		}
	}
}

// reenter lets the routers of a place choose again.
func (s *stage) reenter(k, p int32) {
	at, others := s.t.entry(p, s.c.kinds[k], s.choices[k])
	if len(others) > 0 {
		s.suspect(doubt{true, p, nobody}, k)
	}
	if at == s.entries[k][p] {
		return
	}
	s.entered = append(s.entered, entryAt{k, p, s.entries[k][p]})
	s.entries[k][p] = at
	for _, row := range s.rowsOf[k] {
		if s.paint(row, s.m.world.entryAt+int(p), s.entry(s.entries, row, p)) {
			s.concerned = append(s.concerned, towards{p, row})
		}
	}
}

// paint changes a cell, and reports whether it was another.
func (s *stage) paint(row int32, column int, now uint16) bool {
	cell := &s.m.world.rows[row][column]
	if *cell == now {
		return false
	}
	s.painted = append(s.painted, repaintedCell{row, int32(column), *cell})
	*cell = now
	return true
}

// takeOver gives routes of the place's table to other gateways where the one that is lost held them.
func (s *stage) takeOver(l loss) {
	if l.gateway == nobody || s.m.gateways[l.gateway].place == nobody {
		return
	}
	n := s.m.gateways[l.gateway].place
	p := *s.c.m.places[n].Place
	s.t.takeOver(&p)
	via := slices.Clone(s.m.places[n].via)
	for i, r := range p.Routes {
		if r == nil {
			continue
		}
		if at := s.m.named(r.Gateway, nobody); at != nobody && s.m.gateways[at].place == n {
			via[i] = at
		}
	}
	s.taken[n], s.m.places[n].via = s.m.places[n].via, via
}

// cross notes all whose packets come to what is lost: where the plan itself leads them over it, no cell changes.
func (s *stage) cross(l loss) {
	if l.gateway == nobody {
		for _, x := range s.fixed[l.link] {
			s.concern(x.row, x.gateway)
		}
		return
	}
	for row := range s.passages {
		s.concern(int32(row), l.gateway)
	}
}

// concern notes all whose packets for a row come to a gateway.
func (s *stage) concern(row, g int32) {
	for _, p := range s.by(row, g) {
		s.concerned = append(s.concerned, towards{p.place, row})
	}
}

// doubt suspects a gateway that shares packets of a kind between ways that are not alike.
func (s *stage) doubt(k, g int32) {
	best := s.choices[k][g]
	if len(best) < 2 || best[0].session < 0 {
		return
	}
	for i := range best[1:] {
		if s.t.part(&s.c.speakers[g], &best[0], &best[i+1]) != together {
			s.suspect(doubt{false, g, nobody}, k)
			return
		}
	}
}

// suspect adds a doubt about every place that owns part of a kind, where there was none before.
func (s *stage) suspect(d doubt, k int32) {
	for _, d.to = range s.places[k] {
		if s.rerouting.doubts[d] || s.doubts[d] {
			continue
		}
		s.doubts[d] = true
		for _, row := range s.m.world.byPlace[d.to] {
			if d.router {
				s.concerned = append(s.concerned, towards{d.at, row})
			} else {
				s.concern(row, d.at)
			}
		}
	}
}

// pairs returns the rows of which packets, in either direction, may fare otherwise than before.
func (s *stage) pairs() (out [][2]int32) {
	w := s.m.world
	slices.SortFunc(s.concerned, func(a, b towards) int { return cmp.Or(cmp.Compare(a.place, b.place), cmp.Compare(a.row, b.row)) })
	for _, x := range slices.Compact(s.concerned) {
		for _, row := range w.byPlace[x.place] {
			if w.meet(row, x.row) {
				out = append(out, linkOf(row, x.row))
			}
		}
	}
	slices.SortFunc(out, func(a, b [2]int32) int { return cmp.Or(cmp.Compare(a[0], b[0]), cmp.Compare(a[1], b[1])) })
	return slices.Compact(out)
}
