package plan

import (
	"fmt"
	"net/netip"

	"ropeway/internal/fabric"
)

// A BGP is what the routing daemon of a gateway has to be (RFC 4271). With it, routes to other places are learnt and not part of the plan.
//
// Policy is kept small, so that two daemons and the prover can all carry it out alike: what is told to a neighbour (Tell), what is believed of him
// (Accept, MaxHops, MaxPrefixes), and which of several routes is best. Of that, an operator's word comes first (LocalPreference), then the length of the
// AS path, then Metric, which the importing side sets by Prefer and compares whoever it came from; between routes alike in all of it packets are shared by flow.
type BGP struct {
	Daemon      fabric.Daemon      `json:"daemon"`
	ASN         uint32             `json:"asn"`                   // of the place: all its gateways have it
	RouterID    netip.Addr         `json:"routerID"`              // IPv4, unique in the fabric
	Sources     []netip.Addr       `json:"sources"`               // preferred source of learnt routes, one per family: the gateway's tunnel addresses
	Own         []netip.Prefix     `json:"own"`                   // what the gateway originates: sorted prefixes of its place
	Tags        []uint32           `json:"tags,omitempty"`        // put on what it originates, to all neighbours: large communities TagASN:1:TAG
	Communities []fabric.Community `json:"communities,omitempty"` // put on the same, and on what routers of its place announce, to all neighbours; sorted
	MaxPaths    int                `json:"maxPaths"`              // routes of one prefix that share its packets, at least 1
	Neighbors   []*Neighbor        `json:"neighbors"`             // sorted by name, then address; a link that carries both families has a neighbour for each
	Table       *Table             `json:"table,omitempty"`       // nil: the place's route table is not this gateway's to hold
}

// TagASN is the first part of the large communities (RFC 8092) that are tags. Routers that are not of the fabric are not told them.
//
// What comes from such a router is stripped of all communities, extended ones too, but for those that ask for less: GRACEFUL_SHUTDOWN (RFC 8326), which gateways
// tell each other, and NO_EXPORT, NO_ADVERTISE and NO_EXPORT_SUBCONFED (RFC 1997), with which the route is told to no other place.
const TagASN = fabric.TagASN

// A Neighbor is one session.
type Neighbor struct {
	Name        string         `json:"name"`            // of the gateway, or of the router that the file calls so
	Device      string         `json:"device,omitzero"` // that the session runs over; "": a router of the place, on its LAN
	Address     netip.Addr     `json:"address"`         // the other end's; routes of its family alone are exchanged
	Local       netip.Addr     `json:"local,omitzero"`  // this end's; zero: what the machine has towards Address
	ASN         uint32         `json:"asn"`
	Tell        Tell           `json:"tell"`
	Spoke       bool           `json:"spoke,omitempty"`    // what it tells is told to TellSpokes neighbours
	Tags        []uint32       `json:"tags,omitempty"`     // put on what this gateway originates, to this neighbour alone, beside those of BGP
	Accept      []netip.Prefix `json:"accept"`             // it may announce these and longer ones; sorted, disjoint
	MaxHops     int            `json:"maxHops"`            // longest AS path that is accepted, its own AS included
	MaxPrefixes int            `json:"maxPrefixes"`        // more than this ends the session for a while
	Prefer      []Preference   `json:"prefer,omitempty"`   // the first that fits decides; where none does, Metric is 0 and LocalPreference 100
	BFD         *BFD           `json:"bfd,omitempty"`      // nil: none
	Password    string         `json:"password,omitempty"` // name of the file, in the agent's keys directory, that holds the TCP MD5 password (RFC 2385); "": none
	Announce    *Announce      `json:"announce,omitempty"` // what is added to all that a router of the place is told; nil: nothing
}

// An Announce is what is added to routes that leave the fabric. Gateways are told nothing of it, so that ways within the fabric are what they are without it.
type Announce struct {
	Communities []fabric.Community `json:"communities,omitempty"` // sorted
	Prepend     int                `json:"prepend,omitempty"`     // times that the gateway's AS number is put before the path, beside the one that every path begins with
	NoExport    bool               `json:"noExport,omitempty"`    // NO_EXPORT (RFC 1997)
}

// Tell says what a neighbour is told. Nothing goes back to the AS that it came from.
type Tell string

const (
	TellOwn    Tell = "own"    // what this gateway originates, and what a router of its place announced
	TellSpokes Tell = "spokes" // that, and what was learnt from neighbours with Spoke
	TellAll    Tell = "all"    // that, and whatever was learnt
	TellLearnt Tell = "learnt" // whatever was learnt, with the metric that it has here: a router of the place chooses its gateway by it
)

