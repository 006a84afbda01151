// Package world draws, as plain data, the machines and wires that a fabric needs around it: what a lab then builds.
//
// The Internet is one space, the core. Every gateway has a wire to it that ends in its endpoint's address, or in one of the lab's
// own; a gateway behind NAT, and gateways that share an address, stand behind a box. In the core, a routing table per place says
// what the path from that place to each other one carries. Behind its gateways, a place has a router with the route table that
// the plan gives it, and a host for every prefix. A host carries one address of every set of addresses that the fabric file
// tells apart, so that to speak for the host is to speak for the prefix. Where the plan's gateways speak BGP with a router of their place, it is this one: it
// carries the address that they know it by, and learns its routes instead of having them. Controllers, and the operator who speaks to them, have a seat each at
// the core: everybody reaches them over the underlay.
//
// Nothing here touches the machine. The same fabric and plan give the same world.
package world

import (
	"net/netip"
	"slices"
)

// A World is everything that a lab builds.
type World struct {
	Spaces []*Space `json:"spaces"` // the core first
	Wires  []Wire   `json:"wires"`
	Paths  []Path   `json:"paths"` // what the underlay carries, by ordered pair of places
	Edges  []Edge   `json:"edges"` // where gateways meet the underlay
	Seats  []Seat   `json:"seats,omitempty"`

	Speakers []Speaker `json:"speakers,omitempty"` // routers of places whose gateways tell them their routes
}

// A Kind says what a space stands for.
type Kind string

const (
	Core    Kind = "core"    // the Internet
	NAT     Kind = "nat"     // a box that translates addresses
	Gateway Kind = "gateway" // runs the agent
	Router  Kind = "router"  // a place's route table: what a VPC or a LAN has
	Host    Kind = "host"    // stands for the machines of one prefix

	Controller Kind = "controller" // runs ropewayd
	Operator   Kind = "operator"   // where people speak to controllers from
)

// A Space is one network namespace.
type Space struct {
	Name    string       `json:"name"` // "use1-a", "use1/router", "use1/host1", "hq-1/nat"
	Kind    Kind         `json:"kind"`
	Place   string       `json:"place,omitempty"`
	Prefix  netip.Prefix `json:"prefix,omitzero"` // of a host
	Routes  []Route      `json:"routes"`
	Rules   []Rule       `json:"rules,omitempty"`
	Forward []Forward    `json:"forward,omitempty"` // of a box
	Hosts   []Name       `json:"hosts,omitempty"`   // of a gateway: what DNS would tell it
}

// A Wire joins two spaces.
type Wire struct {
	A   End `json:"a"`
	B   End `json:"b"`
	MTU int `json:"mtu"`
}

// An End is one end of a wire. Link are the addresses of the wire itself, a pair per family with the other end's; Own are those
// that the space has for its own sake.
type End struct {
	Space     string       `json:"space"`
	Interface string       `json:"interface"`
	Link      []netip.Addr `json:"link"`
	Own       []netip.Addr `json:"own,omitempty"`
}

// A Route sends a prefix over a wire to its other end.
type Route struct {
	Prefix    netip.Prefix `json:"prefix"`
	Interface string       `json:"interface"`
	Source    netip.Addr   `json:"source,omitzero"`  // what the space calls itself on this way; zero: its link address
	OnLink    bool         `json:"onLink,omitempty"` // the other end carries it itself: no next hop
}

// A Rule looks up what comes in by an interface in a table of its own before the main one.
type Rule struct {
	Interface string `json:"interface"`
	Table     int    `json:"table"`
}

// A Forward is how a box shows one gateway to the world: from there, its packets have the source Outer, and packets to Outer and one of Ports go to Inner.
type Forward struct {
	Interface string       `json:"interface"` // towards the gateway
	Outer     []netip.Addr `json:"outer"`     // one per family
	Inner     []netip.Addr `json:"inner"`     // likewise
	Ports     []Ports      `json:"ports,omitempty"`
}

// Ports are a port that others dial, and the one that the gateway listens on.
type Ports struct {
	Outer uint16 `json:"outer"`
	Inner uint16 `json:"inner"`
}

// A Name is a line of a hosts file.
type Name struct {
	Addr netip.Addr `json:"addr"`
	Host string     `json:"host"`
}

