package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"ropeway/internal/console"
	"ropeway/internal/diagnose"
	"ropeway/internal/plan"
	"ropeway/internal/prefixes"
)

// A linkLine is a row of get links: a tunnel between two gateways.
type linkLine struct {
	Name   string `json:"name"` // "gw1,gw2", as --cut takes it
	A      string `json:"a"`
	B      string `json:"b"`
	PlaceA string `json:"placeA"`
	PlaceB string `json:"placeB"`
	State  string `json:"state"` // ready, or why not
	MTU    int    `json:"mtu"`
	Carry  bool   `json:"carries"`

	Unheard []string `json:"unheard,omitempty"` // those of its ends that hear nothing of the other through the tunnel

	fromA, fromB *plan.Peer // what each has of the other
}

func linkKind() kind {
	return kind{
		name: "links", one: "link", short: "Show every tunnel between two gateways, and whether both ends are ready for it",
		named: "A,B for two gateways, or that of a gateway or of a place", list: listLinks, complete: completeRemoteGateways,
	}
}

func listLinks(ctx context.Context, v *viewer, name string) (*listing, error) {
	newest, err := v.version(ctx)
	if err != nil {
		return nil, err
	}
	known, lines := v.gateways(), []linkLine{}
	for _, l := range linksOf(newest.side.Plan) {
		if name == "" || l.is(name) {
			l.Unheard = l.unheard(known)
			l.State = l.stateOf(known)
			lines = append(lines, l)
		}
	}
	if name != "" && len(lines) == 0 {
		return nil, unknown("link", name, "ropeway get links lists those that there are")
	}
	return &listing{value: lines, table: linkTable(lines), details: func() ([]detail, error) { return describeLinks(lines), nil }}, nil
}

// linksOf returns the links of a plan, each once, the gateways of each in order.
func linksOf(p *plan.Fabric) []linkLine {
	var out []linkLine
	at := map[[2]string]int{}
	for _, g := range p.Gateways {
		for i := range g.Devices {
			for _, peer := range g.Devices[i].Peers {
				if n, seen := at[[2]string{peer.Gateway, g.Name}]; seen {
					l := &out[n]
					l.PlaceB, l.fromB, l.Carry = g.Place, peer, l.Carry || !peer.Standby
					continue
				}
				at[[2]string{g.Name, peer.Gateway}] = len(out)
				out = append(out, linkLine{Name: g.Name + "," + peer.Gateway, A: g.Name, B: peer.Gateway, PlaceA: g.Place, MTU: peer.MTU, Carry: !peer.Standby, fromA: peer})
			}
		}
	}
	return out
}

func (l *linkLine) is(name string) bool {
	a, b, pair := strings.Cut(name, ",")
	if pair {
		return a == l.A && b == l.B || a == l.B && b == l.A
	}
	return name == l.A || name == l.B || name == l.PlaceA || name == l.PlaceB
}

// unheard returns those ends that have heard the other through the tunnel once, and do not now. What an end said that is gone is no news.
func (l *linkLine) unheard(known map[string]gatewayLine) (ends []string) {
	for _, pair := range [][2]string{{l.A, l.B}, {l.B, l.A}} {
		if end := known[pair[0]]; end.Connected && slices.Contains(end.Unheard, pair[1]) {
			ends = append(ends, end.Name)
		}
	}
	return ends
}

// stateOf says whether both ends have what the link takes, and packets pass as far as they say.
func (l *linkLine) stateOf(known map[string]gatewayLine) string {
	var why []string
	for _, end := range []struct {
		name string
		key  *plan.Peer // as the other has it
	}{{l.A, l.fromB}, {l.B, l.fromA}} {
		switch g := known[end.name]; {
		case end.key != nil && end.key.PublicKey.IsZero():
			why = append(why, "no key of "+end.name)
		case g.State != diagnose.Well:
			why = append(why, end.name+" "+string(g.State))
		}
	}
	if len(why) > 0 {
		return strings.Join(why, ", ")
	}
	switch len(l.Unheard) {
	case 0:
		return "ready"
	case 1:
		return "silent to " + l.Unheard[0]
	}
	return "silent"
}

func linkTable(lines []linkLine) *console.Table {
	t := &console.Table{Columns: []console.Column{
		{Title: "LINK"}, {Title: "PLACES"}, {Title: "STATE"}, {Title: "MTU", Right: true}, {Title: "DUTY"}, {Title: "ENDPOINTS", Wide: true},
	}, Paint: func(s console.Style, _, column int, cell string) string {
		switch {
		case column != 2:
			return cell
		case strings.HasPrefix(cell, "ready"):
			return s.Green(cell)
		case strings.HasPrefix(cell, "silent"):
			return s.Red(cell)
		}
		return s.Yellow(cell)
	}}
	for _, l := range lines {
		t.Rows = append(t.Rows, []string{l.Name, l.PlaceA + ", " + l.PlaceB, l.State, fmt.Sprint(l.MTU), duty(!l.Carry), l.endpoint(l.fromB) + ", " + l.endpoint(l.fromA)})
	}
	return t
}

// endpoint is where an end is reached, as the other end has it.
func (l *linkLine) endpoint(p *plan.Peer) string {
	if p == nil || p.Endpoint.IsZero() {
		return "dials"
	}
	return p.Endpoint.String()
}

func describeLinks(lines []linkLine) []detail {
	var out []detail
	for _, l := range lines {
		d := detail{"Link " + l.Name, []fact{{"places", l.PlaceA + ", " + l.PlaceB}, {"state", l.State}, {"duty", duty(!l.Carry)}, {"MTU", fmt.Sprint(l.MTU)},
			{"no answer to", strings.Join(l.Unheard, ", ")}}}
		for _, end := range []struct {
			name string
			peer *plan.Peer
		}{{l.A, l.fromB}, {l.B, l.fromA}} {
			if end.peer == nil {
				continue
			}
			d.facts = append(d.facts, fact{end.name, fmt.Sprintf("%s, sends %s", l.endpoint(end.peer), prefixes.Few(end.peer.AllowedIPs, mostTold))})
		}
		out = append(out, d)
	}
	return out
}
