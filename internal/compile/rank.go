package compile

import (
	"slices"

	"ropeway/internal/fabric"
	"ropeway/internal/plan"
)

// Which of several ways do packets between two places take, and which when that one is lost? Every gateway decides by itself, by what BGP tells it, and yet both
// directions shall cross the same gateways: firewalls remember flows. So ways are ranked by numbers that both ends know, whatever fails:
//
//	direct      S – T          all tunnels between the two places have a rank, one order for both. Each gateway uses the best tunnel that it has; each
//	                           place's router uses the gateway with the best one. Both come to the best that is left, however many are lost.
//	via a hub   S – H – T      the hub's gateway is ranked by how both like the hub (the sum of their levels), and then by what S and T have in common (the sum of
//	                           their classes), so S and T agree on the best that both still have; which of its own gateways a spoke uses with it, spoke and hub agree
//	                           on as above.
//	via two     S – H – J – T  the hub's gateway next to a spoke is that spoke's own choice; it puts the rank on what it announces there, and the other
//	                           hub goes by it. While the two hubs' gateways all reach each other, both directions agree.
//
// The length of the AS path comes before all of it: a direct tunnel goes before a way through a hub, and that before one through two.
//
// Pairs of places are spread over gateways by their ordinals, as with static routing.

// Tags of routes. A place that is no hub tells which class it is of; what it announces to a hub's gateway has a tag that says how it likes that one, and where it
// does not like the hub best, one that says class and level together.
const (
	classes   = 16  // tags 1 to 16, and as many for each level of the hub but the first: up to 64
	firstExit = 100 // tag of the hub's gateway that a spoke likes best; the next one has the next
	mostExits = 256 // gateways that are ranked: of a spoke with more, those that follow are liked alike
)

// step separates what is ranked first from what is ranked within it: no two places have so many tunnels between two of their gateways' ends.
const step = 1024

// Local preferences that a path has by what the file says of it; 100 is BGP's own default (and what plan.Preference means by 0).
const (
	preferred = 200
	avoided   = 50
)

func localPreference(p fabric.PathPreference) uint32 {
	switch p {
	case fabric.PreferPath:
		return preferred
	case fabric.AvoidPath:
		return avoided
	}
	return 0
}

// class returns the tag of a place's own announcements; 0 for a hub, which nobody reaches by way of a pair's choice.
func (p *place) class() uint32 {
	if p.Hub || p.hubs == nil {
		return 0
	}
	return uint32(p.ordinal%classes) + 1
}

// classAt returns the tag of a class where the hub is of a level.
func classAt(level int, class uint32) uint32 { return uint32(classes*level) + class }

// rank returns how good a tunnel is for the traffic between the two places that it joins: 0 is the best. Both ends give it the same rank.
func (s *strand) rank() int {
	near, far := s.at, s.peer
	if turned(near.place, far.place) {
		near, far = far, near
	}
	a, b := near.place, far.place
	switch {
	case a.Hub && b.Hub: // the same position at both
		first := (a.ordinal + b.ordinal) % min(len(a.gateways), len(b.gateways))
		return turn(near.position-first, a)*len(b.gateways) + turn(far.position-near.position, b)
	case a.Hub && slices.Contains(b.hubs, a):
		return turn(near.position-a.home(b).position, a)*len(b.gateways) + s.face()
	}
	return turn(near.position-a.home(b).position, a)*len(b.gateways) + turn(far.position-b.home(a).position, b)
}

// turned reports whether the order of two places is b, a: hubs come before spokes, and of two alike the one with the lower ordinal.
func turned(a, b *place) bool {
	if a.Hub != b.Hub {
		return b.Hub
	}
	return b.ordinal < a.ordinal
}

// turn returns how far a position is behind the first, going round the gateways of a place.
func turn(n int, p *place) int { return modulo(n, len(p.gateways)) }

func modulo(n, m int) int { return (n%m + m) % m }

// face ranks the spoke's gateway at one end of a tunnel among those of the spoke, for the hub's gateway at the other.
func (s *strand) face() int {
	spoke, hub := s.at, s.peer
	if spoke.place.Hub {
		spoke, hub = hub, spoke
	}
	return turn(spoke.position-spoke.place.facing(hub).position, spoke.place)
}

// exit ranks a hub's gateway among all that a spoke has, for what it shares no hub with: hub after hub where the spoke ranks them, going round within each; else going round
// all of them.
func (g *graph) exit(spoke *place, hub *gateway) int {
	at, n := seat(spoke.hubs, hub)
	if spoke.Ranked {
		return min(at-hub.position+turn(hub.position-spoke.ordinal, hub.place), mostExits-1)
	}
	return min(modulo(at-spoke.ordinal, n), mostExits-1)
}

