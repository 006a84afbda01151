package compile

import (
	"slices"

	"ropeway/internal/plan"
)

// answers returns the directions of rules whose flows may come to a gateway of a place after another gateway saw them opened, because that one was lost or drained.
// With static routing nothing moves by itself, and there are none. Where a place has several gateways, that is all that goes out of it and into it. What crosses a
// hub may as well have gone by any other gateway of a hub, or by a link that the file has between two spokes. Whatever goes to or from a place with one
// gateway crosses that one for good.
func (g *graph) answers(p *place) (out []plan.Direction) {
	if !g.speaks {
		return nil
	}
	if len(p.gateways) > 1 {
		out = append(out, plan.Out, plan.In)
	}
	if p.Hub && (len(p.gateways) > 1 || g.written || slices.ContainsFunc(g.places, func(o *place) bool { return o.Hub && o != p })) {
		out = append(out, plan.Transit)
	}
	return out
}
