package verify

import (
	"net/netip"

	"ropeway/internal/diag"
	"ropeway/internal/fabric"
	"ropeway/internal/intent"
)

// Facts are what is known of the world beside the plan. The zero value: everything works, and the underlay is as the plan says.
type Facts struct {
	Down     []string   // gateways that are dead
	Cut      []Link     // pairs of gateways, or of places, between which no packet passes
	Underlay []Underlay // paths that carry less, or more, than the plan was computed from
	Drained  []string   // gateways that ask neighbours to go by others
	NoICMP   bool       // somebody on the way drops ICMP: a packet too big is lost without a word
}

// A Link is a pair of gateways or of places, by name, in either order.
type Link struct{ A, B string }

// An Underlay is what the path between two places, or from one place to everywhere (B is empty), really carries, in bytes.
type Underlay struct {
	A, B string
	MTU  int
}

// A Report is the result of a proof.
type Report struct {
	OK       bool         `json:"ok"` // every test holds and no problem is an error
	Tests    []TestResult `json:"tests"`
	Problems diag.List    `json:"problems"`
	Failures []Failure    `json:"failures,omitempty"` // with --failures 1
	Stats    Stats        `json:"stats"`
}

// Stats say how much was reasoned over.
type Stats struct {
	Gateways int `json:"gateways"`
	Rules    int `json:"rules"` // routes, allowed prefixes and firewall rules
	Atoms    int `json:"atoms"`
	Pairs    int `json:"pairs"` // ordered pairs of atoms of one family in different places
}

// A TestResult is one entry of tests: and what the proof found.
type TestResult struct {
	From      string             `json:"from"`
	To        string             `json:"to"`
	Expect    intent.Expectation `json:"expect"`
	OK        bool               `json:"ok"`
	Forward   Path               `json:"forward"` // of the first pair that breaks the test, else of the first pair
	Return    Path               `json:"return"`
	Symmetric bool               `json:"symmetric"` // every pair's paths cross the same gateways
	Pairs     int                `json:"pairs"`     // pairs of atoms of one family in different places: what was judged
	Reason    string             `json:"reason,omitempty"`
	Position  diag.Position      `json:"position,omitzero"`
}

// A Path is the way of a packet.
type Path struct {
	Source      netip.Addr `json:"source,omitzero"` // the representative addresses that Path speaks of
	Destination netip.Addr `json:"destination,omitzero"`
	Service     string     `json:"service,omitempty"`
	Gateways    []string   `json:"path"`
	MTU         int        `json:"mtu"` // largest inner packet that gets through; 0 where none does
	DroppedBy   *Drop      `json:"dropped_by"`
}

// A Reason is why a packet dies.
type Reason string

const (
	NoOwner     Reason = "no-owner"     // no place owns the address
	NoRoute     Reason = "no-route"     // the place's router, or the gateway, has no route
	NoPeer      Reason = "no-peer"      // no peer of the device has the destination in its AllowedIPs
	NoSession   Reason = "no-session"   // the peer is unknown to the other side, cannot be reached, is down or cut off
	SourceCheck Reason = "source-check" // the receiver's AllowedIPs give the source address to another peer, or to none
	Filtered    Reason = "filtered"     // the firewall
	Loop        Reason = "loop"         // it came to a gateway a second time
	TooBig      Reason = "too-big"      // larger than the path carries, and nothing tells the sender
	GatewayDown Reason = "gateway-down"
)

// A Drop says where and why a packet dies.
type Drop struct {
	At     string `json:"at"` // a gateway, or "router PLACE"
	Reason Reason `json:"reason"`
	Detail string `json:"detail"` // one sentence
}

// A Failure is the loss of one gateway or link, and what it breaks.
type Failure struct {
	Lost   string   `json:"lost"`   // "gateway use1-a" or "link euw1-a use1-a"
	Broken []string `json:"broken"` // pairs of places, "use1 → euw1", that access promises and that the loss cuts; sorted
	Tests  []int    `json:"tests"`  // numbers, from 1, of the tests that no longer hold
}

// A Packet is what Trace follows. Its addresses are of one family. Size counts the inner IP packet in bytes; 0 means a small one.
type Packet struct {
	Source, Destination netip.Addr
	Service             fabric.Service
	Size                int
}

// A Trace is the way of one packet, hop by hop, and of the answer to it.
type Trace struct {
	Forward Walk  `json:"forward"`
	Return  *Walk `json:"return,omitempty"`
}

// A Walk is one direction of a trace.
type Walk struct {
	Path
	Hops []Hop `json:"hops"`
}

// A Hop is one decision on the way.
type Hop struct {
	At       string `json:"at"`              // "router use1", "gateway use1-a"
	Route    string `json:"route,omitempty"` // "10.20.0.0/16 via device rw0, MTU 1440"
	Peer     string `json:"peer,omitempty"`  // "euw1-a allows 10.20.0.0/16"
	Rule     string `json:"rule,omitempty"`  // "access 2 (out): 10.10.0.0/16 → 10.20.0.0/16, any protocol", "established"
	Decision string `json:"decision"`        // "forward", "deliver", "drop: …"
}
