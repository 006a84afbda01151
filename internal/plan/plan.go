// Package plan is what Ropeway decided for every gateway: data, complete and explicit, so that an agent can carry it out and the
// prover can judge it without knowing what anybody intended. Compile makes it, verify reads it, agents apply it, Diff compares.
//
// Values are shared: a prefix list that a thousand gateways need is one slice. Nobody changes a plan once it is made.
package plan

import (
	"net/netip"
	"slices"

	"ropeway/internal/fabric"
	"ropeway/internal/key"
)

// Version names the format of an encoded plan.
const Version = "ropeway/v1"

// A Fabric is the plan of a whole fabric.
type Fabric struct {
	Name     string     `json:"fabric"`
	Places   []*Place   `json:"places"`   // sorted by name
	Gateways []*Gateway `json:"gateways"` // sorted by name
}

// A Place is what lies behind gateways: the route table of a region's VPC or of a site's router.
//
// The prover assumes of it what the cloud promises: it delivers its own prefixes, and hands the routed ones to the gateway named.
type Place struct {
	Name     string         `json:"name"`
	Kind     fabric.Kind    `json:"kind"`
	Prefixes []netip.Prefix `json:"prefixes"`         // what the place owns and its router delivers
	Routes   []*RouterRoute `json:"routes,omitempty"` // sorted by the place they lead to; none where its router learns them (see Neighbor.External)
}

// A RouterRoute says which gateway of the place takes the packets for the prefixes of another place.
type RouterRoute struct {
	To       string         `json:"to"`
	Gateway  string         `json:"gateway"`
	Then     []string       `json:"then,omitempty"` // gateways that take its place, each where those before it are not there; none: the route stays
	Prefixes []netip.Prefix `json:"prefixes"`
}

// A Gateway is everything that one gateway has to be. Packets for the place's own prefixes leave by the routes that the machine
// has without Ropeway (to its VPC router or LAN); only remote prefixes are in Routes.
type Gateway struct {
	Name     string   `json:"name"`
	Place    string   `json:"place"`
	Devices  []Device `json:"devices"`
	Routes   []*Route `json:"routes,omitempty"` // sorted by device, then peer, then MTU, the largest first
	Firewall Firewall `json:"firewall"`
	Sysctls  []Sysctl `json:"sysctls,omitempty"` // sorted by key
	BGP      *BGP     `json:"bgp,omitempty"`     // nil: routing is static
}

// A Device is one WireGuard interface.
type Device struct {
	Name       string         `json:"name"` // at most 15 bytes, begins with "rw"
	ListenPort uint16         `json:"listenPort"`
	Addresses  []netip.Prefix `json:"addresses"`          // one /32, and one /128 where the fabric carries IPv6; with BGP a /31 and a /127 of the link beside them
	MTU        int            `json:"mtu"`                // the largest inner MTU of its links
	PublicKey  key.Public     `json:"publicKey,omitzero"` // zero: pending
	Peers      []*Peer        `json:"peers"`              // sorted by gateway
}

// A Peer is the other end of a link.
type Peer struct {
	Gateway    string          `json:"gateway"`
	PublicKey  key.Public      `json:"publicKey,omitzero"`  // zero: pending, the agent skips the peer
	Endpoint   fabric.Endpoint `json:"endpoint,omitzero"`   // zero: it dials us
	AllowedIPs []netip.Prefix  `json:"allowedIPs"`          // sorted; its tunnel addresses first come as any other prefix
	Keepalive  int             `json:"keepalive,omitempty"` // seconds; 0: none
	MTU        int             `json:"mtu"`                 // largest inner packet that fits this link's underlay
	Underlay   int             `json:"underlay"`            // the underlay MTU that MTU was computed from, in bytes
	Overhead   int             `json:"overhead"`            // bytes that WireGuard and the outer headers add: 60 or 80
	Standby    bool            `json:"standby,omitempty"`   // holds a warm session, carries no prefix but its tunnel addresses
}

// A Route is a group of prefixes that leave by one device for one peer. The kernel chooses the device; the device chooses the
// peer, by its AllowedIPs. Peer names the one that was meant, so that the prover can tell when the two part.
type Route struct {
	Device   string         `json:"device"`
	Peer     string         `json:"peer"`
	MTU      int            `json:"mtu"` // smallest link MTU of the whole path, set on the routes
	Prefixes []netip.Prefix `json:"prefixes"`
}

// A Firewall is default-deny for everything that enters or leaves a device of the fabric. In the order of evaluation:
//
//  1. A packet from Own to Fabric that would leave by another interface than a device of the fabric, and is not for Own, drops:
//     nothing leaks in clear while a device is down, of established flows neither.
//  2. Of what crosses a device established and related packets pass (so answers, and ICMP errors about an allowed flow, always do);
//     invalid ones drop.
//  3. A packet that crosses a device passes if a rule of its direction names its source, destination and service.
//     Where another gateway may have seen the flow opened, so may what answers it: see Answers.
//  4. Whatever else crosses a device drops and is counted. Traffic that crosses no device of the fabric is not Ropeway's: no opinion.
//
// To the gateway itself, out of a device, only answers, ICMP errors and echo requests pass, and for each Neighbor on that device, from its Address to
// its Local one, TCP to port 179 and, where it has BFD, UDP to port 3784 (RFC 5881).
type Firewall struct {
	Own    []netip.Prefix `json:"own"`             // the place's prefixes
	Fabric []netip.Prefix `json:"fabric"`          // every place's prefixes
	Rules  []Rule         `json:"rules,omitempty"` // sorted by ID, then direction

	// Answers names the directions of rules whose flows may come here after another gateway saw them opened. What can open no flow by itself, TCP segments with ACK
	// or RST and echo replies, passes by those rules whichever end it comes from, although this gateway saw no question and connection tracking calls it invalid:
	// with source and destination exchanged, and the rule's ports as its source ports. Sorted as directions are below.
	Answers []Direction `json:"answers,omitempty"`
}

// AnswersAcross reports whether answers pass in a direction to flows that a rule lets in and another gateway may have seen opened.
func (f *Firewall) AnswersAcross(d Direction) bool { return slices.Contains(f.Answers, d.Reverse()) }

// A Direction says which way a forwarded packet crosses the gateway.
type Direction string

const (
	Out     Direction = "out"     // from the place into a device
	In      Direction = "in"      // out of a device into the place
	Transit Direction = "transit" // out of a device into a device (the same one, mostly)
)

// Reverse returns the direction in which answers cross the gateway.
func (d Direction) Reverse() Direction {
	switch d {
	case Out:
		return In
	case In:
		return Out
	}
	return d
}

// A Rule accepts new flows. ID is the number of the access entry that it comes from, counted from 1 in file order.
type Rule struct {
	ID        int              `json:"id"`
	Direction Direction        `json:"direction"`
	From      []netip.Prefix   `json:"from"`
	To        []netip.Prefix   `json:"to"`
	Services  []fabric.Service `json:"services,omitempty"` // empty: every protocol
}

// A Sysctl is a kernel setting: a key in slashes below /proc/sys, and its value.
type Sysctl struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

// Gateway returns the plan of that gateway, or nil.
func (f *Fabric) Gateway(name string) *Gateway {
	for _, g := range f.Gateways {
		if g.Name == name {
			return g
		}
	}
	return nil
}

// Device returns the device of that name, or nil.
func (g *Gateway) Device(name string) *Device {
	for i := range g.Devices {
		if g.Devices[i].Name == name {
			return &g.Devices[i]
		}
	}
	return nil
}
