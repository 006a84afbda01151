package reach

import (
	"net/netip"
	"slices"

	"go4.org/netipx"

	"ropeway/internal/plan"
	"ropeway/internal/verify"
)

// A pair are the provers of both plans, asked together. It is for one goroutine.
type pair struct {
	was, is *verify.Asker
	fates   []fate // of one source: by destination, then service
}

// A fate is what becomes of a packet: how it went and how it goes. Both are nil where nothing changes.
type fate struct{ was, is *Way }

func newPair(before, after Side) *pair { return &pair{was: before.asker(), is: after.asker()} }

// compare asks about every packet of a pair of places, and joins what shares a fate: the destinations of one source and
// service, then services, then sources.
func (p *pair) compare(q *question) []Change {
	var out []Change
	for _, src := range q.sources {
		if !p.judge(q, src) {
			continue
		}
		var ofSource []Change
		for i, s := range q.services {
			ofSource = merge(ofSource, p.ofService(q, src, i, s.name), sameButServices, func(c *Change, x Change) { c.Services = append(c.Services, x.Services...) })
		}
		out = merge(out, ofSource, sameButSources, func(c *Change, x Change) { c.Sources = joined(c.Sources, x.Sources) })
	}
	for i := range out {
		if len(out[i].Services) == len(q.services) && q.complete {
			out[i].Services = []string{anyProtocol}
		}
	}
	return out
}

// judge finds the fates of the packets of one source, and reports whether any changes.
func (p *pair) judge(q *question, src group) (changes bool) {
	p.fates = p.fates[:0]
	for _, dst := range q.destinations {
		if !src.meets(dst) {
			p.fates = append(p.fates, make([]fate, len(q.services))...)
			continue
		}
		p.was.Between(src.was, dst.was)
		p.is.Between(src.is, dst.is)
		for _, s := range q.services {
			f := p.fate(s)
			p.fates = append(p.fates, f)
			changes = changes || f != fate{}
		}
	}
	return changes
}

// fate compares how packets of a service go between the classes that were asked about last.
func (p *pair) fate(s sort) fate {
	arrived, arrives := p.was.Arrives(s.was), p.is.Arrives(s.is)
	answered, answers := p.was.Answered(s.was), p.is.Answered(s.is)
	if arrived == arrives && answered == answers && (!arrives || p.is.SameForward(p.was)) && (!answers || p.is.SameReturn(p.was)) {
		return fate{}
	}
	return fate{way(p.was, arrived, answered), way(p.is, arrives, answers)}
}

// way returns how packets go, or nil where they die.
func way(a *verify.Asker, arrives, answered bool) *Way {
	if !arrives {
		return nil
	}
	w := &Way{}
	w.Forward, w.MTU = a.Forward()
	if answered {
		w.Return, w.ReturnMTU = a.Return()
	}
	return w
}

// ofService returns what changes for one source and one service.
func (p *pair) ofService(q *question, src group, service int, name string) []Change {
	var out []Change
	for i, dst := range q.destinations {
		f := p.fates[i*len(q.services)+service]
		if f == (fate{}) {
			continue
		}
		c := Change{f.action(), q.from, q.to, src.prefixes, dst.prefixes, []string{name}, f.was, f.is}
		out = merge(out, []Change{c}, sameFate, func(c *Change, x Change) { c.Destinations = joined(c.Destinations, x.Destinations) })
	}
	return out
}

func (f fate) action() plan.Action {
	switch {
	case f.was == nil:
		return plan.Add
	case f.is == nil:
		return plan.Remove
	}
	return plan.Alter
}

// joined returns two lists of prefixes as one, in the fewest prefixes.
func joined(a, b []netip.Prefix) []netip.Prefix {
	var set netipx.IPSetBuilder
	for _, p := range slices.Concat(a, b) {
		set.AddPrefix(p)
	}
	all, err := set.IPSet()
	if err != nil { // prefixes of a plan are valid
		panic("reach: " + err.Error())
	}
	return all.Prefixes()
}

// merge adds each of more to a change that is the same in all else, or to the end.
func merge(all, more []Change, same func(a, b *Change) bool, join func(*Change, Change)) []Change {
	if len(all) == 0 {
		return more
	}
	for _, x := range more {
		i := slices.IndexFunc(all, func(c Change) bool { return same(&c, &x) })
		if i < 0 {
			all = append(all, x)
			continue
		}
		join(&all[i], x)
	}
	return all
}

func sameFate(a, b *Change) bool { return a.Before.equal(b.Before) && a.After.equal(b.After) }

func sameButServices(a, b *Change) bool {
	return sameFate(a, b) && slices.Equal(a.Destinations, b.Destinations)
}

func sameButSources(a, b *Change) bool {
	return sameButServices(a, b) && slices.Equal(a.Services, b.Services)
}

func (w *Way) equal(o *Way) bool {
	if w == nil || o == nil {
		return w == o
	}
	return w.MTU == o.MTU && w.ReturnMTU == o.ReturnMTU && slices.Equal(w.Forward, o.Forward) && slices.Equal(w.Return, o.Return)
}
