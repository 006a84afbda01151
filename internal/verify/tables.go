package verify

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	"ropeway/internal/diag"
)

// A repeat is a prefix that one table has twice: two peers of a device, two routes of a gateway, two gateways of a router.
type repeat struct {
	column int32 // of a row: gateways, then devices, then places
	prefix netip.Prefix
}

// findRepeated finds every prefix that a table has twice. Lists are shared, so a prefix that only one list of a kind has can be
// repeated in a table only with the whole list.
func (m *Model) findRepeated() {
	m.repeated = map[repeat]bool{}
	devices := int32(len(m.gateways))
	places := devices + int32(len(m.devices))
	routes, keys, entries := m.newRepeats(forRoutes), m.newRepeats(forKeys), m.newRepeats(forEntry)
	for i := range m.gateways {
		routes.find(int32(i), m.gateways[i].routes)
	}
	for i := range m.devices {
		keys.find(devices+int32(i), m.devices[i].allowed)
	}
	for i := range m.places {
		entries.find(places+int32(i), m.places[i].routes)
	}
}

// repeats looks for repeated prefixes in the tables of one kind.
type repeats struct {
	m      *Model
	common [][]int32 // by list: its prefixes that another list of the kind has as well
	list   []int32   // by list: the last column that had it
	prefix []int32   // by prefix: the last column that had it
}

func (m *Model) newRepeats(u use) *repeats {
	r := &repeats{m: m, common: make([][]int32, len(m.pool.lists)), list: make([]int32, len(m.pool.lists)), prefix: make([]int32, len(m.pool.prefixes))}
	for id, list := range m.pool.lists {
		if m.routes(listID(id)) && m.uses[id]&u != 0 {
			for _, n := range list {
				r.prefix[n]++
			}
		}
	}
	for id, list := range m.pool.lists {
		if m.routes(listID(id)) && m.uses[id]&u != 0 {
			for _, n := range list {
				if r.prefix[n] > 1 {
					r.common[id] = append(r.common[id], n)
				}
			}
		}
	}
	clear(r.prefix)
	return r
}

func (r *repeats) find(column int32, lists []listID) {
	stamp := column + 1
	for _, id := range lists {
		if r.list[id] == stamp {
			for _, n := range r.m.pool.lists[id] {
				r.m.repeated[repeat{column, r.m.pool.prefixes[n]}] = true
			}
			continue
		}
		r.list[id] = stamp
		for _, n := range r.common[id] {
			if r.prefix[n] == stamp {
				r.m.repeated[repeat{column, r.m.pool.prefixes[n]}] = true
			}
			r.prefix[n] = stamp
		}
	}
}

// repeatedProblems writes them, a problem per table.
func (m *Model) repeatedProblems() diag.List {
	byColumn := map[int32][]netip.Prefix{}
	for r := range m.repeated {
		byColumn[r.column] = append(byColumn[r.column], r.prefix)
	}
	var out diag.List
	for column, list := range byColumn {
		slices.SortFunc(list, netip.Prefix.Compare)
		p := m.repeatedProblem(column, list[0])
		if len(list) > 1 {
			p.Message += fmt.Sprintf("; and so are %d more prefixes", len(list)-1)
		}
		p.Severity, p.Hint = diag.Error, "compile the plan again"
		out = append(out, p)
	}
	return out
}

func (m *Model) repeatedProblem(column int32, prefix netip.Prefix) diag.Problem {
	n := int(column)
	if n < len(m.gateways) {
		return diag.Problem{Code: "RW3032", Subject: "gateway " + m.gateways[n].Name, Message: fmt.Sprintf("%s is routed twice: the later route replaces the earlier", prefix)}
	}
	if n -= len(m.gateways); n < len(m.devices) {
		return diag.Problem{Code: "RW3020", Subject: fmt.Sprintf("gateway %s, device %s", m.gateways[m.devices[n].gateway].Name, m.devices[n].Name),
			Message: fmt.Sprintf("%s is claimed by two peers, and WireGuard gives it to the one that is set last", prefix)}
	}
	return diag.Problem{Code: "RW3032", Subject: "router " + m.places[n-len(m.devices)].Name, Message: fmt.Sprintf("%s is routed twice: the later route replaces the earlier", prefix)}
}

// findParted compares, for every row and gateway, the peer that the route means with the one that cryptokey routing chooses.
func (w *world) findParted(m *Model) {
	w.parted = make([][]int32, len(w.rows))
	parallel(len(w.rows), func(_, row int) {
		for g := range m.gateways {
			if w.parts(m, int32(row), int32(g)) {
				w.parted[row] = append(w.parted[row], int32(g))
			}
		}
	})
	for _, list := range w.parted {
		w.partings += len(list)
	}
}

// parts reports whether route and cryptokey routing disagree. Where a route covers addresses that nobody owns and no peer is allowed,
// nothing is lost.
func (w *world) parts(m *Model, row, g int32) bool {
	cell := w.rows[row][g]
	if cell == nowhere || cell == local {
		return false
	}
	group := &m.gateways[g].groups[cell-1]
	if group.device == nobody {
		return w.rowOwner[row] != nobody
	}
	peer := w.rows[row][w.keysAt+int(group.device)]
	if peer == nowhere && group.peer != 0 && m.gateways[g].BGP != nil {
		return false // whole prefixes are announced, and AllowedIPs hold what of them access needs
	}
	return peer != group.peer && (peer != nowhere || w.rowOwner[row] != nobody) || group.peer == 0 && w.rowOwner[row] != nobody
}

// partedProblems writes the disagreements, a problem per gateway.
func (m *Model) partedProblems() diag.List {
	if m.world.partings == 0 {
		return nil
	}
	type found struct {
		first  netip.Addr
		groups map[uint16]bool
	}
	byGateway := map[int32]*found{}
	for a := range m.world.space.all() {
		for _, g := range m.world.parted[a.row] {
			if byGateway[g] == nil {
				byGateway[g] = &found{a.start, map[uint16]bool{}}
			}
			byGateway[g].groups[m.world.rows[a.row][g]] = true
		}
	}
	var out diag.List
	for g, f := range byGateway {
		p := m.partedProblem(g, f.first)
		if n := len(f.groups); n > 1 {
			p.Message += fmt.Sprintf("; and so do %d more route groups", n-1)
		}
		out = append(out, p)
	}
	slices.SortFunc(out, func(a, b diag.Problem) int { return cmp.Compare(a.Subject, b.Subject) })
	return out
}

func (m *Model) partedProblem(g int32, a netip.Addr) diag.Problem {
	at := &m.gateways[g]
	h, _ := m.routeTo(g, a)
	group := at.groups[h.number]
	peer := "no peer"
	if group.device != nobody {
		if k := m.peerFor(group.device, a); k.found && m.devices[group.device].Peers[k.number] != nil {
			peer = m.devices[group.device].Peers[k.number].Gateway
		}
	}
	meant := at.words(int(h.number))
	return diag.Problem{
		Code: "RW3021", Severity: diag.Error, Subject: "gateway " + at.Name,
		Message: fmt.Sprintf("the route to %s by device %s means peer %s, and the device's AllowedIPs give %s to %s", h.prefix, meant.device, meant.peer, a, peer),
		Hint:    "routes and AllowedIPs must name the same peer: compile the plan again",
	}
}
