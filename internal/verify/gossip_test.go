package verify

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sort"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ropeway/internal/diag"
	"ropeway/internal/plan"
)

// gossip is BGP without anything that the proof is made of: daemons that hold what each neighbour last said, and messages that arrive one at a time, in the order in which
// they were sent over a session and in no order between sessions. It is written from the comments of plan.BGP.
type gossip struct {
	plan   *plan.Fabric
	facts  Facts
	r      *rand.Rand
	pipes  []*pipe
	own    map[string]map[netip.Prefix]*said // by gateway
	heard  map[*pipe]map[netip.Prefix]*said
	lastly map[string]map[netip.Prefix]*said // what a gateway last chose
}

// A pipe is one direction of a session.
type pipe struct {
	from, to   *plan.Gateway
	out, in    *plan.Neighbor // how the sender and the receiver see the session
	underway   []message
	fromDrains bool
}

type message struct {
	prefix netip.Prefix
	route  *said // nil: no more
}

// A said is a route as somebody has it, or tells it.
type said struct {
	path        []uint32
	tags        []uint32
	origin      string // "own", "router" or ""
	spoke       bool
	shut        bool
	preference  uint32
	metric      uint32
	in          *pipe
	viaNeighbor *plan.Neighbor
}

func newGossip(p *plan.Fabric, facts Facts, r *rand.Rand) *gossip {
	s := &gossip{p, facts, r, nil, map[string]map[netip.Prefix]*said{}, map[*pipe]map[netip.Prefix]*said{}, map[string]map[netip.Prefix]*said{}}
	for _, g := range p.Gateways {
		s.own[g.Name], s.lastly[g.Name] = map[netip.Prefix]*said{}, map[netip.Prefix]*said{}
		for _, n := range g.BGP.Neighbors {
			if n.Device != "" {
				s.connect(g, n)
			}
		}
	}
	for _, g := range p.Gateways {
		if slices.Contains(facts.Down, g.Name) {
			continue
		}
		for _, x := range g.BGP.Own {
			s.own[g.Name][x] = &said{origin: "own", preference: 100}
		}
		for _, n := range g.BGP.Neighbors {
			if n.Device != "" {
				continue
			}
			for _, x := range n.Accept {
				if s.own[g.Name][x] == nil && longest(placeNamed(p, g.Place).Prefixes, x.Addr()) >= 0 {
					s.own[g.Name][x] = &said{origin: "router", spoke: n.Spoke, preference: 100}
				}
			}
		}
	}
	return s
}

func placeNamed(p *plan.Fabric, name string) *plan.Place {
	for _, x := range p.Places {
		if x.Name == name {
			return x
		}
	}
	return nil
}

// connect opens the direction from g's other end to g, if both ends are as they should be.
func (s *gossip) connect(g *plan.Gateway, n *plan.Neighbor) {
	d := g.Device(n.Device)
	if len(d.Peers) != 1 || slices.Contains(s.facts.Down, g.Name) {
		return
	}
	far, back := naive{s.plan, s.facts}.session(g, d, d.Peers[0])
	if far == nil || len(back.Peers) != 1 || longest(d.Peers[0].AllowedIPs, n.Address) < 0 || longest(back.Peers[0].AllowedIPs, n.Local) < 0 {
		return
	}
	for _, m := range far.BGP.Neighbors {
		if m.Device == back.Name && m.Address == n.Local && m.Local == n.Address && m.ASN == g.BGP.ASN && n.ASN == far.BGP.ASN {
			x := &pipe{from: far, to: g, out: m, in: n, fromDrains: slices.Contains(s.facts.Drained, far.Name)}
			s.pipes = append(s.pipes, x)
			s.heard[x] = map[netip.Prefix]*said{}
		}
	}
}

// best returns what a gateway has of a prefix: all that is alike, in the order of its neighbours.
func (s *gossip) best(g *plan.Gateway, x netip.Prefix) []*said {
	all := []*said{}
	if o := s.own[g.Name][x]; o != nil {
		if o.origin == "own" {
			return []*said{o}
		}
		all = append(all, o)
	}
	for _, n := range g.BGP.Neighbors {
		for _, p := range s.pipes {
			if p.to == g && p.in == n && s.heard[p][x] != nil {
				all = append(all, s.heard[p][x])
			}
		}
	}
	better := func(a, b *said) bool {
		switch {
		case a.preference != b.preference:
			return a.preference > b.preference
		case len(a.path) != len(b.path):
			return len(a.path) < len(b.path)
		}
		return a.metric < b.metric
	}
	sort.SliceStable(all, func(i, j int) bool { return better(all[i], all[j]) })
	for i := range all {
		if better(all[0], all[i]) {
			return all[:i]
		}
	}
	return all
}

