package main

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"ropeway/internal/bgp"
	"ropeway/internal/console"
	"ropeway/internal/decision"
)

// A sessionLine is a row of get neighbors: a session as one of its ends sees it. All but Gateway is what ropeway-gateway neighbors says.
type sessionLine struct {
	Gateway  string     `json:"gateway"`
	Name     string     `json:"name"`
	Device   string     `json:"device,omitempty"`
	Address  netip.Addr `json:"address"`
	ASN      uint32     `json:"asn"`
	State    string     `json:"state"`
	Up       bool       `json:"up"`
	Since    float64    `json:"sinceSeconds"`
	Received int        `json:"receivedPrefixes"`
	Sent     int        `json:"sentPrefixes"`
	Flaps    int        `json:"flaps"`
	BFD      string     `json:"bfd,omitempty"`
	Error    string     `json:"lastError,omitempty"`
}

func newGetNeighborsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "neighbors [GATEWAY]", Aliases: []string{"neighbor"}, Short: "Show the BGP sessions of the gateways of a lab", Args: cobra.MaximumNArgs(1),
		Long:    "Show the BGP sessions of every gateway of a lab, or of one. Every gateway is asked itself.",
		Example: "  ropeway get neighbors --lab",
	}
	overLab(cmd)
	format := outputFlag(cmd, console.TableFormat, console.Wide, console.JSON, console.YAML)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		l, err := theLab(cmd, "ropeway-gateway neighbors")
		if err != nil {
			return err
		}
		if len(args) > 0 {
			if _, err := l.FindGateway(args[0]); err != nil {
				return err
			}
		}
		lines := []sessionLine{}
		err = askEach(cmd, l, func(gateway string, sessions []sessionLine) {
			for _, s := range sessions {
				if s.Gateway = gateway; len(args) == 0 || args[0] == gateway {
					lines = append(lines, s)
				}
			}
		}, "neighbors")
		if err != nil {
			return err
		}
		out := cmd.OutOrStdout()
		return console.Show(out, styleOf(cmd, out), format.Format, lines, func() *console.Table { return sessionTable(lines) })
	}
	return cmd
}

func sessionTable(lines []sessionLine) *console.Table {
	t := &console.Table{Columns: []console.Column{{Title: "GATEWAY"}, {Title: "NEIGHBOR"}, {Title: "DEVICE"}, {Title: "ADDRESS", Wide: true}, {Title: "AS", Right: true}, {Title: "STATE"},
		{Title: "SINCE", Right: true}, {Title: "RECEIVED", Right: true}, {Title: "SENT", Right: true}, {Title: "FLAPS", Right: true}, {Title: "BFD"}, {Title: "LAST ERROR", Wide: true}},
		Paint: func(s console.Style, row, column int, cell string) string {
			if column == 5 && !lines[row].Up {
				return s.Red(cell)
			}
			return cell
		}}
	for _, l := range lines {
		t.Rows = append(t.Rows, []string{l.Gateway, l.Name, cmp.Or(l.Device, "LAN"), l.Address.String(), fmt.Sprint(l.ASN), l.State, (time.Duration(l.Since) * time.Second).String(),
			strconv.Itoa(l.Received), strconv.Itoa(l.Sent), strconv.Itoa(l.Flaps), cmp.Or(l.BFD, "-"), l.Error})
	}
	return t
}

// A pathLine is a way that a gateway has to a prefix, and why it is used or not.
type pathLine struct {
	Gateway string `json:"gateway"`
	bgp.Route
	Why string `json:"why"`
}

const routesMeans = "PREFIX stands for itself and what is within it; an address for the longest prefix that has it."

func newGetRoutesCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "routes [PREFIX|ADDRESS]", Aliases: []string{"route"}, Short: "Show what the gateways of a lab have learnt and originate", Args: cobra.MaximumNArgs(1),
		Long:    "Show the routes of every gateway of a lab, as its routing daemon has them; * marks what carries packets. " + routesMeans,
		Example: "  ropeway get routes --lab\n  ropeway get routes 10.20.0.0/16 --lab -o wide",
	}
	overLab(cmd)
	format := outputFlag(cmd, console.TableFormat, console.Wide, console.JSON, console.YAML)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		lines, err := pathsIn(cmd, args)
		if err != nil {
			return err
		}
		out := cmd.OutOrStdout()
		return console.Show(out, styleOf(cmd, out), format.Format, lines, func() *console.Table { return pathTable(lines, false) })
	}
	return cmd
}

func newShowRouteCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "route PREFIX|ADDRESS", Short: "Show who announces a prefix in a lab, who prefers what, and why", Args: cobra.ExactArgs(1),
		Long: `Show route asks every gateway of a lab for its ways to a prefix, and says of each why it is used or not: the attribute that decides, which is the local
preference, then the length of the AS path, then the metric. ` + routesMeans,
		Example: "  ropeway show route 10.20.0.0/16 --lab",
	}
	overLab(cmd)
	format := outputFlag(cmd, console.TableFormat, console.Wide, console.JSON, console.YAML)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		lines, err := pathsIn(cmd, args)
		if err != nil {
			return err
		}
		out := cmd.OutOrStdout()
		if format.Format == console.JSON || format.Format == console.YAML {
			return console.Encode(out, format.Format, lines)
		}
		for _, text := range announcers(lines) {
			if err := say(cmd, "%s\n", text); err != nil {
				return err
			}
		}
		if len(lines) == 0 {
			return say(cmd, "no gateway has a route to %s\n", args[0])
		}
		return pathTable(lines, true).Write(out, styleOf(cmd, out), format.Format == console.Wide)
	}
	return cmd
}

// pathsIn asks every gateway of the lab for its routes.
func pathsIn(cmd *cobra.Command, args []string) ([]pathLine, error) {
	of := nameIn(args)
	if _, err := bgp.Select(nil, of); err != nil {
		return nil, problem("RW6001", "", "want a prefix such as 10.20.0.0/16, or an address", "usage: "+cmd.UseLine())
	}
	l, err := theLab(cmd, strings.TrimSpace("ropeway-gateway routes "+of))
	if err != nil {
		return nil, err
	}
	lines := []pathLine{}
	err = askEach(cmd, l, func(gateway string, routes []bgp.Route) {
		lines = append(lines, explained(gateway, routes)...)
	}, append([]string{"routes"}, args...)...)
	slices.SortStableFunc(lines, func(a, b pathLine) int {
		return cmp.Or(a.Prefix.Compare(b.Prefix), strings.Compare(a.Gateway, b.Gateway))
	})
	return lines, err
}

// explained says of each of a gateway's routes why it is used or not. Those of one prefix stand together.
func explained(gateway string, routes []bgp.Route) []pathLine {
	var lines []pathLine
	for len(routes) > 0 {
		n := slices.IndexFunc(routes, func(r bgp.Route) bool { return r.Prefix != routes[0].Prefix })
		if n < 0 {
			n = len(routes)
		}
		paths := make([]decision.Path, n)
		for i, r := range routes[:n] {
			paths[i] = decision.Path{Own: r.Neighbor == "", LocalPreference: r.LocalPreference, Hops: len(r.Path), Metric: r.Metric, Best: r.Best}
		}
		for i, why := range decision.Explain(paths) {
			lines = append(lines, pathLine{gateway, routes[i], why})
		}
		routes = routes[n:]
	}
	return lines
}

// announcers says of each prefix who brings it into the fabric: gateways that originate it, and those that learnt it from a router of their place.
func announcers(lines []pathLine) []string {
	var prefixes []netip.Prefix
	by := map[netip.Prefix][]string{}
	gateways := map[string]bool{}
	for _, l := range lines {
		gateways[l.Gateway] = true
	}
	for _, l := range lines {
		if _, known := by[l.Prefix]; !known {
			prefixes = append(prefixes, l.Prefix)
			by[l.Prefix] = nil
		}
		switch {
		case l.Neighbor == "":
			by[l.Prefix] = append(by[l.Prefix], l.Gateway)
		case !gateways[l.Neighbor] && !strings.HasPrefix(l.Device, "rw"):
			by[l.Prefix] = append(by[l.Prefix], l.Gateway+", which learns it of "+l.Neighbor)
		}
	}
	var out []string
	for _, p := range prefixes {
		who := "nobody that answers"
		if len(by[p]) > 0 {
			who = strings.Join(by[p], "; ")
		}
		out = append(out, fmt.Sprintf("%s is announced by %s", p, who))
	}
	return out
}

func pathTable(lines []pathLine, why bool) *console.Table {
	t := &console.Table{Columns: []console.Column{{Title: "PREFIX"}, {Title: "GATEWAY"}, {Title: ""}, {Title: "NEIGHBOR"}, {Title: "DEVICE"}, {Title: "PREFERENCE", Right: true}, {Title: "AS PATH"},
		{Title: "METRIC", Right: true}, {Title: "NEXT HOP", Wide: true}, {Title: "WHY", Wide: !why}},
		Paint: func(s console.Style, row, _ int, cell string) string {
			if lines[row].Best {
				return cell
			}
			return s.Dim(cell)
		}}
	for i := range lines {
		l := &lines[i]
		mark, hop := "", ""
		if l.Best {
			mark = "*"
		}
		if l.NextHop.IsValid() {
			hop = l.NextHop.String()
		}
		t.Rows = append(t.Rows, []string{l.Prefix.String(), l.Gateway, mark, cmp.Or(l.Neighbor, "(here)"), l.Device, fmt.Sprint(l.LocalPreference), bgp.Numbers(l.Path),
			fmt.Sprint(l.Metric), hop, l.Why})
	}
	return t
}
