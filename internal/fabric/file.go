package fabric

import "ropeway/internal/diag"

// The types of this file are the document: parser, JSON Schema and reference page are all made of them. Tags say what Go cannot:
//
//	key:"name,required"  the key in the file, and whether it must be there
//	items:"1-"           the least and the most entries of a list
//	is:"prefix"          the rule of a scalar, or of each scalar of a list (see rules)
//	noun:"gateway"       what one entry of a list is called in messages
//	doc:"…"              one sentence for the schema
//
// A field At of type diag.Position holds where the thing begins. Its Line is 0 where the file does not have it, or has it wrong.

// A File is what one fabric file says, word for word.
type File struct {
	At         diag.Position
	APIVersion Text     `key:"apiVersion,required" is:"version" doc:"The version of this format."`
	Kind       Text     `key:"kind,required" is:"kind" doc:"What the document describes."`
	Metadata   Metadata `key:"metadata,required" doc:"What names the fabric."`
	Spec       Spec     `key:"spec,required" doc:"What the fabric shall be."`
}

// Metadata names the fabric.
type Metadata struct {
	At   diag.Position
	Name Text `key:"name,required" is:"name" doc:"Name of the fabric."`
}

// A Spec is what the fabric shall be.
type Spec struct {
	At         diag.Position
	Topology   Topology   `key:"topology,required" doc:"Which places are joined by tunnels."`
	Routing    Routing    `key:"routing" doc:"How routes come about."`
	Addressing Addressing `key:"addressing" doc:"The pools that addresses of tunnels and devices are taken from."`
	Regions    []Place    `key:"regions" items:"1-2048" noun:"region" doc:"Regions of a cloud."`
	Sites      []Place    `key:"sites" items:"1-2048" noun:"site" doc:"Places that are not a cloud region: offices, data centres, homes."`
	Segments   []Segment  `key:"segments" items:"0-1024" noun:"segment" doc:"Named sets of prefixes that places own."`
	Links      []Link     `key:"links" items:"0-100000" noun:"link" doc:"Direct links between two places, or what the path between two places carries."`
	Access     []Access   `key:"access,required" items:"0-100000" noun:"access" doc:"Who may open flows to whom. What it does not name is denied."`
	Tests      []Test     `key:"tests" items:"0-100000" noun:"test" doc:"Statements about the fabric that the proof has to bear out."`
}

// Topology says which places are joined.
type Topology struct {
	At   diag.Position
	Mode Text   `key:"mode,required" is:"mode" doc:"mesh joins every place with every other; hub-and-spoke joins spokes with their hubs, and hubs with each other; hybrid is hub-and-spoke plus links."`
	Hubs []Text `key:"hubs" items:"1-" is:"name" doc:"The places that are hubs."`
}

// Routing says how routes come about. All but the mode is for the mode bgp.
type Routing struct {
	At      diag.Position
	Mode    Text   `key:"mode,required" is:"routing" doc:"static: routes are part of the plan. bgp: gateways learn them of each other, and go round what fails."`
	Daemon  Text   `key:"daemon" is:"daemon" doc:"The program that speaks BGP on gateways. Default frr."`
	BFD     BFD    `key:"bfd" doc:"How soon a neighbour is missed. Default 300ms and 3."`
	Tunnels Number `key:"tunnels" is:"tunnels" doc:"Parallel tunnels between two gateways, which share their packets by flow. Default 1."`
}

// BFD says how soon a neighbour is missed.
type BFD struct {
	At         diag.Position
	Interval   Text   `key:"interval,required" is:"interval" doc:"Time between two packets each way, in ms or s: 100ms, 300ms, 1s."`
	Multiplier Number `key:"multiplier" is:"multiplier" doc:"Packets missed until the neighbour is taken for lost. Default 3."`
}

// A Router is one of a place's own, on its LAN, that all its gateways speak BGP with.
type Router struct {
	At       diag.Position
	Name     Text     `key:"name,required" is:"name" doc:"Name of the router, unlike any gateway's."`
	Address  Text     `key:"address,required" is:"router" doc:"Its address, within the prefixes of the place."`
	ASN      Number   `key:"asn,required" is:"asn" doc:"Its AS number."`
	Accept   []Text   `key:"accept" items:"1-1024" is:"prefix" doc:"Prefixes of the place that are there only while the router announces them, or longer ones. Without it nothing is accepted of it."`
	Password Text     `key:"password" is:"name" doc:"Name of the file on the gateways, NAME.password among their keys, that holds the TCP MD5 password."`
	Announce Announce `key:"announce" doc:"What gateways add to the routes that they tell the router."`
}

// Announce is what is added to the routes that a router is told.
type Announce struct {
	At          diag.Position
	Communities []Text `key:"communities" items:"1-16" is:"community" doc:"Communities that the routes get beside those of the places that they lead to."`
	Prepend     Number `key:"prepend" is:"prepend" doc:"How many times the place's AS number is put before their path once more, so that other ways are taken first."`
	NoExport    Flag   `key:"noExport" doc:"They get NO_EXPORT: the router's AS keeps them to itself."`
}

// Addressing names the pools.
type Addressing struct {
	At      diag.Position
	Links   []Text `key:"links,one" items:"1-2" is:"prefix" doc:"Pool of tunnel addresses, one prefix or one of each family. Default 100.64.0.0/16, and a ULA made of the fabric's name where places own IPv6 prefixes."`
	Devices []Text `key:"devices,one" items:"1-2" is:"prefix" doc:"Pool of addresses of people's devices, one prefix or one of each family."`
}

