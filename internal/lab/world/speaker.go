package world

import (
	"net/netip"
	"slices"

	"ropeway/internal/fabric"
	"ropeway/internal/plan"
)

// A Speaker is what the router of a place has to speak, so that it learns from its gateways what they reach: eBGP (RFC 4271).
type Speaker struct {
	Space    string     `json:"space"`    // of the router
	RouterID netip.Addr `json:"routerID"` // IPv4
	Sessions []Session  `json:"sessions"` // in the order of the plan's gateways and their neighbours
}

// A Session is one between the router of a place and a gateway, as the router sees it.
type Session struct {
	Gateway   string         `json:"gateway"`
	Local     netip.Addr     `json:"local"` // that the gateway knows the router by; routes of its family alone are exchanged
	LocalASN  uint32         `json:"localASN"`
	Remote    netip.Addr     `json:"remote"` // the gateway's, on its LAN
	RemoteASN uint32         `json:"remoteASN"`
	Announce  []netip.Prefix `json:"announce,omitempty"` // that the gateway accepts
	BFD       *plan.BFD      `json:"bfd,omitempty"`
	Multihop  bool           `json:"multihop,omitempty"` // see multihop
	Password  string         `json:"password,omitempty"` // the name of the TCP MD5 password; "": none
}

// external returns the neighbours of a gateway that are routers of its place.
func external(g *plan.Gateway) []*plan.Neighbor {
	if g == nil || g.BGP == nil {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(g.BGP.Neighbors), func(n *plan.Neighbor) bool { return !n.External() })
}

// knownBy returns the addresses that the gateways of a place know its router by. Several routers of a place are one here. Sorted.
func (d *drawing) knownBy(place string) []netip.Addr {
	var out []netip.Addr
	for _, g := range d.plan.Gateways {
		if g.Place != place {
			continue
		}
		for _, n := range external(g) {
			out = append(out, n.Address)
		}
	}
	slices.SortFunc(out, netip.Addr.Compare)
	return slices.Compact(out)
}

// speakers says what every router speaks with the gateways of its place.
func (d *drawing) speakers() {
	for _, place := range d.plan.Places {
		s := Speaker{Space: RouterOf(place.Name)}
		if d.Space(s.Space) == nil {
			continue
		}
		for _, g := range d.plan.Gateways {
			inside := d.inside[g.Name]
			if g.Place != place.Name || len(inside) == 0 {
				continue // it is not there
			}
			for _, n := range external(g) {
				s.Sessions = append(s.Sessions, Session{
					Gateway: g.Name, Local: n.Address, LocalASN: n.ASN, Remote: InFamily(inside, n.Address), RemoteASN: g.BGP.ASN,
					Announce: n.Accept, BFD: n.BFD, Multihop: multihop(g.BGP.Daemon), Password: n.Password,
				})
			}
		}
		if len(s.Sessions) > 0 {
			s.RouterID = d.routerID(s.Sessions)
			d.Speakers = append(d.Speakers, s)
		}
	}
}

// multihop reports whether a daemon takes a router that no prefix of an interface holds, as here, for one that is more than a hop away. Both ends have to agree, since BFD
// over several hops is another protocol than over one (RFC 5883, RFC 5881). FRR is told not to ask (disable-connected-check), and BIRD cannot be.
func multihop(d fabric.Daemon) bool { return d == fabric.BIRD }

// routerID returns the first IPv4 address that the router is known by, or that of its end of a wire.
func (d *drawing) routerID(sessions []Session) netip.Addr {
	for _, s := range sessions {
		if s.Local.Is4() {
			return s.Local
		}
	}
	_, router := d.End(sessions[0].Gateway, Inside)
	return InFamily(router.Link, netip.IPv4Unspecified())
}
