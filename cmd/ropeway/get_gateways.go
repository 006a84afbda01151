package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	ropewayv1 "ropeway/api/ropeway/v1"
	"ropeway/internal/console"
	"ropeway/internal/diagnose"
	"ropeway/internal/plan"
	"ropeway/internal/prefixes"
)

// A gatewayLine is a row of get gateways.
type gatewayLine struct {
	Name      string         `json:"name"`
	Place     string         `json:"place"`
	State     diagnose.State `json:"state"` // not enrolled, away, behind, ill or well
	Epoch     uint64         `json:"epoch"` // that it should have
	Applied   uint64         `json:"applied"`
	Connected bool           `json:"connected"`
	Message   string         `json:"message,omitempty"`
	Hindrance string         `json:"hindrance,omitempty"` // why it does not follow what it should, where that does not pass by itself
	Reported  time.Time      `json:"reported,omitzero"`
	Unheard   []string       `json:"unheard,omitempty"` // gateways that answered it through their tunnels once and do not now
}

func gatewayLineOf(g *ropewayv1.Gateway) gatewayLine {
	l := gatewayLine{Name: g.Name, Place: g.Place, Epoch: g.Epoch, Connected: g.Connected, Hindrance: g.Hindrance}
	if r := g.Reported; r != nil {
		l.Applied, l.Message, l.Reported = r.AppliedEpoch, r.Message, r.At.AsTime()
		l.Unheard = slices.Compact(slices.Sorted(slices.Values(slices.Concat(r.Lost, r.Silent))))
	}
	switch {
	case !g.Enrolled:
		l.State = diagnose.Absent
	case !g.Connected:
		l.State = diagnose.Away
	case g.Reported == nil || l.Applied < l.Epoch:
		l.State = diagnose.Behind
	case !g.Reported.Healthy:
		l.State = diagnose.Ill
	default:
		l.State = diagnose.Well
	}
	return l
}

func gatewayKind() kind {
	return kind{
		name: "gateways", one: "gateway", short: "Show every gateway, and which revision it follows", named: "that of a gateway or of a place",
		list: listGateways, complete: completeRemoteGateways,
	}
}

func listGateways(ctx context.Context, v *viewer, name string) (*listing, error) {
	lines := []gatewayLine{}
	for _, g := range v.answer.Gateways {
		if name == "" || name == g.Name || name == g.Place {
			lines = append(lines, gatewayLineOf(g))
		}
	}
	if name != "" && len(lines) == 0 {
		return nil, unknown("gateway", name, "ropeway get gateways lists those that there are")
	}
	return &listing{value: lines, table: gatewayTable(lines), details: func() ([]detail, error) {
		newest, err := v.version(ctx)
		if err != nil {
			return nil, err
		}
		return describeGateways(v, newest, lines), nil
	}}, nil
}

func gatewayTable(lines []gatewayLine) *console.Table {
	t := &console.Table{Columns: []console.Column{
		{Title: "GATEWAY"}, {Title: "PLACE"}, {Title: "STATE"}, {Title: "HAS"}, {Title: "WANTS"}, {Title: "REPORTED", Wide: true}, {Title: "MESSAGE"},
	}, Paint: paintGateway}
	for _, l := range lines {
		t.Rows = append(t.Rows, []string{l.Name, l.Place, string(l.State), number(l.Applied), number(l.Epoch), stamp(l.Reported), console.Visible(cmp.Or(l.Hindrance, l.Message))})
	}
	return t
}

// paintGateway colours the state of a gateway.
func paintGateway(s console.Style, _, column int, cell string) string {
	if column != 2 {
		return cell
	}
	switch diagnose.State(strings.TrimRight(cell, " ")) {
	case diagnose.Well:
		return s.Green(cell)
	case diagnose.Away, diagnose.Ill:
		return s.Red(cell)
	}
	return s.Yellow(cell)
}

// mostTold is how many prefixes a detail names.
const mostTold = 12

func describeGateways(v *viewer, newest *version, lines []gatewayLine) []detail {
	reports := map[string]*ropewayv1.ReportedState{}
	for _, g := range v.answer.Gateways {
		reports[g.Name] = g.Reported
	}
	var out []detail
	for _, l := range lines {
		g := newest.side.Plan.Gateway(l.Name)
		if g == nil {
			continue
		}
		d := detail{title: "Gateway " + l.Name, facts: []fact{
			{"place", l.Place}, {"state", gatewayState(l)}, {"reported", stamp(l.Reported)}, {"message", console.Visible(cmp.Or(l.Hindrance, l.Message))},
			{"no answer of", console.Visible(some(l.Unheard))},
			{"prefixes", prefixes.Few(g.Firewall.Own, mostTold)},
		}}
		for i := range g.Devices {
			d.facts = append(d.facts, deviceFacts(&g.Devices[i])...)
		}
		d.facts = append(d.facts, fact{"firewall", count(len(g.Firewall.Rules), "rule")}, fact{"drift", driftText(reports[l.Name].GetDrift())})
		out = append(out, d)
	}
	return out
}

func gatewayState(l gatewayLine) string {
	text := string(l.State)
	if l.Applied > 0 {
		text += fmt.Sprintf(", at revision %d", l.Applied)
	}
	if l.Epoch > l.Applied {
		text += fmt.Sprintf(" of %d", l.Epoch)
	}
	return text
}

// deviceFacts tells of a device, and of each of its peers.
func deviceFacts(d *plan.Device) []fact {
	k := d.PublicKey.String()
	if k == "" {
		k = "pending: no machine has enrolled as this gateway"
	}
	out := []fact{{"key", k}, {"device " + d.Name, fmt.Sprintf("port %d, MTU %d, %s", d.ListenPort, d.MTU, prefixes.Few(d.Addresses, mostTold))}}
	var peers []string
	for _, p := range d.Peers {
		peers = append(peers, peerText(p))
	}
	return append(out, fact{"peers", strings.Join(peers, "\n")})
}

func driftText(list []*ropewayv1.Drift) string {
	var out []string
	for _, d := range list {
		word := "undone"
		if d.Stands {
			word = "stands"
		}
		out = append(out, fmt.Sprintf("%s %s, %d times, last %s: %s", console.Visible(d.Step), word, d.Times, stamp(d.Last.AsTime()), console.Visible(d.What)))
	}
	return strings.Join(out, "\n")
}
