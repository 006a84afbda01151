package verify

import (
	"net/netip"

	"ropeway/internal/fabric"
	"ropeway/internal/intent"
)

// An Answer is what Trace finds of a packet and its answer, without what decided. The zero value: the packet does not arrive.
type Answer struct {
	Arrives   bool
	Forward   []string // the gateways that it crosses
	MTU       int      // the largest inner packet that the way carries, in bytes
	Answered  bool
	Return    []string
	ReturnMTU int
}

// Ask is Trace for people who have a million questions: it looks the packet's classes up in what Check made for a specification,
// and walks their rows. The size of the packet is left aside. A packet within one place crosses nothing and does not count, and there is
// none between two families.
func (m *Model) Ask(in *intent.Fabric, p Packet) Answer {
	m.prepare(in)
	w := m.world
	from, to, kind := w.classAt(p.Source), w.classAt(p.Destination), w.services.number(p.Service)
	if from == nil || to == nil || kind < 0 || !w.meet(from.row, to.row) {
		return Answer{}
	}
	j := newJudge(m, w)
	j.rows(side{from.owner, w.rows[from.row]}, side{to.owner, w.rows[to.row]})
	j.pass(&j.verdict, &j.forward, from.kind, to.kind)
	j.answer(&j.verdict, &j.forward, &j.backward, from.kind, to.kind)
	if !j.verdict.open.has(kind) {
		return Answer{}
	}
	a := Answer{Arrives: true, Forward: m.names(j.forward.hops), MTU: j.forward.mtu}
	if j.verdict.both.has(kind) {
		a.Answered, a.Return, a.ReturnMTU = true, m.names(j.backward.hops), j.backward.mtu
	}
	return a
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

func (m *Model) names(gateways []int32) []string {
	out := make([]string, len(gateways))
	for i, g := range gateways {
		out[i] = m.gateways[g].Name
	}
	return out
}
