package verify

import (
	"net/netip"
	"slices"

	"ropeway/internal/fabric"
	"ropeway/internal/intent"
)

// An Asker answers what Trace does of a packet and its answer, without what decided, for people who have a million questions. It looks classes up in
// what is made for a specification, and walks their rows once for packets of every service. The size of a packet is left aside. A packet within one
// place crosses nothing and does not count, and there is none between two families.
//
// It is for one goroutine; several may ask one model at a time. A nil Asker is that of no plan: nothing arrives.
type Asker struct {
	m   *Model
	j   *judge
	off bool // nothing can arrive between the two classes that were asked about last
}

// Nobodys is the class of an address that no place owns.
const Nobodys = nobody

// Asker returns one for a specification. Nothing is judged for it.
func (m *Model) Asker(in *intent.Fabric) *Asker {
	m.draw(in)
	return &Asker{m: m, j: newJudge(m, m.world)}
}

// Class returns the number of what an address is one of: addresses that nothing tells apart. Numbers are the model's own.
func (a *Asker) Class(at netip.Addr) int32 {
	if a == nil {
		return Nobodys
	}
	return a.m.world.space.find(at).class
}

// Kind returns the number of the services that nothing tells apart from this one, which has one port or is ICMP.
func (a *Asker) Kind(of fabric.Service) int {
	if a == nil {
		return -1
	}
	return a.m.world.services.number(of)
}

// Between asks about packets from one class to another. The answers are those of Arrives and what follows, until it is called again.
func (a *Asker) Between(from, to int32) {
	if a == nil {
		return
	}
	w, j := a.m.world, a.j
	a.off = from == Nobodys || to == Nobodys || !w.meet(w.classes[from].row, w.classes[to].row)
	if a.off {
		return
	}
	src, dst := &w.classes[from], &w.classes[to]
	j.rows(side{src.owner, w.rows[src.row]}, side{dst.owner, w.rows[dst.row]})
	j.pass(&j.verdict, &j.forward, src.kind, dst.kind)
	j.answer(&j.verdict, &j.forward, &j.backward, src.kind, dst.kind)
}

// Arrives reports whether packets of a kind do.
func (a *Asker) Arrives(kind int) bool {
	return a != nil && !a.off && kind >= 0 && a.j.verdict.open.has(kind)
}

// Answered reports whether packets of a kind arrive, and their answers do.
func (a *Asker) Answered(kind int) bool {
	return a != nil && !a.off && kind >= 0 && a.j.verdict.both.has(kind)
}

// Forward returns the gateways that packets cross which arrive, and the largest inner packet that the way carries, in bytes.
func (a *Asker) Forward() (gateways []string, mtu int) { return a.m.names(&a.j.forward) }

// Return returns the same of answers that arrive.
func (a *Asker) Return() (gateways []string, mtu int) { return a.m.names(&a.j.backward) }

// SameForward reports whether packets that arrive go as they do for another asker, and SameReturn whether their answers do.
func (a *Asker) SameForward(o *Asker) bool { return a.m.sameWay(&a.j.forward, o.m, &o.j.forward) }

// SameReturn is described at SameForward.
func (a *Asker) SameReturn(o *Asker) bool { return a.m.sameWay(&a.j.backward, o.m, &o.j.backward) }

func (m *Model) names(v *way) (gateways []string, mtu int) {
	gateways = make([]string, len(v.hops))
	for i, g := range v.hops {
		gateways[i] = m.gateways[g].Name
	}
	return gateways, v.mtu
}

// sameWay compares the ways of two models, whose numbers differ.
func (m *Model) sameWay(v *way, o *Model, w *way) bool {
	return v.mtu == w.mtu && slices.EqualFunc(v.hops, w.hops, func(g, h int32) bool { return m.gateways[g].Name == o.gateways[h].Name })
}

// classAt returns the class of an address, or nil where no place owns it.
func (w *world) classAt(a netip.Addr) *class {
	if c := w.space.find(a).class; c != nobody {
		return &w.classes[c]
	}
	return nil
}

// number returns the range that a service of one port, or ICMP, lies in, or -1.
func (s *services) number(x fabric.Service) int {
	for i, r := range s.ranges {
		if r.Contains(x) {
			return i
		}
	}
	return -1
}