// A Place is a region or a site.
type Place struct {
	At          diag.Position
	Name        Text      `key:"name,required" is:"name" doc:"Name of the place, unique among regions and sites."`
	Provider    Text      `key:"provider" is:"name" doc:"Whose cloud or network it is: aws, gcp, azure, equinix …"`
	Underlay    Underlay  `key:"underlay" doc:"What the place's own path carries."`
	Prefixes    []Text    `key:"prefixes,required" items:"1-" is:"prefix" doc:"The prefixes that the place owns."`
	Hubs        []Text    `key:"hubs" items:"1-" is:"name" doc:"The hubs of this spoke, the one first by which its traffic goes while it can. Default: all of topology.hubs, liked alike."`
	ASN         Number    `key:"asn" is:"asn" doc:"AS number of the place, with routing mode bgp. Default: one out of 4200000001-4200065536 that stays."`
	Communities []Text    `key:"communities" items:"1-16" is:"community" doc:"Communities that the place's prefixes have wherever they are announced: 64512:100, or 4200000001:1:2."`
	Routers     []Router  `key:"neighbors" items:"1-16" noun:"neighbor" doc:"Routers on the LAN of the place that its gateways speak BGP with."`
	TakeOver    Flag      `key:"takeOver" doc:"Gateways hold the place's route table among themselves: where one is not there, the next takes its routes over. With routing mode bgp, where no router learns them."`
	Gateways    []Gateway `key:"gateways,required" items:"1-1024" noun:"gateway" doc:"The machines that forward for the place."`
}

// Underlay is what a path carries.
type Underlay struct {
	At  diag.Position
	MTU Number `key:"mtu,required" is:"mtu" doc:"Largest IP packet on the wire, outer IP header included, in bytes. Default 1500."`
}

// A Gateway forwards for its place and speaks WireGuard.
type Gateway struct {
	At       diag.Position
	Name     Text   `key:"name,required" is:"name" doc:"Name of the gateway, unique in the fabric."`
	Zone     Text   `key:"zone" is:"name" doc:"Availability zone."`
	Endpoint Text   `key:"endpoint" is:"host" doc:"IPv4 address, IPv6 address or DNS name where its WireGuard port is reached. Without one it dials out."`
	Address  Text   `key:"address" is:"inside" doc:"Its address on the LAN of its place, by which the others of the place watch it: with takeOver."`
	Port     Number `key:"port" is:"port" doc:"UDP port of WireGuard. Default 51820."`
	NAT      Flag   `key:"nat" doc:"Behind NAT: keeps its mappings open with keepalives."`
	Cores    Number `key:"cores" is:"cores" doc:"CPUs of the machine (vCPUs of an instance): plan says where more tunnels than it has use for buy nothing."`
}

// A Segment is a named set of prefixes.
type Segment struct {
	At       diag.Position
	Name     Text   `key:"name,required" is:"name" doc:"Name of the segment."`
	Prefixes []Text `key:"prefixes,required" items:"1-" is:"prefix" doc:"Prefixes of the segment, all of them owned by places."`
}

// A Link is between two places.
type Link struct {
	At       diag.Position
	Between  []Text   `key:"between,required" items:"2-2" is:"name" doc:"The two places."`
	Underlay Underlay `key:"underlay" doc:"What the path between the two carries, instead of what the places say."`
	Tunnels  Number   `key:"tunnels" is:"tunnels" doc:"Parallel tunnels between each two gateways of the two places, instead of routing.tunnels."`
	Path     Text     `key:"path" is:"path" doc:"prefer: what goes this way goes before any other. avoid: only where there is no other. With routing mode bgp."`
}

// An Access lets From open flows to To.
type Access struct {
	At    diag.Position
	From  Text   `key:"from,required" is:"selector" doc:"Who opens flows: region/NAME, site/NAME, segment/NAME, a prefix, an address or any."`
	To    Text   `key:"to,required" is:"selector" doc:"Who is reached."`
	Ports []Text `key:"ports" items:"1-1024" is:"service" doc:"tcp/PORT, tcp/FIRST-LAST, udp/PORT, udp/FIRST-LAST or icmp. Without it every protocol."`
}

// A Test is a statement about the fabric.
type Test struct {
	At        diag.Position
	From      Text   `key:"from,required" is:"selector" doc:"Who sends."`
	To        Text   `key:"to,required" is:"target" doc:"Who is reached: a selector, or ADDRESS:PORT/PROTO, or ADDRESS/icmp."`
	Expect    Text   `key:"expect,required" is:"expect" doc:"reachable: every pair gets through. denied: no pair does."`
	Symmetric Flag   `key:"symmetric" doc:"Forward and return path cross the same gateways."`
	MTU       Number `key:"mtu" is:"inner-mtu" doc:"The least that both paths carry, in bytes of inner packet."`
}

// A Text is a piece of text and where it stands.
type Text struct {
	Value string
	At    diag.Position
}

// A Number is a whole number and where it stands.
type Number struct {
	Value int
	At    diag.Position
}

// A Flag is true or false and where it stands.
type Flag struct {
	Value bool
	At    diag.Position
}

// Given reports whether the file has it.
func (t Text) Given() bool { return t.At.Line > 0 }

// Given reports whether the file has it.
func (n Number) Given() bool { return n.At.Line > 0 }

// Given reports whether the file has it.
func (f Flag) Given() bool { return f.At.Line > 0 }
