// Package reach says what a change of plan does to people: which addresses gain a path, lose one, or are led another way. It is
// pure.
//
// Two provers, one for each plan, are asked about the same packets. Which packets those are follows from the access of both
// files: their prefixes and services cut each other into pieces that both plans treat alike throughout, and one packet stands
// for each combination of pieces. Pieces with the same fate are reported together.
package reach

import (
	"cmp"
	"net/netip"
	"slices"
	"sync"

	"go4.org/netipx"

	"ropeway/internal/intent"
	"ropeway/internal/plan"
	"ropeway/internal/verify"
)

// maxPackets bounds how many packets are asked about. Above it, one source and one destination of each family stand for each pair of places of which
// both files say the same, and Diff.Partial says so. At some ten microseconds a packet it is a matter of seconds.
const maxPackets = 200_000

// mostListed is how many changes of each action are listed before the rest is counted. Whoever writes the first plan of a thousand places
// gains a million paths; a loss among them must not go missing.
const mostListed = 10_000

// A Side is a fabric file and the prover of its plan.
type Side struct {
	Intent *intent.Fabric
	Model  *verify.Model
}

// A Diff is what a change does to reachability. No changes means that every packet goes as before.
type Diff struct {
	Changes []Change            `json:"changes"`           // by places, then what they concern
	Omitted map[plan.Action]int `json:"omitted,omitempty"` // how many more there are of an action that has 10,000 in Changes
	Partial bool                `json:"partial,omitempty"`
}

// A Change is one fate that many packets share.
type Change struct {
	Action       plan.Action    `json:"action"`
	From         string         `json:"from"` // a place
	To           string         `json:"to"`   // a place
	Sources      []netip.Prefix `json:"sources"`
	Destinations []netip.Prefix `json:"destinations"`
	Services     []string       `json:"services"`         // "tcp/443", "any protocol", "other protocols"
	Before       *Way           `json:"before,omitempty"` // nil: no packet got through
	After        *Way           `json:"after,omitempty"`  // nil: no packet gets through
}

// A Way is how packets go, and how their answers come back.
type Way struct {
	Forward   []string `json:"forward"` // gateways
	MTU       int      `json:"mtu"`     // largest inner packet, in bytes
	Return    []string `json:"return"`
	ReturnMTU int      `json:"returnMTU"` // 0: no answer comes back
}

// Compare asks both sides; before may be the zero value, which reaches nothing.
func Compare(before, after Side) *Diff {
	both := newAccess(before.Intent, after.Intent)
	d := &Diff{Changes: []Change{}, Omitted: map[plan.Action]int{}, Partial: both.large()}
	listed := map[plan.Action]int{}
	for batch := range both.questions() {
		for i := range batch {
			if q := &batch[i]; d.Partial && (!q.changed || before.Intent == nil) {
				q.sources, q.destinations = firsts(q.sources), firsts(q.destinations)
			}
		}
		for _, c := range compare(batch, before, after) {
			if listed[c.Action]++; listed[c.Action] <= mostListed {
				d.Changes = append(d.Changes, c)
			} else {
				d.Omitted[c.Action]++
			}
		}
	}
	return d
}

// large reports whether there are more packets to ask about than one waits for.
func (a *access) large() bool {
	n := 0
	for batch := range a.questions() {
		for _, q := range batch {
			if n += q.size(); n > maxPackets {
				return true
			}
		}
	}
	return false
}

// compare puts some questions to both sides at the same time, and returns what changes by places.
func compare(questions []question, before, after Side) []Change {
	var a answers
	var asking sync.WaitGroup
	asking.Go(func() { a.was = before.ways(questions) })
	a.is = after.ways(questions)
	asking.Wait()
	var out []Change
	for i := range questions {
		out = append(out, questions[i].compare(&a)...)
	}
	slices.SortStableFunc(out, func(a, b Change) int { return cmp.Or(cmp.Compare(a.From, b.From), cmp.Compare(a.To, b.To)) })
	return out
}

// answers are the ways that the packets of questions go, one for each packet in order; nil where a packet dies.
type answers struct{ was, is []*Way }

// next takes the answers to the next packet.
func (a *answers) next() (was, is *Way) {
	was, is = a.was[0], a.is[0]
	a.was, a.is = a.was[1:], a.is[1:]
	return was, is
}

// compare looks at what became of every packet of a pair of places, and joins what shares a fate: the destinations of one source and
// service, then services, then sources.
func (q *question) compare(a *answers) []Change {
	var out []Change
	for _, src := range q.sources {
		var ofSource []Change
		for _, s := range q.services {
			ofService := q.fates(a, src, s)
			ofSource = merge(ofSource, ofService, sameButServices, func(c *Change, x Change) { c.Services = append(c.Services, x.Services...) })
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

// fates returns what changes for one source and one service.
func (q *question) fates(a *answers, src piece, s sort) []Change {
	var out []Change
	for _, dst := range q.destinations {
		if !src.meets(dst) {
			continue
		}
		was, is := a.next()
		if was.equal(is) {
			continue
		}
		c := Change{action(was, is), q.from, q.to, src.prefixes, dst.prefixes, []string{s.name}, was, is}
		out = merge(out, []Change{c}, sameFate, func(c *Change, x Change) { c.Destinations = joined(c.Destinations, x.Destinations) })
	}
	return out
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

func action(was, is *Way) plan.Action {
	switch {
	case was == nil:
		return plan.Add
	case is == nil:
		return plan.Remove
	}
	return plan.Alter
}

// ways returns how every packet of some questions goes.
func (s Side) ways(questions []question) []*Way {
	var out []*Way
	for i := range questions {
		for p := range questions[i].packets() {
			out = append(out, s.way(p))
		}
	}
	return out
}

// way returns how a packet goes, or nil where it dies.
func (s Side) way(p verify.Packet) *Way {
	if s.Model == nil {
		return nil
	}
	a := s.Model.Ask(s.Intent, p)
	if !a.Arrives {
		return nil
	}
	return &Way{a.Forward, a.MTU, a.Return, a.ReturnMTU}
}

func (w *Way) equal(o *Way) bool {
	if w == nil || o == nil {
		return w == o
	}
	return w.MTU == o.MTU && w.ReturnMTU == o.ReturnMTU && slices.Equal(w.Forward, o.Forward) && slices.Equal(w.Return, o.Return)
}
