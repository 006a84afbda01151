package verify

import (
	"cmp"
	"slices"
)

// A badPair is a class with which another one has a problem, in either direction.
type badPair struct {
	other  int32
	severe bool // an error, not only a warning
}

// A found is a bad pair as a worker notes it.
type found struct {
	a, b   int32
	severe bool
}

// judgeAll judges every pair of classes that meet.
func (w *world) judgeAll(m *Model) {
	w.judged = true
	var judges [workers]*judge
	var lists [workers][]found
	parallel(len(w.byPlace), func(worker, p int) {
		if judges[worker] == nil {
			judges[worker] = newJudge(m, w)
		}
		for q := p + 1; q < len(w.byPlace); q++ {
			lists[worker] = judges[worker].places(int32(p), int32(q), lists[worker])
		}
	})
	for _, list := range lists {
		for _, f := range list {
			w.bad[f.a] = append(w.bad[f.a], badPair{f.b, f.severe})
			w.bad[f.b] = append(w.bad[f.b], badPair{f.a, f.severe})
			if f.severe {
				w.severe++
			}
		}
	}
	for _, list := range w.bad {
		slices.SortFunc(list, func(a, b badPair) int { return cmp.Compare(a.other, b.other) })
	}
}

// places judges every pair of classes of two places that meet, both ways, and appends the bad ones.
func (j *judge) places(p, q int32, to []found) []found {
	w := j.w
	for _, rowA := range w.byPlace[p] {
		for _, rowB := range w.byPlace[q] {
			if !w.meet(rowA, rowB) {
				continue
			}
			walked := false
			for _, a := range w.byRow[rowA] {
				for _, b := range w.byRow[rowB] {
					if !w.worthy.judges(&w.classes[a], &w.classes[b]) {
						continue
					}
					if !walked {
						j.rows(side{p, w.rows[rowA]}, side{q, w.rows[rowB]})
						walked = true
					}
					if f := j.pair(&w.classes[a], &w.classes[b]); f != 0 {
						to = append(to, found{a, b, f&grave != 0})
					}
				}
			}
		}
	}
	return to
}

// pair judges two classes both ways and returns what is wrong in either.
func (j *judge) pair(a, b *class) flags {
	f := j.way(&j.forward, &j.backward, a, b).flags
	return f | j.way(&j.backward, &j.forward, b, a).flags
}

// mark notes whether two classes are a bad pair, both ways.
func (w *world) mark(a, b int32, f flags) {
	severe := f&grave != 0
	was := w.markOne(a, b, f != 0, severe)
	w.markOne(b, a, f != 0, severe)
	switch {
	case was && !severe:
		w.severe--
	case !was && severe:
		w.severe++
	}
}

// markOne notes it on one side, and reports whether the pair was severe before.
func (w *world) markOne(a, b int32, bad, severe bool) (was bool) {
	list := w.bad[a]
	i, known := slices.BinarySearchFunc(list, b, func(p badPair, b int32) int { return cmp.Compare(p.other, b) })
	if known {
		was = list[i].severe
	}
	switch {
	case known && bad:
		list[i].severe = severe
	case known:
		w.bad[a] = slices.Delete(list, i, i+1)
	case bad:
		w.bad[a] = slices.Insert(list, i, badPair{b, severe})
	}
	return was
}
