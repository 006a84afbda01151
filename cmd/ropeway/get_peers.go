package main

import (
	"context"
	"fmt"
	"net/netip"
	"strings"

	"ropeway/internal/console"
	"ropeway/internal/key"
	"ropeway/internal/plan"
	"ropeway/internal/prefixes"
)

// A peerLine is a row of get peers: what one gateway has of another.
type peerLine struct {
	Gateway    string         `json:"gateway"`
	Peer       string         `json:"peer"`
	PublicKey  key.Public     `json:"publicKey,omitzero"`
	Endpoint   string         `json:"endpoint,omitempty"`
	Keepalive  int            `json:"keepalive,omitempty"` // seconds
	MTU        int            `json:"mtu"`
	Standby    bool           `json:"standby,omitempty"`
	AllowedIPs []netip.Prefix `json:"allowedIPs"`
}

func peerKind() kind {
	return kind{
		name: "peers", one: "peer", short: "Show what each gateway has of each other one", named: "that of the gateway that has them, or the public key of a peer",
		list: listPeers, complete: completeRemoteGateways,
	}
}

func listPeers(ctx context.Context, v *viewer, name string) (*listing, error) {
	newest, err := v.version(ctx)
	if err != nil {
		return nil, err
	}
	lines, details := []peerLine{}, []detail{}
	for _, g := range newest.side.Plan.Gateways {
		for i := range g.Devices {
			for _, p := range g.Devices[i].Peers {
				if name != "" && name != g.Name && name != p.PublicKey.String() {
					continue
				}
				lines = append(lines, peerLine{g.Name, p.Gateway, p.PublicKey, p.Endpoint.String(), p.Keepalive, p.MTU, p.Standby, p.AllowedIPs})
				details = append(details, detail{"Peer " + p.Gateway + " of gateway " + g.Name, peerFacts(p)})
			}
		}
	}
	if name != "" && len(lines) == 0 && newest.side.Plan.Gateway(name) == nil {
		return nil, unknown("gateway", name, "ropeway get peers lists all of them")
	}
	return &listing{value: lines, table: peerTable(lines), details: func() ([]detail, error) { return details, nil }}, nil
}

func peerTable(lines []peerLine) *console.Table {
	t := &console.Table{Columns: []console.Column{
		{Title: "GATEWAY"}, {Title: "PEER"}, {Title: "ENDPOINT"}, {Title: "MTU", Right: true}, {Title: "KEEPALIVE", Wide: true}, {Title: "KEY", Wide: true}, {Title: "ALLOWS"},
	}}
	for _, l := range lines {
		alive, endpoint := "", "dials in"
		if l.Keepalive > 0 {
			alive = fmt.Sprintf("%d s", l.Keepalive)
		}
		if l.Endpoint != "" {
			endpoint = l.Endpoint
		}
		allows := prefixes.Few(l.AllowedIPs, 4)
		if l.Standby {
			allows += " (standby)"
		}
		t.Rows = append(t.Rows, []string{l.Gateway, l.Peer, endpoint, fmt.Sprint(l.MTU), alive, l.PublicKey.String(), allows})
	}
	return t
}

// peerFacts tells all of a peer.
func peerFacts(p *plan.Peer) []fact {
	k, endpoint, alive := p.PublicKey.String(), p.Endpoint.String(), ""
	if k == "" {
		k = "pending"
	}
	if endpoint == "" {
		endpoint = "none: it dials in"
	}
	if p.Keepalive > 0 {
		alive = fmt.Sprintf("every %d s", p.Keepalive)
	}
	return []fact{
		{"key", k}, {"endpoint", endpoint}, {"keepalive", alive},
		{"MTU", fmt.Sprintf("%d (underlay %d, of which WireGuard takes %d)", p.MTU, p.Underlay, p.Overhead)},
		{"role", duty(p.Standby)}, {"allows", prefixes.Few(p.AllowedIPs, mostTold)},
	}
}

// peerText tells of a peer in one line.
func peerText(p *plan.Peer) string {
	parts := []string{duty(p.Standby), fmt.Sprintf("MTU %d", p.MTU)}
	if p.PublicKey.IsZero() {
		parts = append(parts, "key pending")
	}
	if !p.Endpoint.IsZero() {
		parts = append(parts, "at "+p.Endpoint.String())
	}
	return p.Gateway + ": " + strings.Join(parts, ", ") + ", " + prefixes.Few(p.AllowedIPs, 4)
}

// duty says what a link is for.
func duty(standby bool) string {
	if standby {
		return "standby"
	}
	return "carries"
}
