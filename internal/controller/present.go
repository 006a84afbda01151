package controller

import (
	"slices"

	"ropeway/internal/plan"
	"ropeway/internal/store"
)

// A present is what stands in the store at one moment: the newest revision, and while its rollout is active the one that gateways have who were not
// admitted yet. It never changes.
type present struct {
	newest  *fabric
	base    *fabric         // nil: no rollout is active
	rollout *store.Rollout  // the last one; nil: there was none
	touched map[string]bool // gateways whom an active rollout brings something
}

// followed returns what will stand in the store where a revision is committed with its rollout, as far as gateways are concerned.
func (p *present) followed(next *fabric, r store.Rollout) *present {
	out := &present{newest: next, rollout: &r}
	if out.active() {
		out.base = p.newest
	}
	return out
}

// sameStep reports whether two presents have the same revision at the same step of its rollout.
func (p *present) sameStep(o *present) bool {
	return p.newest == o.newest && (p.rollout == nil) == (o.rollout == nil) &&
		(p.rollout == nil || p.rollout.Revision == o.rollout.Revision && p.rollout.Wave == o.rollout.Wave && p.rollout.State == o.rollout.State)
}

func (p *present) active() bool { return p.rollout != nil && p.rollout.Active() }

// step is what the next step of the rollout is fenced by.
func (p *present) step() int64 { return stepOf(p.rollout) }

func stepOf(r *store.Rollout) int64 {
	if r == nil {
		return 0
	}
	return r.Step
}

// follows returns the revision that a gateway is to follow, and its plan; nil where that revision does not have it.
func (p *present) follows(gateway string) (*fabric, *plan.Gateway) {
	f := p.newest
	if p.base != nil && !p.rollout.Admits(gateway) {
		f = p.base
	}
	return f, f.gateway(gateway)
}

// gateways is everybody whom one of the two revisions has.
func (p *present) gateways() map[string]bool {
	out := map[string]bool{}
	for _, f := range []*fabric{p.newest, p.base} {
		if f != nil {
			for name := range f.names {
				out[name] = true
			}
		}
	}
	return out
}

// touch finds whom the active rollout brings something: their plan is another one in the newest revision than in the base. One that never enrolled
// has no key yet, and nobody to bring it to.
func (p *present) touch() {
	p.touched = map[string]bool{}
	for name, g := range p.newest.names {
		if enrolled(g) && (p.base.past != p.newest.past || !plan.Same(p.base.gateway(name), g)) {
			p.touched[name] = true
		}
	}
}

func enrolled(g *plan.Gateway) bool {
	return slices.ContainsFunc(g.Devices, func(d plan.Device) bool { return !d.PublicKey.IsZero() })
}

// joined reports whether two gateways are meant to have a session now, each with what it is to follow. One that has to listen at another port once
// it is admitted does not count until it is: the other may wait for it there.
func (p *present) joined(a, b string) bool {
	_, x := p.follows(a)
	_, y := p.follows(b)
	return x != nil && y != nil && plan.Joined(x, y) && p.listens(a) && p.listens(b)
}

// listens reports whether a gateway listens where the newest revision has it.
func (p *present) listens(gateway string) bool {
	_, now := p.follows(gateway)
	then := p.newest.gateway(gateway)
	if then == nil || len(now.Devices) != len(then.Devices) {
		return false
	}
	for i := range now.Devices {
		if now.Devices[i].ListenPort != then.Devices[i].ListenPort {
			return false
		}
	}
	return true
}