// commonRank ranks a hub's gateway for the traffic between two spokes of these classes, whose levels of the hub come to liked: by that, then by its seat
// among all of the fabric's hubs, going round from where the sum of the classes says. Of any that both have, both find the same one best.
func (g *graph) commonRank(hub *gateway, liked int, a, b uint32) int {
	at, n := seat(g.hubsInOrder(), hub)
	return liked*n + modulo(at-int((a+b)%classes), n)
}

func (g *graph) hubsInOrder() []*place {
	if g.hubs == nil {
		for _, p := range g.places {
			if p.Hub {
				g.hubs = append(g.hubs, p)
			}
		}
		slices.SortFunc(g.hubs, func(a, b *place) int { return a.ordinal - b.ordinal })
	}
	return g.hubs
}

// prefer returns what routes are worth that come by a tunnel.
func (g *graph) prefer(s *strand) []plan.Preference {
	liked := localPreference(s.path)
	direct := plan.Preference{Hops: 1, LocalPreference: liked, Metric: uint32(s.rank())}
	mine, far := s.at.place, s.peer.place
	switch {
	case !far.Hub:
		return []plan.Preference{direct}
	case mine.Hub:
		out := []plan.Preference{direct}
		for e := range g.exitsOf(far) {
			out = append(out, plan.Preference{Hops: 2, Tag: firstExit + uint32(e), LocalPreference: liked, Metric: uint32(e*step + s.rank())})
		}
		return append(out, plan.Preference{LocalPreference: liked, Metric: uint32(mostExits*step + s.rank())})
	}
	out := []plan.Preference{direct}
	for level := g.levelsOf(far) - 1; level >= 0; level-- { // a route with the tag of a level has that of its class, too
		for c := uint32(1); c <= classes; c++ {
			rank := g.commonRank(s.peer, mine.level(far)+level, mine.class(), c)
			out = append(out, plan.Preference{Hops: 2, Tag: classAt(level, c), LocalPreference: liked, Metric: uint32(rank*step + s.face())})
		}
	}
	return append(out, plan.Preference{LocalPreference: liked, Metric: uint32(g.exit(mine, s.peer)*step + s.face())})
}

// levelsOf returns how many levels a hub is of, to any of its spokes.
func (g *graph) levelsOf(hub *place) int {
	most := 0
	for _, p := range g.places {
		if slices.Contains(p.hubs, hub) {
			most = max(most, p.level(hub))
		}
	}
	return most + 1
}

// exitsOf returns how many ranks the spokes of a hub give to hubs' gateways.
func (g *graph) exitsOf(hub *place) int {
	most := 0
	for _, p := range g.places {
		if slices.Contains(p.hubs, hub) {
			_, n := seat(p.hubs, nil)
			most = max(most, min(n, mostExits))
		}
	}
	return most
}

// inTurn returns the gateways of s that can take packets for t, where s's router does not learn it, in the order in which they do when others are lost: the one with the
// best way is the first. There are none where there is no way.
func (g *graph) inTurn(s, t *place) []*gateway {
	if g.joined(s, t) {
		return ranked(s, func(x *strand) (int, bool) { return x.rank(), x.peer.place == t })
	}
	if g.common(s, t) != nil {
		return ranked(s, func(x *strand) (int, bool) {
			hub := x.peer.place
			if !slices.Contains(s.hubs, hub) || !slices.Contains(t.hubs, hub) {
				return 0, false
			}
			return g.commonRank(x.peer, s.level(hub)+t.level(hub), s.class(), t.class())*step + x.face(), true
		})
	}
	if s.Hub { // t is a spoke of another hub
		return ranked(s, func(x *strand) (int, bool) {
			if !x.peer.place.Hub || !slices.Contains(t.hubs, x.peer.place) {
				return 0, false
			}
			return g.exit(t, x.peer)*step + x.rank(), true
		})
	}
	return ranked(s, func(x *strand) (int, bool) {
		return g.exit(s, x.peer)*step + x.face(), slices.Contains(s.hubs, x.peer.place)
	})
}

// ranked returns the gateways of s that have a tunnel which leads there, by the lowest rank of one.
func ranked(s *place, rank func(*strand) (n int, leads bool)) []*gateway {
	lowest := map[*gateway]int{}
	var out []*gateway
	for _, gw := range s.gateways {
		for _, x := range gw.strands {
			n, leads := rank(x)
			if !leads {
				continue
			}
			known, has := lowest[gw]
			if !has {
				out = append(out, gw)
			}
			if !has || n < known {
				lowest[gw] = n
			}
		}
	}
	slices.SortStableFunc(out, func(a, b *gateway) int { return lowest[a] - lowest[b] })
	return out
}
