package adopt

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"ropeway/internal/diag"
	"ropeway/internal/fabric"
)

// A shape is how places are joined.
type shape struct {
	mode  fabric.TopologyMode
	hubs  []*machine
	of    map[*machine][]*machine // the hubs of a spoke, where they are not all
	links [][2]*machine
}

// drop leaves out machines of which no prefix is told, and links that could not begin.
func (m *maker) drop() {
	m.machines = slices.DeleteFunc(m.machines, func(of *machine) bool {
		if len(of.prefixes) > 0 {
			return false
		}
		for other := range of.joined {
			delete(other.joined, of)
		}
		m.problems = append(m.problems, diag.Problem{Code: codeUntold, Severity: diag.Warning, Subject: "gateway " + of.name,
			Message: "it is left out, since no address behind it is told", Hint: "import its own configuration, or write it into the file"})
		return true
	})
	for _, a := range m.machines {
		for _, b := range m.machines {
			if a.name < b.name && a.joined[b] && a.endpoint.IsZero() && b.endpoint.IsZero() {
				delete(a.joined, b)
				delete(b.joined, a)
				m.note(b, "it peers with "+a.name+", and neither has an endpoint that is told", "give one of them an endpoint, and join them")
			}
		}
	}
}

// form finds the smallest shape that joins who is joined: a mesh where everybody is, else hubs, and links beside them.
func (m *maker) form() *shape {
	if m.isMesh() {
		return &shape{mode: fabric.Mesh}
	}
	s := &shape{mode: fabric.HubAndSpoke, of: map[*machine][]*machine{}}
	s.hubs = m.hubs()
	isHub := func(of *machine) bool { return slices.Contains(s.hubs, of) }
	for _, of := range m.machines {
		if isHub(of) {
			for _, other := range s.hubs {
				if of.name < other.name && !of.joined[other] {
					m.note(of, "it and "+other.name+" are joined now: hubs are", "")
				}
			}
			continue
		}
		m.spoke(s, of)
		for _, other := range m.machines {
			if of.name < other.name && of.joined[other] && !isHub(other) {
				s.mode, s.links = fabric.Hybrid, append(s.links, [2]*machine{of, other})
			}
		}
	}
	return s
}

func (m *maker) isMesh() bool {
	for _, of := range m.machines {
		if len(of.joined) != len(m.machines)-1 {
			return false
		}
	}
	return true
}

// spoke finds the hubs of one who is none.
func (m *maker) spoke(s *shape, of *machine) {
	var own []*machine
	for _, h := range s.hubs {
		if of.joined[h] {
			own = append(own, h)
		}
	}
	if len(own) == 0 {
		own = s.hubs[:1]
		m.note(of, "it is joined with "+own[0].name+" now: everybody who is no hub has one", "")
	}
	if len(own) < len(s.hubs) {
		s.of[of] = own
	}
}

// hubs picks, of those that can be dialled, one after the other who joins most of those that no hub joins yet.
func (m *maker) hubs() []*machine {
	open := map[*machine]bool{}
	for _, of := range m.machines {
		open[of] = true
	}
	var hubs []*machine
	for {
		best, most := (*machine)(nil), 0
		for _, of := range m.machines {
			if of.endpoint.IsZero() || slices.Contains(hubs, of) {
				continue
			}
			n := 0
			for other := range of.joined {
				if open[other] {
					n++
				}
			}
			if n > most || best == nil && len(hubs) == 0 {
				best, most = of, n
			}
		}
		if best == nil || most == 0 && len(hubs) > 0 {
			slices.SortFunc(hubs, func(a, b *machine) int { return cmp.Compare(a.name, b.name) })
			return hubs
		}
		hubs = append(hubs, best)
		delete(open, best)
		for other := range best.joined {
			delete(open, other)
		}
	}
}

// names writes the names of machines, with commas between them.
func names(list []*machine) string {
	out := make([]string, len(list))
	for i, of := range list {
		out[i] = scalar(of.name)
	}
	return strings.Join(out, ", ")
}

func (s *shape) text() string {
	if s.mode == fabric.Mesh {
		return "{mode: mesh}"
	}
	return fmt.Sprintf("{mode: %s, hubs: [%s]}", s.mode, names(s.hubs))
}
