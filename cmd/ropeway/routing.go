package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
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
	var watch bool
	cmd := &cobra.Command{
		Use: "neighbors [GATEWAY]", Aliases: []string{"neighbor"}, Short: "Show the BGP sessions of gateways", Args: cobra.MaximumNArgs(1),
		Long:    "Show the BGP sessions of every gateway, or of one, as it sees them itself: those that it reported to its controller, or in a lab without controllers has now.",
		Example: "  ropeway get neighbors\n  ropeway get neighbors use1-a --watch\n  ropeway get neighbors --lab",
	}
	asksGateways(cmd)
	watchFlag(cmd, &watch)
	format := outputFlag(cmd, console.TableFormat, console.Wide, console.JSON, console.YAML)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return lookAt(cmd, watch, func(ctx context.Context, o lookout, s console.Style, w io.Writer) error {
			lines, err := o.sessions(ctx, nameIn(args))
			if err != nil {
				return err
			}
			return console.Show(w, s, format.Format, lines, func() *console.Table { return sessionTable(lines) })
		})
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
	var watch bool
	cmd := &cobra.Command{
		Use: "routes [PREFIX|ADDRESS]", Aliases: []string{"route"}, Short: "Show what gateways have learnt and originate", Args: cobra.MaximumNArgs(1),
		Long: "Show the routes of every gateway that is there, as its routing daemon has them now; * marks what carries packets. " + routesMeans + `

Gateways are asked when you ask, and nobody keeps their answers: with many prefixes, name the one that you mean. --watch shows routes anew when sessions or counts of
prefixes change, and every half minute.`,
		Example: "  ropeway get routes 10.20.0.0/16 -o wide\n  ropeway get routes --lab",
	}
	asksGateways(cmd)
	watchFlag(cmd, &watch)
	format := outputFlag(cmd, console.TableFormat, console.Wide, console.JSON, console.YAML)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := meansRoutes(cmd, nameIn(args)); err != nil {
			return err
		}
		return lookAt(cmd, watch, func(ctx context.Context, o lookout, s console.Style, w io.Writer) error {
			lines, err := pathsTo(ctx, o, nameIn(args))
			if err != nil {
				return err
			}
			return console.Show(w, s, format.Format, lines, func() *console.Table { return pathTable(lines, false) })
		})
	}
	return cmd
}

func newShowRouteCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "route PREFIX|ADDRESS", Short: "Show who announces a prefix, who prefers what, and why", Args: cobra.ExactArgs(1),
		Long: `Show route asks every gateway for its ways to a prefix, and says of each why it is used or not: the attribute that decides, which is the local
preference, then the length of the AS path, then the metric. ` + routesMeans,
		Example: "  ropeway show route 10.20.0.0/16\n  ropeway show route 10.20.0.0/16 --lab",
	}
	asksGateways(cmd)
	format := outputFlag(cmd, console.TableFormat, console.Wide, console.JSON, console.YAML)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := meansRoutes(cmd, args[0]); err != nil {
			return err
		}
		return lookAt(cmd, false, func(ctx context.Context, o lookout, s console.Style, w io.Writer) error {
			lines, err := pathsTo(ctx, o, args[0])
			if err != nil {
				return err
			}
			if format.Format == console.JSON || format.Format == console.YAML {
				return console.Encode(w, format.Format, lines)
			}
			return writeRoute(w, s, args[0], lines, format.Format == console.Wide)
		})
	}
	return cmd
}

// writeRoute says of each prefix who announces it, and then who has which ways to it.
func writeRoute(w io.Writer, s console.Style, of string, lines []pathLine, wide bool) error {
	text := strings.Join(announcers(lines), "\n")
	if len(lines) == 0 {
		text = "no gateway has a route to " + of
	}
	if _, err := fmt.Fprintln(w, text); err != nil {
		return fmt.Errorf("write who announces it: %w", err)
	}
	if len(lines) == 0 {
		return nil
	}
	return pathTable(lines, true).Write(w, s, wide)
}

// meansRoutes refuses what is neither a prefix nor an address.
func meansRoutes(cmd *cobra.Command, of string) error {
	if _, err := bgp.Select(nil, of); err != nil {
		return problem("RW6001", "", "want a prefix such as 10.20.0.0/16, or an address", "usage: "+cmd.UseLine())
	}
	return nil
}

// pathsTo asks every gateway for its routes.
func pathsTo(ctx context.Context, o lookout, of string) ([]pathLine, error) {
	routes, err := o.routes(ctx, of, false)
	lines := []pathLine{}
	for _, gateway := range slices.Sorted(maps.Keys(routes)) {
		lines = append(lines, explained(gateway, routes[gateway])...)
	}
	slices.SortStableFunc(lines, func(a, b pathLine) int { return a.Prefix.Compare(b.Prefix) })
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
		{Title: "METRIC", Right: true}, {Title: "NEXT HOP", Wide: true}, {Title: "COMMUNITIES", Wide: true}, {Title: "WHY", Wide: !why}},
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
		t.Rows = append(t.Rows, []string{l.Prefix.String(), l.Gateway, mark, cmp.Or(l.Neighbor, "(here)"), l.Device, fmt.Sprint(l.LocalPreference), bgp.Words(l.Path),
			fmt.Sprint(l.Metric), hop, bgp.Words(l.Communities), l.Why})
	}
	return t
}