// tell sends everybody what a gateway has of a prefix now, or that it has nothing to tell.
func (s *gossip) tell(g *plan.Gateway, x netip.Prefix) {
	var now *said
	if list := s.best(g, x); len(list) > 0 {
		now = list[0]
	}
	if s.lastly[g.Name][x] == now {
		return
	}
	s.lastly[g.Name][x] = now
	for _, p := range s.pipes {
		if p.from != g {
			continue
		}
		m := message{prefix: x}
		if now != nil && s.may(now, p) {
			m.route = &said{path: append([]uint32{g.BGP.ASN}, now.path...), tags: now.tags, shut: now.shut || p.fromDrains}
			if now.origin != "" { // what a router of the place announced is the place's own
				m.route.tags = append(slices.Clone(g.BGP.Tags), p.out.Tags...)
			}
		}
		p.underway = append(p.underway, m)
	}
}

func (s *gossip) may(r *said, p *pipe) bool {
	if x := slices.Index(r.path, p.out.ASN); x >= 0 || (p.out.Address.Is6()) != (p.in.Address.Is6()) {
		return false
	}
	switch p.out.Tell {
	case plan.TellOwn:
		return r.origin != ""
	case plan.TellSpokes:
		return r.origin != "" || r.spoke
	}
	return true
}

// hear takes a message in.
func (s *gossip) hear(p *pipe, m message) {
	delete(s.heard[p], m.prefix)
	r := m.route
	if r == nil || m.prefix.Addr().Is4() != p.in.Address.Is4() || r.path[0] != p.in.ASN || slices.Contains(r.path, p.to.BGP.ASN) || len(r.path) > p.in.MaxHops {
		return
	}
	accepted := false
	for _, a := range p.in.Accept {
		accepted = accepted || a.Contains(m.prefix.Addr()) && a.Bits() <= m.prefix.Bits()
	}
	if !accepted {
		return
	}
	x := *r
	x.preference, x.metric, x.spoke, x.in, x.viaNeighbor = 100, 0, p.in.Spoke, p, p.in
	for _, f := range p.in.Prefer {
		if (f.Hops == 0 || f.Hops == len(x.path)) && (f.Tag == 0 || slices.Contains(x.tags, f.Tag)) {
			x.metric = f.Metric
			if f.LocalPreference != 0 {
				x.preference = f.LocalPreference
			}
			break
		}
	}
	if x.shut {
		x.preference = 0
	}
	s.heard[p][m.prefix] = &x
}

// run lets everybody talk until nobody has anything to say, and reports whether that came about.
func (s *gossip) run() bool {
	for _, i := range s.r.Perm(len(s.plan.Gateways)) {
		for x := range s.own[s.plan.Gateways[i].Name] {
			s.tell(s.plan.Gateways[i], x)
		}
	}
	for range 200000 {
		var busy []*pipe
		for _, p := range s.pipes {
			if len(p.underway) > 0 {
				busy = append(busy, p)
			}
		}
		if len(busy) == 0 {
			return true
		}
		p := busy[s.r.IntN(len(busy))]
		m := p.underway[0]
		p.underway = p.underway[1:]
		s.hear(p, m)
		s.tell(p.to, m.prefix)
	}
	return false
}

// table writes where everybody's packets go: "g0-a 10.1.0.0/16" → "rw3 rw4", and "p0 10.1.0.0/16" → "g0-a".
func (s *gossip) table() map[string]string {
	out := map[string]string{}
	prefixes := map[netip.Prefix]bool{}
	for _, own := range s.own {
		for x := range own {
			prefixes[x] = true
		}
	}
	for x := range prefixes {
		for _, g := range s.plan.Gateways {
			for _, b := range s.best(g, x) {
				if b.in != nil {
					out[g.Name+" "+x.String()] += b.in.in.Device + " "
				}
			}
		}
		for _, p := range s.plan.Places {
			if via := s.entry(p, x); via != "" {
				out[p.Name+" "+x.String()] = via
			}
		}
	}
	return out
}

