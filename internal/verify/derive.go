package verify

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"ropeway/internal/diag"
	"ropeway/internal/plan"
)

// tables collects where everybody's packets go, by kinds.
type tables struct {
	c         *convergence
	kinds     []*kind
	lost      loss
	gateways  []map[hop][]int   // by gateway: kinds
	places    []map[int32][]int // by place, then the gateway that its router takes: kinds
	shared    []sharing
	unsettled []int              // kinds
	unlike    map[[2]int32][]int // parallel tunnels of which it matters which one a packet takes, by their devices at one end: kinds
	alike     map[[2]int32]string
	lists     map[string][]netip.Prefix // of kinds together
}

// A hop is a device and the gateway behind it.
type hop struct{ device, peer int32 }

// A sharing is packets that somebody divides between two gateways.
type sharing struct {
	place   int32 // whose router shares; nobody: a gateway does
	gateway int32
	between [2]int32
	kind    int
}

// tables puts what gateways chose into tables.
func (c *convergence) tables(choices []choice, l loss) *tables {
	return newTables(c, c.kinds, choices, l)
}

func newTables(c *convergence, kinds []*kind, choices []choice, l loss) *tables {
	t := &tables{
		c: c, kinds: kinds, lost: l, gateways: make([]map[hop][]int, len(c.speakers)), places: make([]map[int32][]int, len(c.m.places)),
		unlike: map[[2]int32][]int{}, alike: map[[2]int32]string{}, lists: map[string][]netip.Prefix{},
	}
	for i := range t.gateways {
		t.gateways[i] = map[hop][]int{}
	}
	for i := range t.places {
		t.places[i] = map[int32][]int{}
	}
	for k, have := range choices {
		if have == nil {
			t.unsettled = append(t.unsettled, k)
			continue
		}
		for g, best := range have {
			t.leave(int32(g), k, best)
		}
		for p := range t.places {
			t.enter(int32(p), k, have)
		}
	}
	return t
}

// leave notes where a gateway's packets for a kind go. Of several tunnels to one gateway any may stand for all, as long as they are alike.
func (t *tables) leave(g int32, k int, best []learnt) {
	if len(best) == 0 || best[0].session < 0 || g == t.lost.gateway {
		return
	}
	s := &t.c.speakers[g]
	x := &s.sessions[best[0].session]
	h := hop{x.device, x.far}
	t.gateways[g][h] = append(t.gateways[g][h], k)
	for i := range best[1:] {
		y := &best[i+1]
		switch t.part(s, &best[0], y) {
		case apart:
			t.shared = append(t.shared, sharing{nobody, g, [2]int32{x.far, s.sessions[y.session].far}, k})
		case unlike:
			devices := [2]int32{x.device, s.sessions[y.session].device}
			t.unlike[devices] = append(t.unlike[devices], k)
		}
	}
}

// A parting is how far two routes lead apart between which a gateway shares packets.
type parting uint8

const (
	together parting = iota // by tunnels of which it does not matter which one a packet takes
	unlike                  // by tunnels to one gateway of which it does
	apart                   // to different gateways
)

// part compares two routes of a gateway that are equally good. The first was told by a gateway.
func (t *tables) part(s *speaker, a, b *learnt) parting {
	if b.session < 0 {
		return together
	}
	x, y := &s.sessions[a.session], &s.sessions[b.session]
	switch {
	case y.far != x.far || x.far == nobody || x.device != y.device && (x.back < 0 || y.back < 0):
		return apart
	case !slices.Equal(a.tags, b.tags) || a.spoke != b.spoke || t.difference(x, y) != "":
		return unlike
	}
	return together
}

// difference says in what the tunnels of two sessions between the same gateways differ, or "".
func (t *tables) difference(x, y *exchange) string {
	key := [2]int32{x.device, y.device}
	said, known := t.alike[key]
	if known {
		return said
	}
	m := t.c.m
	a, b := &m.devices[x.device], &m.devices[y.device]
	farA, farB := &m.devices[a.sessions[0].far], &m.devices[b.sessions[0].far]
	switch {
	case a.MTU != b.MTU || a.sessions[0].fits != b.sessions[0].fits || farA.MTU != farB.MTU || farA.sessions[0].fits != farB.sessions[0].fits:
		said = "their MTUs differ"
	case !t.c.sameAllowed(a, b) || !t.c.sameAllowed(farA, farB):
		said = "their AllowedIPs differ"
	}
	t.alike[key] = said
	return said
}

// sameAllowed compares what two devices' peers may send, the addresses of the tunnels themselves apart.
func (c *convergence) sameAllowed(a, b *device) bool {
	without := func(d *device) []netip.Prefix {
		out := c.m.pool.text(d.allowed[0])
		for _, n := range c.speakers[d.gateway].Neighbors {
			if n != nil && n.Device == d.Name {
				out = slices.DeleteFunc(out, func(p netip.Prefix) bool { return p.IsSingleIP() && p.Addr() == n.Address })
			}
		}
		return out
	}
	return slices.Equal(without(a), without(b))
}

