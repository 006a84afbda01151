package verify

import (
	"cmp"
	"slices"
)

// A passage says that packets of a place for a row come to a gateway.
type passage struct{ gateway, place int32 }

// A cellAt is the cell of a gateway in a row.
type cellAt struct{ row, gateway int32 }

// follow notes where choices and packets lead while nothing is lost.
func (r *rerouting) follow() {
	r.followChoices()
	w := r.m.world
	r.passages, r.fixed = make([][]passage, len(w.rows)), map[[2]int32][]cellAt{}
	parallel(len(w.rows), func(_, row int) {
		if w.rowOwner[row] != nobody {
			r.passages[row] = r.followPackets(int32(row))
		}
	})
	for row := range w.rows {
		for g := range r.m.gateways {
			if at := r.rows[row][g]; w.rowOwner[row] != nobody && at != nowhere && at != local && at == w.rows[row][g] {
				if next := r.m.next(r.rows[row], w.keysAt, int32(g)); next != nobody {
					link := linkOf(int32(g), next)
					r.fixed[link] = append(r.fixed[link], cellAt{int32(row), int32(g)})
				}
			}
		}
	}
}

// followChoices notes for every link and gateway the kinds of which a choice leads over it.
func (r *rerouting) followChoices() {
	r.over, r.at = map[[2]int32][]int32{}, make([][]int32, len(r.c.speakers))
	note := func(list []int32, k int32) []int32 {
		if n := len(list); n > 0 && list[n-1] == k {
			return list
		}
		return append(list, k)
	}
	for i, have := range r.choices {
		k := int32(i)
		for _, o := range r.c.kinds[i].origins {
			r.at[o.gateway] = note(r.at[o.gateway], k)
		}
		for g, best := range have {
			for n := range best {
				if best[n].session < 0 {
					continue
				}
				far := r.c.speakers[g].sessions[best[n].session].far
				link := linkOf(int32(g), far)
				r.over[link] = note(r.over[link], k)
				r.at[g], r.at[far] = note(r.at[g], k), note(r.at[far], k)
			}
		}
	}
}

// followPackets returns every gateway that packets of other places for a row come to. They may come to fewer: who refuses them is not asked.
func (r *rerouting) followPackets(row int32) (out []passage) {
	w := r.m.world
	for p := range r.m.places {
		entry := r.rows[row][w.entryAt+p]
		if entry == nowhere || entry == local {
			continue
		}
		first := len(out)
		for g := r.m.places[p].via[entry-1]; g != nobody; g = r.m.next(r.rows[row], w.keysAt, g) {
			if slices.Contains(out[first:], passage{g, int32(p)}) {
				break
			}
			out = append(out, passage{g, int32(p)})
		}
	}
	slices.SortFunc(out, func(a, b passage) int {
		return cmp.Or(cmp.Compare(a.gateway, b.gateway), cmp.Compare(a.place, b.place))
	})
	return out
}

// by returns the passages of a row by a gateway.
func (r *rerouting) by(row, g int32) []passage {
	list := r.passages[row]
	from, _ := slices.BinarySearchFunc(list, g, func(p passage, g int32) int { return cmp.Compare(p.gateway, g) })
	to := from
	for to < len(list) && list[to].gateway == g {
		to++
	}
	return list[from:to]
}