// A Path is what the underlay carries from one place to another.
type Path struct {
	From  string `json:"from"`
	To    string `json:"to"`
	Table int    `json:"table"` // the table of From in the core
	MTU   int    `json:"mtu"`   // bytes, outer IP header included
}

// An Edge is where a gateway's packets meet the underlay: the interface of the first space on their way, the core's own on it, and
// the addresses that the rest of the world knows the gateway by.
type Edge struct {
	Gateway   string       `json:"gateway"`
	Place     string       `json:"place"`
	Space     string       `json:"space"` // CoreSpace, or its box
	Interface string       `json:"interface"`
	Core      string       `json:"core"`
	Outer     []netip.Addr `json:"outer"` // one per family
}

// A Seat is where a controller, or who speaks to it, meets the underlay: a space with one wire to the core. Its packets go by the wire's own
// MTU, since a plan says nothing of them.
type Seat struct {
	Name  string     `json:"name"`            // of the controller: that of its place
	Place string     `json:"place,omitempty"` // of the operator: none
	Space string     `json:"space"`
	Core  string     `json:"core"` // the core's interface towards it
	Addr  netip.Addr `json:"addr"` // IPv4
}

// Space returns the space of that name, or nil.
func (w *World) Space(name string) *Space {
	for _, s := range w.Spaces {
		if s.Name == name {
			return s
		}
	}
	return nil
}

// Edge returns the edge of that gateway, or nil.
func (w *World) Edge(gateway string) *Edge {
	for i := range w.Edges {
		if w.Edges[i].Gateway == gateway {
			return &w.Edges[i]
		}
	}
	return nil
}

// Controllers returns the seats of controllers.
func (w *World) Controllers() []Seat {
	return slices.DeleteFunc(slices.Clone(w.Seats), func(s Seat) bool { return s.Place == "" })
}

// Ways returns the core's interfaces towards a place: its gateways', its controller's. Each once, in order.
func (w *World) Ways(place string) []string {
	var out []string
	for _, e := range w.Edges {
		if e.Place == place {
			out = append(out, e.Core)
		}
	}
	for _, s := range w.Seats {
		if s.Place == place {
			out = append(out, s.Core)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// Of returns the spaces of one kind.
func (w *World) Of(kind Kind) []*Space {
	var out []*Space
	for _, s := range w.Spaces {
		if s.Kind == kind {
			out = append(out, s)
		}
	}
	return out
}

// End returns the end of a wire at that interface of a space, and the other end; nil where there is none.
func (w *World) End(space, iface string) (this, other *End) {
	for i := range w.Wires {
		switch a, b := &w.Wires[i].A, &w.Wires[i].B; {
		case a.Space == space && a.Interface == iface:
			return a, b
		case b.Space == space && b.Interface == iface:
			return b, a
		}
	}
	return nil, nil
}

// Addresses returns what a host carries, in the order of its prefix.
func (w *World) Addresses(host string) []netip.Addr {
	this, _ := w.End(host, Uplink)
	if this == nil {
		return nil
	}
	return this.Own
}

// HostOf returns the host that carries an address, or nil.
func (w *World) HostOf(addr netip.Addr) *Space {
	for _, s := range w.Spaces {
		if s.Kind != Host || !s.Prefix.Contains(addr) {
			continue
		}
		for _, own := range w.Addresses(s.Name) {
			if own == addr {
				return s
			}
		}
	}
	return nil
}

// Names of interfaces.
const (
	Uplink = "eth0" // towards the underlay, or a host's only one
	Inside = "lan0" // of a gateway, towards its place
)

// CoreSpace is the name of the Internet's space. No gateway's has a slash in it, and no place's ends so.
const CoreSpace = "underlay/core"

// OperatorSpace is the name of the operator's space, where there are controllers.
const OperatorSpace = "underlay/operator"

// family reports whether an address is of the same family as another.
func family(a, b netip.Addr) bool { return a.Is4() == b.Is4() }

// InFamily returns the first address of the family of like; the zero Addr where there is none.
func InFamily(addrs []netip.Addr, like netip.Addr) netip.Addr {
	for _, a := range addrs {
		if family(a, like) {
			return a
		}
	}
	return netip.Addr{}
}