// An offer is what a router of a place hears of a kind from a gateway.
type offer struct {
	hops    int
	metric  uint32
	gateway int32
}

// enter notes which gateway the routers of a place take for a kind.
func (t *tables) enter(p int32, k int, have choice) {
	at, others := t.entry(p, t.kinds[k], have)
	if at == nobody {
		return
	}
	t.places[p][at] = append(t.places[p][at], k)
	for _, other := range others {
		t.shared = append(t.shared, sharing{p, nobody, [2]int32{at, other}, k})
	}
}

// entry returns which gateway the routers of a place take for a kind, where they learn that: the one with the shortest AS path, then with the lowest metric; nobody where
// none tells them. The others are those that are taken beside it.
func (t *tables) entry(p int32, k *kind, have choice) (at int32, others []int32) {
	best := map[string][]offer{}
	var names []string
	for _, g := range t.c.m.places[p].gateways {
		s := &t.c.speakers[g]
		if len(have[g]) == 0 || have[g][0].session < 0 || t.c.m.gateways[g].down || g == t.lost.gateway {
			continue
		}
		for _, n := range s.routers {
			o, told := s.offer(k, &have[g][0], n)
			if !told {
				continue
			}
			list := best[n.Name]
			order := -1
			if len(list) > 0 {
				order = cmp.Or(cmp.Compare(o.hops, list[0].hops), cmp.Compare(o.metric, list[0].metric))
			} else {
				names = append(names, n.Name)
			}
			if order < 0 {
				best[n.Name] = []offer{o}
			} else if order == 0 && !slices.ContainsFunc(list, func(have offer) bool { return have.gateway == o.gateway }) {
				best[n.Name] = append(list, o)
			}
		}
	}
	if len(names) == 0 {
		return nobody, nil
	}
	at = best[names[0]][0].gateway
	for _, name := range names {
		for _, o := range best[name] {
			if o.gateway != at {
				others = append(others, o.gateway)
			}
		}
	}
	return at, others
}

// offer returns what a gateway tells a router of its place.
func (s *speaker) offer(k *kind, r *learnt, n *plan.Neighbor) (offer, bool) {
	if n.Address.Is4() != k.v4 || !r.toldTo(n) || slices.Contains(r.path, n.ASN) {
		return offer{}, false
	}
	o := offer{hops: len(r.path), gateway: s.gateway}
	if n.Tell == plan.TellLearnt {
		o.metric = r.metric
	}
	if n.Announce != nil {
		o.hops += n.Announce.Prepend
	}
	if s.drained {
		o.metric += plan.DrainMetric
	}
	return o, true
}

// plan returns the plan with the tables in it. Its gateways have no neighbours left to learn from.
func (t *tables) plan() *plan.Fabric {
	m := t.c.m
	out := &plan.Fabric{Name: m.plan.Name, Places: make([]*plan.Place, len(m.places)), Gateways: make([]*plan.Gateway, len(m.gateways))}
	for i := range m.places {
		out.Places[i] = t.place(int32(i))
	}
	for i := range m.gateways {
		out.Gateways[i] = t.gateway(int32(i))
	}
	return out
}

// gateway returns a gateway with what it learnt. A route that the plan itself has goes before one that is learnt.
func (t *tables) gateway(n int32) *plan.Gateway {
	m := t.c.m
	g := *m.gateways[n].Gateway
	if g.BGP == nil {
		return &g
	}
	deaf := *g.BGP
	deaf.Neighbors = nil
	g.BGP = &deaf
	fixed := map[netip.Prefix]bool{}
	for _, r := range g.Routes {
		if r != nil {
			for _, p := range r.Prefixes {
				fixed[p] = true
			}
		}
	}
	routes := make([]*plan.Route, 0, len(g.Routes)+len(t.gateways[n]))
	for h, kinds := range t.gateways[n] {
		list := t.list(kinds)
		if slices.ContainsFunc(list, func(p netip.Prefix) bool { return fixed[p] }) {
			list = slices.DeleteFunc(slices.Clone(list), func(p netip.Prefix) bool { return fixed[p] })
		}
		r := &plan.Route{Prefixes: list} // by no device, where one was seen that the plan does not have
		if h.device != nobody {
			x := &m.devices[h.device]
			r.Device, r.MTU = x.Name, x.MTU
		}
		if h.peer != nobody {
			r.Peer = m.gateways[h.peer].Name
		}
		routes = append(routes, r)
	}
	slices.SortFunc(routes, func(a, b *plan.Route) int {
		return cmp.Or(strings.Compare(a.Device, b.Device), strings.Compare(a.Peer, b.Peer))
	})
	g.Routes = append(slices.Clone(g.Routes), routes...)
	return &g
}

