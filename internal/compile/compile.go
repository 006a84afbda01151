// Package compile turns what is wanted into a plan for every gateway.
//
// It works in three stages, each a value that the next one reads: a graph (which gateways are joined, and which of them the
// packets between two places cross; no prefix enters here), needs (what each place needs of each other, by access; no gateway
// enters here), and emission (the two together, gateway by gateway). What a stage makes for one place or class of places is
// shared by all gateways that use it, so a plan of ten million rules is some hundred megabytes, and a change of one prefix
// touches only what is made of it.
package compile

import (
	"reflect"
	"slices"
	"strings"

	"ropeway/internal/fabric"
	"ropeway/internal/intent"
	"ropeway/internal/plan"
	"ropeway/internal/state"
)

// Compile makes the plan of a fabric. The lock may be nil; the one returned holds what the plan allocated, and the caller keeps
// it where the plan is accepted. The same fabric and lock give the same plan, byte for byte.
func Compile(in *intent.Fabric, lock *state.Lock) (*plan.Fabric, *state.Lock) {
	return new(Compiler).Compile(in, lock)
}

// A Compiler remembers its last compilation and makes the next one out of what changed. The plan is the same as Compile's; what
// did not change in it is the very value of the last one: a *plan.Gateway that is the same pointer has not changed.
// The zero value is ready. It is not safe for concurrent use.
type Compiler struct {
	in    *intent.Fabric
	lock  *state.Lock
	graph *graph
	needs *needs
	out   *plan.Fabric
}

// Compile makes the plan of a fabric, as the function of the same name does.
func (c *Compiler) Compile(in *intent.Fabric, lock *state.Lock) (*plan.Fabric, *state.Lock) {
	next := allocate(in, lock)
	var out *plan.Fabric
	switch {
	case in.Routing.Mode == fabric.BGP:
		c.graph = newGraph(in, next)
		out = c.speaking(in)
	case c.out != nil && sameNumbers(c.lock, next) && sameGraph(c.in, in):
		c.graph.rebind(in)
		out = c.again(in)
	default:
		c.graph = newGraph(in, next)
		out = c.afresh(in)
	}
	c.in, c.lock, c.out = in, next, out
	return out, next
}

// speaking emits every gateway and place of a fabric that speaks BGP, and keeps of the last plan what is the same.
func (c *Compiler) speaking(in *intent.Fabric) *plan.Fabric {
	c.needs = newNeeds(in, c.graph)
	e := newSpeakers(newEmitter(c.graph, c.needs, in.CarriesIPv6()), in)
	out := &plan.Fabric{Name: in.Name}
	for _, p := range c.graph.byName {
		out.Places = append(out.Places, e.place(p))
	}
	for _, gw := range c.graph.gateways {
		out.Gateways = append(out.Gateways, e.gateway(gw))
	}
	if c.out != nil {
		keep(out.Places, c.out.Places, func(p *plan.Place) string { return p.Name })
		keep(out.Gateways, c.out.Gateways, func(g *plan.Gateway) string { return g.Name })
	}
	return out
}

// keep replaces what says the same as before by the very value of before. Both lists are sorted by name.
func keep[T any](now, was []*T, name func(*T) string) {
	for i, x := range now {
		at, known := slices.BinarySearchFunc(was, name(x), func(o *T, n string) int { return strings.Compare(name(o), n) })
		if known && reflect.DeepEqual(was[at], x) {
			now[i] = was[at]
		}
	}
}

// afresh emits every gateway and place.
func (c *Compiler) afresh(in *intent.Fabric) *plan.Fabric {
	c.needs = newNeeds(in, c.graph)
	e := newEmitter(c.graph, c.needs, in.CarriesIPv6())
	out := &plan.Fabric{Name: in.Name}
	for _, p := range c.graph.byName {
		out.Places = append(out.Places, e.place(p))
	}
	for _, gw := range c.graph.gateways {
		out.Gateways = append(out.Gateways, e.gateway(gw))
	}
	return out
}