// entry returns the gateway that the router of a place takes; several are marked.
func (s *gossip) entry(p *plan.Place, x netip.Prefix) string {
	type told struct {
		hops   int
		metric uint32
		via    string
	}
	byRouter := map[string][]told{}
	for _, g := range s.plan.Gateways {
		list := s.best(g, x)
		if g.Place != p.Name || len(list) == 0 || list[0].in == nil || slices.Contains(s.facts.Down, g.Name) {
			continue
		}
		b := list[0]
		for _, n := range g.BGP.Neighbors {
			if n.Device != "" || n.Address.Is4() != x.Addr().Is4() || slices.Contains(b.path, n.ASN) || n.Tell == plan.TellOwn {
				continue
			}
			t := told{len(b.path), 0, g.Name}
			if n.Announce != nil {
				t.hops += n.Announce.Prepend
			}
			if n.Tell == plan.TellLearnt {
				t.metric = b.metric
			}
			if slices.Contains(s.facts.Drained, g.Name) {
				t.metric += 1 << 28
			}
			byRouter[n.Name] = append(byRouter[n.Name], t)
		}
	}
	chosen := map[string]bool{}
	for _, list := range byRouter {
		sort.Slice(list, func(i, j int) bool {
			return list[i].hops < list[j].hops || list[i].hops == list[j].hops && list[i].metric < list[j].metric
		})
		for _, t := range list {
			if t.hops == list[0].hops && t.metric == list[0].metric {
				chosen[t.via] = true
			}
		}
	}
	var all []string
	for name := range chosen {
		all = append(all, name)
	}
	slices.Sort(all)
	return fmt.Sprint(all)
}

// played writes the same of what the proof derived. Of parallel tunnels it knows one.
func played(p *plan.Fabric) map[string]string {
	out := map[string]string{}
	for _, g := range p.Gateways {
		for _, r := range g.Routes {
			for _, x := range r.Prefixes {
				out[g.Name+" "+x.String()] = r.Device
			}
		}
	}
	for _, place := range p.Places {
		for _, r := range place.Routes {
			for _, x := range r.Prefixes {
				out[place.Name+" "+x.String()] = "[" + r.Gateway + "]"
			}
		}
	}
	return out
}

// TestAgreesWithGossip compares the tables that the proof derives with those that real daemons could come to, in several random orders of events.
func TestAgreesWithGossip(t *testing.T) {
	var compared, shared, open, circles int
	for seed := range uint64(600) {
		r := rand.New(rand.NewPCG(seed, 7))
		p, facts := randomSpeakers(r)
		derived, _, problems := converged(p, facts)
		has := func(code diag.Code) bool {
			return slices.ContainsFunc(problems, func(x diag.Problem) bool { return x.Code == code })
		}
		if has("RW3035") || has("RW3036") { // the proof says that it may be otherwise
			if has("RW3035") {
				shared++
			} else {
				open++
				if !newGossip(p, facts, r).run() {
					circles++
				}
			}
			continue
		}
		want := played(derived)
		for range 3 {
			s := newGossip(p, facts, r)
			if !s.run() {
				t.Fatalf("seed %d: the proof came to an end, and the daemons do not", seed)
			}
			got := s.table()
			for key, devices := range got {
				if key[0] == 'g' {
					got[key] = firstOf(devices)
				} else if devices == "[]" {
					delete(got, key)
				}
			}
			if diff := cmp.Diff(got, want); diff != "" {
				t.Fatalf("seed %d, %+v (-daemons +proof):\n%s", seed, facts, diff)
			}
			compared++
		}
	}
	t.Logf("%d runs compared; %d fabrics share packets between gateways, %d are left open, of which %d went in circles", compared, shared, open, circles)
	if compared < 900 || shared < 20 || open < 5 {
		t.Errorf("%d runs compared, %d fabrics with sharing, %d left open: too few to say anything", compared, shared, open)
	}
}

func firstOf(devices string) string {
	var first string
	_, _ = fmt.Sscan(devices, &first)
	return first
}