// list returns the prefixes of kinds, sorted: none is left out because it lies in another, for the longest prefix decides. Gateways that learnt the same share a list.
func (t *tables) list(kinds []int) []netip.Prefix {
	id := make([]byte, 0, 4*len(kinds))
	for _, k := range kinds {
		id = binary.LittleEndian.AppendUint32(id, uint32(k))
	}
	if known, found := t.lists[string(id)]; found {
		return known
	}
	var out []netip.Prefix
	for _, k := range kinds {
		out = append(out, t.kinds[k].prefixes...)
	}
	slices.SortFunc(out, netip.Prefix.Compare)
	t.lists[string(id)] = out
	return out
}

// place returns a place with what its routers learn, or with what its gateways have taken over.
func (t *tables) place(n int32) *plan.Place {
	m := t.c.m
	p := *m.places[n].Place
	t.takeOver(&p)
	if len(t.places[n]) == 0 {
		return &p
	}
	p.Routes = slices.Clone(p.Routes)
	type way struct {
		to      string
		gateway int32
	}
	ways := map[way][]int{}
	for g, kinds := range t.places[n] {
		for _, k := range kinds {
			to := ""
			if len(t.kinds[k].origins) > 0 {
				to = m.gateways[t.kinds[k].origins[0].gateway].Place
			}
			ways[way{to, g}] = append(ways[way{to, g}], k)
		}
	}
	for w, kinds := range ways {
		p.Routes = append(p.Routes, &plan.RouterRoute{To: w.to, Gateway: m.gateways[w.gateway].Name, Prefixes: t.list(kinds)})
	}
	slices.SortStableFunc(p.Routes, func(a, b *plan.RouterRoute) int {
		return cmp.Or(strings.Compare(a.To, b.To), strings.Compare(a.Gateway, b.Gateway))
	})
	return &p
}

// takeOver gives the routes of a place's table to those of its gateways that hold them: one that is drained does where no other is there.
func (t *tables) takeOver(p *plan.Place) {
	moves := func(r *plan.RouterRoute) bool { return r != nil && len(r.Then) > 0 }
	if !slices.ContainsFunc(p.Routes, moves) {
		return // nobody holds it; the plan's own list serves for every loss
	}
	there := func(name string) bool {
		g := t.c.m.named(name, nobody)
		return g != nobody && g != t.lost.gateway && !t.c.m.gateways[g].down
	}
	waiting := func(name string) bool { return there(name) && !t.c.speakers[t.c.m.named(name, nobody)].drained }
	p.Routes = slices.Clone(p.Routes)
	for i, r := range p.Routes {
		if !moves(r) {
			continue
		}
		if holder := cmp.Or(r.Holder(waiting), r.Holder(there)); holder != "" {
			held := *r
			held.Gateway = holder
			p.Routes[i] = &held
		}
	}
}

// problems returns what keeps the tables from being all that can come of the sessions.
func (t *tables) problems() (out diag.List) {
	name := func(g int32) string {
		if g == nobody {
			return "nobody"
		}
		return t.c.m.gateways[g].Name
	}
	type pair struct {
		place, gateway int32
		between        [2]int32
	}
	told := map[pair]bool{}
	for _, s := range t.shared {
		if told[pair{s.place, s.gateway, s.between}] {
			continue
		}
		told[pair{s.place, s.gateway, s.between}] = true
		subject := "router " // of a place
		if s.place == nobody {
			subject = "gateway " + name(s.gateway)
		} else {
			subject += t.c.m.places[s.place].Name
		}
		out = append(out, diag.Problem{
			Code: "RW3035", Severity: diag.Error, Subject: subject, Hint: "give one of the two ways a lower metric: compile the plan again",
			Message: fmt.Sprintf("shares packets for %s between %s and %s, and answers may come by the one that does not know the flow: nothing that crosses it is proven",
				t.kinds[s.kind].prefixes[0], name(s.between[0]), name(s.between[1])),
		})
	}
	for devices, kinds := range t.unlike {
		x, y := &t.c.m.devices[devices[0]], &t.c.m.devices[devices[1]]
		said := cmp.Or(t.alike[devices], "what is told over them differs")
		out = append(out, diag.Problem{
			Code: "RW3037", Severity: diag.Error, Subject: "gateway " + name(x.gateway), Hint: "compile the plan again",
			Message: fmt.Sprintf("shares packets for %s between its devices %s and %s, which are not alike: %s", t.kinds[kinds[0]].prefixes[0], x.Name, y.Name, said),
		})
	}
	for _, k := range t.unsettled {
		out = append(out, diag.Problem{
			Code: "RW3036", Severity: diag.Error, Subject: "fabric " + t.c.m.plan.Name, Hint: "let the length of the AS path decide: compile the plan again",
			Message: fmt.Sprintf("what gateways prefer leaves open which way to %s they come to agree on, if any", t.kinds[k].prefixes[0]),
		})
	}
	out.Sort()
	return out
}
