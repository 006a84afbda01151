package verify

import "slices"

// A doubt is packets for a place that a gateway, or the router of a place, shares between ways that are not alike, so that nothing is proven of them.
type doubt struct {
	router bool
	at     int32 // gateway or place
	to     int32 // place
}

// doubts returns them.
func (t *tables) doubts() map[doubt]bool {
	out := map[doubt]bool{}
	note := func(router bool, at int32, kind int) {
		for _, n := range t.c.m.owners(t.kinds[kind]) {
			out[doubt{router, at, n}] = true
		}
	}
	for _, s := range t.shared {
		if s.place != nobody {
			note(true, s.place, s.kind)
		} else {
			note(false, s.gateway, s.kind)
		}
	}
	for devices, kinds := range t.unlike {
		for _, k := range kinds {
			note(false, t.c.m.devices[devices[0]].gateway, k)
		}
	}
	return out
}

// crossedBy reports whether a way meets a doubt.
func crossedBy(doubts map[doubt]bool, w *way, from, to int32) bool {
	if len(doubts) == 0 {
		return false
	}
	return doubts[doubt{true, from, to}] || slices.ContainsFunc(w.hops, func(g int32) bool { return doubts[doubt{false, g, to}] })
}
