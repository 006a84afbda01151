package compile

import "slices"

// Which gateways do packets between two places cross? WireGuard gives a prefix to one peer per device, and drops what comes from
// another, so the answer has to be the same in both directions, and at a gateway it may depend on the destination alone. On
// the other hand all gateways of a place shall work. The rules below have both properties, and use only numbers that the lock
// keeps, so that a change in one corner moves nothing in another:
//
//	direct       S – T            home(S,T), home(T,S)         each side spreads its remote places over its gateways
//	spoke, hub   S – H            face(S,h), h = home(H,S)     the spoke answers a hub's gateway always from the same gateway
//	hubs         H – J            the same position in both    so that face(H, face(J,h)) = h
//	via a hub    S – H – T        face(S,h), h, face(T,h)      h chosen by the pair: of the hubs that both like best, so pairs spread over those and their gateways
//	via two      S – H – J – T    face(S,h), h, j, face(T,j)   h is S's exit and j is T's, whoever the other is
//
// At a hub's gateway h, packets for an attached spoke T go to face(T,h), for another spoke to T's exit, for another hub J to
// face(J,h): none depends on where they come from. At a spoke's gateway there is one way per remote place by construction.

// path appends to way the gateways that packets from s to t cross, at both ends and between; none where there is no way.
// The path from t to s is the reverse.
func (g *graph) path(way []*gateway, s, t *place) []*gateway {
	if g.joined(s, t) {
		return direct(way, s, t)
	}
	if via := g.common(s, t); via != nil {
		return append(way, s.facing(via), via, t.facing(via))
	}
	switch out, in := s.exit(), t.exit(); {
	case s.Hub && in != nil:
		return append(way, s.facing(in), in, t.facing(in))
	case t.Hub && out != nil:
		return append(way, s.facing(out), out, t.facing(out))
	case out != nil && in != nil:
		return append(way, s.facing(out), out, in, t.facing(in))
	}
	return way
}

// direct appends the pair of gateways that carries the traffic of two joined places.
func direct(way []*gateway, s, t *place) []*gateway {
	switch {
	case s.Hub && t.Hub:
		i := (s.ordinal + t.ordinal) % min(len(s.gateways), len(t.gateways))
		return append(way, s.gateways[i], t.gateways[i])
	case s.Hub && slices.Contains(t.hubs, s):
		h := s.home(t)
		return append(way, h, t.facing(h))
	case t.Hub && slices.Contains(s.hubs, t):
		h := t.home(s)
		return append(way, s.facing(h), h)
	}
	return append(way, s.home(t), t.home(s))
}

// common returns the gateway through which two spokes of a common hub talk, or nil.
func (g *graph) common(s, t *place) *gateway {
	var shared []*place
	least := 0
	for _, h := range s.hubs {
		if !slices.Contains(t.hubs, h) {
			continue
		}
		if liked := s.level(h) + t.level(h); len(shared) == 0 || liked < least {
			shared, least = append(shared[:0], h), liked
		} else if liked == least {
			shared = append(shared, h)
		}
	}
	if len(shared) == 0 {
		return nil
	}
	slices.SortFunc(shared, func(a, b *place) int { return a.ordinal - b.ordinal })
	pair := s.ordinal + t.ordinal
	hub := shared[pair%len(shared)]
	return hub.gateways[pair/len(shared)%len(hub.gateways)]
}

// levels bounds the hubs of a spoke that are told apart where it meets another spoke: those that follow are liked as the last.
const levels = 4

// level returns how a spoke likes one of its hubs: 0 is the best. Where the file does not say, it likes all alike.
func (p *place) level(hub *place) int {
	if !p.Ranked {
		return 0
	}
	return min(slices.Index(p.hubs, hub), levels-1)
}

// home returns the gateway of p that serves a remote place: one after the other, in the order of the remote ordinals.
func (p *place) home(remote *place) *gateway {
	rank := remote.ordinal
	if rank > p.ordinal {
		rank--
	}
	return p.gateways[rank%len(p.gateways)]
}

// facing returns the gateway of p that talks to a gateway of a hub: a spoke takes its hubs' gateways in turn, a hub goes by
// position.
func (p *place) facing(h *gateway) *gateway {
	turn := h.position
	if !p.Hub {
		turn, _ = seat(p.hubs, h)
	}
	return p.gateways[turn%len(p.gateways)]
}

// seat returns the place of a gateway among all those of some places, one place after the other, and how many there are.
func seat(places []*place, gw *gateway) (at, of int) {
	for _, p := range places {
		if gw != nil && p == gw.place {
			at = of + gw.position
		}
		of += len(p.gateways)
	}
	return at, of
}

// exit returns the hub's gateway through which a spoke talks to whatever shares no hub with it; nil for a hub.
func (p *place) exit() *gateway {
	if len(p.hubs) == 0 {
		return nil
	}
	if p.Ranked {
		return p.hubs[0].home(p)
	}
	return p.hubs[p.ordinal%len(p.hubs)].home(p)
}