// DefaultLocalPreference is that of a route that nothing prefers: BGP's usual one.
const DefaultLocalPreference = 100

// DrainMetric is what a gateway that is drained adds to the metric that it tells routers of its place: more than any Preference's, up to 37,000 gateways of hubs.
const DrainMetric = 1 << 28

// A Preference sets what routes are worth on import.
type Preference struct {
	Hops            int    `json:"hops,omitempty"`            // length of the AS path; 0: any
	Tag             uint32 `json:"tag,omitempty"`             // a tag that the route has; 0: any
	LocalPreference uint32 `json:"localPreference,omitempty"` // the higher the better; 0: DefaultLocalPreference
	Metric          uint32 `json:"metric,omitempty"`          // the lower the better
}

// A BFD is how a session is watched (RFC 5880).
type BFD struct {
	Interval   int `json:"interval"`   // milliseconds between control packets, both ways
	Multiplier int `json:"multiplier"` // packets missed until the session is down
}

// External reports whether the neighbour is a router of the place rather than a gateway.
func (n *Neighbor) External() bool { return n.Device == "" }

func (b *BGP) validate(devices map[string]bool) error {
	if b.Daemon != fabric.FRR && b.Daemon != fabric.BIRD {
		return fmt.Errorf("want %s or %s as its daemon", fabric.FRR, fabric.BIRD)
	}
	if b.ASN == 0 || !b.RouterID.Is4() || b.MaxPaths < 1 || b.MaxPaths > 64 {
		return fmt.Errorf("want an AS number, an IPv4 router ID, and 1 to 64 paths")
	}
	if err := canonical(b.Own); err != nil {
		return fmt.Errorf("own: %w", err)
	}
	if err := marks(b.Communities); err != nil {
		return err
	}
	for _, a := range b.Sources {
		if !a.IsValid() || a.Zone() != "" {
			return fmt.Errorf("source %s is not an address", a)
		}
	}
	seen := map[netip.Addr]bool{}
	for i, n := range b.Neighbors {
		if n == nil || !fabric.ValidName(n.Name) || seen[n.Address] {
			return fmt.Errorf("neighbor %d: want a DNS label as its name and an address of its own", i+1)
		}
		seen[n.Address] = true
		if err := n.validate(devices); err != nil {
			return fmt.Errorf("neighbor %s: %w", n.Name, err)
		}
	}
	if b.Table != nil {
		if err := b.Table.Validate(); err != nil {
			return fmt.Errorf("table: %w", err)
		}
	}
	return nil
}

func (n *Neighbor) validate(devices map[string]bool) error {
	switch {
	case !n.Address.IsValid() || n.Address.Zone() != "" || n.Address.Is4In6():
		return fmt.Errorf("address %s cannot be", n.Address)
	case n.Device != "" && (!devices[n.Device] || !n.Local.IsValid() || n.Local.Is4() != n.Address.Is4() || n.Local.Zone() != ""):
		return fmt.Errorf("want a device of this plan, and a local address of the family of %s", n.Address)
	case n.ASN == 0 || n.MaxHops < 1 || n.MaxPrefixes < 1:
		return fmt.Errorf("want an AS number, and bounds of what is accepted")
	case n.Tell != TellOwn && n.Tell != TellSpokes && n.Tell != TellAll && n.Tell != TellLearnt:
		return fmt.Errorf("want own, spokes, all or learnt as what it is told")
	case n.Password != "" && !fabric.ValidName(n.Password):
		return fmt.Errorf("want a DNS label as the name of its password")
	}
	if n.BFD != nil {
		if err := n.BFD.validate(); err != nil {
			return err
		}
	}
	if err := n.Announce.validate(n.External()); err != nil {
		return err
	}
	return canonical(n.Accept)
}

func (a *Announce) validate(external bool) error {
	switch {
	case a == nil:
		return nil
	case !external:
		return fmt.Errorf("a gateway is announced nothing beside routes")
	case a.Prepend < 0 || a.Prepend > fabric.MaxPrepend:
		return fmt.Errorf("want at most %d times its AS number before a path", fabric.MaxPrepend)
	}
	return marks(a.Communities)
}

// marks refuses communities that routers, or gateways, would take for something else than a mark: so they decide nothing in the fabric.
func marks(list []fabric.Community) error {
	for _, c := range list {
		if is := c.Reserved(); is != "" {
			return fmt.Errorf("community %q marks nothing: it is %s", c, is)
		}
	}
	return nil
}
