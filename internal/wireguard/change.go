package wireguard

import (
	"fmt"
	"net/netip"
	"strings"

	"ropeway/internal/key"
)

// An Op is what a Change does.
type Op string

const (
	CreateDevice  Op = "create"
	DeleteDevice  Op = "delete"
	SetKey        Op = "set key"
	SetPort       Op = "set port"
	AddAddress    Op = "add address"
	DeleteAddress Op = "delete address"
	SetMTU        Op = "set mtu"
	AddPeer       Op = "add peer"
	UpdatePeer    Op = "update peer"
	RemovePeer    Op = "remove peer"
	SetUp         Op = "set up"
)

// A Change is one step from what is to what is wanted. It holds no secret.
type Change struct {
	Op      Op           `json:"op"`
	Device  string       `json:"device"`
	Value   int          `json:"value,omitempty"`  // the port, or the MTU in bytes
	Address netip.Prefix `json:"address,omitzero"` // of AddAddress and DeleteAddress
	Peer    *PeerChange  `json:"peer,omitempty"`   // of AddPeer, UpdatePeer and RemovePeer
}

// A PeerChange is what becomes of one peer. What is absent stays as it is.
type PeerChange struct {
	PublicKey key.Public     `json:"publicKey"`
	Gateway   string         `json:"gateway,omitempty"` // "": a peer that the plan does not name
	Endpoint  netip.AddrPort `json:"endpoint,omitzero"`
	Keepalive *int           `json:"keepalive,omitempty"` // seconds
	Add       []netip.Prefix `json:"add,omitempty"`
	Drop      []netip.Prefix `json:"drop,omitempty"` // those that no other peer takes over
}

// String returns a line such as "rw0: add peer use1-a endpoint 203.0.113.10:51820 +10.10.0.0/16".
func (c Change) String() string {
	switch c.Op {
	case CreateDevice, DeleteDevice:
		return fmt.Sprintf("%s: %s device", c.Device, c.Op)
	case SetPort, SetMTU:
		return fmt.Sprintf("%s: %s %d", c.Device, c.Op, c.Value)
	case AddAddress, DeleteAddress:
		return fmt.Sprintf("%s: %s %s", c.Device, c.Op, c.Address)
	case AddPeer, UpdatePeer, RemovePeer:
		return fmt.Sprintf("%s: %s %s%s", c.Device, c.Op, c.Peer.name(), c.Peer.detail())
	}
	return fmt.Sprintf("%s: %s", c.Device, c.Op)
}

// name tells which peer it is: by its gateway, or as much of its public key as tells strangers apart.
func (p *PeerChange) name() string {
	if p.Gateway != "" {
		return p.Gateway
	}
	return "not in the plan (" + p.PublicKey.String()[:8] + "…)"
}

// shown bounds the prefixes that a line lists.
const shown = 8

func (p *PeerChange) detail() string {
	var b strings.Builder
	if p.Endpoint.IsValid() {
		fmt.Fprintf(&b, " endpoint %s", p.Endpoint)
	}
	if p.Keepalive != nil {
		fmt.Fprintf(&b, " keepalive %d s", *p.Keepalive)
	}
	list := func(sign string, prefixes []netip.Prefix) {
		for i, prefix := range prefixes {
			if i == shown {
				fmt.Fprintf(&b, " %s%d more", sign, len(prefixes)-shown)
				return
			}
			fmt.Fprintf(&b, " %s%s", sign, prefix)
		}
	}
	list("+", p.Add)
	list("-", p.Drop)
	return b.String()
}
