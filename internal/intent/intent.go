// Package intent is what a fabric file means: names looked up, selectors turned into prefixes, defaults filled in, everything
// checked. It is pure, and every value of type Fabric is valid: what follows (compile, verify, the lab) checks nothing again.
package intent

import (
	"net/netip"

	"ropeway/internal/diag"
	"ropeway/internal/fabric"
)

// A Fabric is the checked meaning of one file.
type Fabric struct {
	Name     string
	Topology fabric.TopologyMode
	Routing  Routing
	Pools    Pools
	Places   []*Place // in file order: regions, then sites
	Segments []Segment
	Links    []Link
	Access   []Access
	Tests    []Test
}

// Routing says how routes come about. With static routing there is nothing but the mode.
type Routing struct {
	Mode    fabric.RoutingMode
	Daemon  fabric.Daemon
	BFD     BFD
	Tunnels int // parallel tunnels between two gateways, where a link does not say otherwise: at least 1
}

// A BFD says how soon a neighbour is missed: after Interval milliseconds times Multiplier.
type BFD struct{ Interval, Multiplier int }

// A Router is on the LAN of a place, and all its gateways speak BGP with it.
type Router struct {
	Name     string
	Address  netip.Addr
	ASN      uint32
	Accept   []netip.Prefix // of the place: there only while the router announces them; sorted
	Password string         // name of the file that holds it; "": none
	Announce Announcement
	Position diag.Position
}

// An Announcement is what gateways add to the routes that they tell a router of their place.
type Announcement struct {
	Communities []fabric.Community // sorted
	Prepend     int                // times that the place's AS number is put before the path once more
	NoExport    bool               // NO_EXPORT (RFC 1997)
}

// Pools are what addresses of tunnels and devices are taken from. They overlap neither each other nor any place's prefix.
type Pools struct {
	Links4  netip.Prefix // always set
	Links6  netip.Prefix // set where a place owns an IPv6 prefix; from the file, else a ULA out of the fabric's name (RFC 4193)
	Devices []netip.Prefix
}

// A Place is a region or a site: what owns prefixes and has gateways, at least one of each.
type Place struct {
	Name        string
	Kind        fabric.Kind
	Provider    string
	UnderlayMTU int                // bytes on the wire that the place's own path carries, outer IP header included
	Prefixes    []netip.Prefix     // canonical, disjoint, in file order
	Gateways    []*Gateway         // in file order
	Communities []fabric.Community // on its prefixes wherever they are announced; sorted
	Hub         bool
	Hubs        []*Place // the hubs of a spoke; nil for a hub and in a mesh
	Ranked      bool     // Hubs stand in the order in which the spoke goes by them; else it likes all alike, and they stand in that of topology.hubs
	ASN         uint32   // 0: one is given out
	Routers     []Router // in file order
	TakeOver    bool     // its gateways hold its route table among themselves
	Position    diag.Position
}

// A Gateway forwards for its place and speaks WireGuard. Its name is unique in the fabric.
type Gateway struct {
	Name     string
	Place    *Place
	Zone     string
	Endpoint fabric.Endpoint // zero: it cannot be reached and dials out
	Port     uint16          // UDP port that its device listens on
	NAT      bool            // behind NAT: keeps its mappings open with keepalives
	Address  netip.Addr      // on the LAN of its place; invalid: nobody says
	Cores    int             // CPUs of the machine; 0: nobody says
	Position diag.Position
}

// Dials reports whether the gateway has to keep its sessions open from its own side.
func (g *Gateway) Dials() bool { return g.NAT || g.Endpoint.IsZero() }

// A Segment is a named set of prefixes that places own.
type Segment struct {
	Name     string
	Prefixes []netip.Prefix
	Position diag.Position
}

// A Link is written in the file: it joins two places that the topology would not, or says what the path between two carries.
type Link struct {
	A, B        *Place
	UnderlayMTU int // 0: the smaller of both places'. Otherwise it stands for this path instead of both places' figures.
	Tunnels     int // between each two gateways; 0: as Routing says
	Path        fabric.PathPreference
	Position    diag.Position
}

// A Selector is a set of addresses that the fabric owns, and the text that named it ("segment/prod").
type Selector struct {
	Text     string
	Prefixes []netip.Prefix // canonical, sorted, none within another, each within one prefix of one place; never empty
}

// Access lets From open flows to To; answers come back. Traffic within one place does not cross the fabric, so no rule
// permits or forbids it.
type Access struct {
	From, To Selector
	Services []fabric.Service // empty: every protocol
	Position diag.Position
}

// An Expectation is what a test expects.
type Expectation string

const (
	Reachable Expectation = "reachable" // every pair of addresses gets some packet through: the named service, or where none is named, any
	Denied    Expectation = "denied"    // no pair of addresses gets any packet through (of the named service, if one is named)
)

// A Test is a statement about the fabric that the proof has to bear out. It ranges over every pair of an address of From and
// an address of To that are of one family and in different places.
type Test struct {
	From, To  Selector
	Service   *fabric.Service // nil: none was named
	Expect    Expectation
	Symmetric bool // forward and return path cross the same gateways
	MTU       int  // the least that both paths carry, in bytes of inner packet; 0: not asked
	Position  diag.Position
}

// Place returns the place of that name, or nil.
func (f *Fabric) Place(name string) *Place {
	for _, p := range f.Places {
		if p.Name == name {
			return p
		}
	}
	return nil
}

// Gateways returns every gateway, in file order.
func (f *Fabric) Gateways() []*Gateway {
	var all []*Gateway
	for _, p := range f.Places {
		all = append(all, p.Gateways...)
	}
	return all
}
