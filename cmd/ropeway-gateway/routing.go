package main

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"ropeway/internal/agent"
	"ropeway/internal/bgp"
	"ropeway/internal/console"
)

func newNeighborsCommand() *cobra.Command {
	var d dirs
	cmd := &cobra.Command{
		Use: "neighbors", Aliases: []string{"neighbours"}, Short: "Show the BGP sessions of this gateway", Args: cobra.NoArgs,
	}
	d.addRun(cmd)
	format := outputFlag(cmd, console.TableFormat, console.Wide, console.JSON, console.YAML)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		status, err := agent.Ask(cmd.Context(), d.run)
		if err != nil {
			return err
		}
		neighbors := []agent.NeighborStatus{}
		if status.BGP != nil {
			neighbors = status.BGP.Neighbors
		}
		return show(cmd, format, neighbors, func() *console.Table { return neighborTable(neighbors) })
	}
	return cmd
}

func neighborTable(neighbors []agent.NeighborStatus) *console.Table {
	t := &console.Table{Columns: []console.Column{{Title: "NEIGHBOR"}, {Title: "DEVICE"}, {Title: "ADDRESS"}, {Title: "AS", Right: true}, {Title: "STATE"}, {Title: "SINCE", Right: true},
		{Title: "RECEIVED", Right: true}, {Title: "SENT", Right: true}, {Title: "FLAPS", Right: true}, {Title: "BFD"}, {Title: "LINK", Wide: true}, {Title: "LAST ERROR", Wide: true}},
		Paint: func(s console.Style, row, column int, cell string) string {
			if column != 4 {
				return cell
			}
			if neighbors[row].Up {
				return s.Green(cell)
			}
			return s.Red(cell)
		}}
	for i := range neighbors {
		n := &neighbors[i]
		t.Rows = append(t.Rows, []string{n.Name, cmp.Or(n.Device, "LAN"), n.Address.String(), strconv.FormatUint(uint64(n.ASN), 10), n.State,
			(time.Duration(n.Since) * time.Second).String(), strconv.Itoa(n.Received), strconv.Itoa(n.Sent), strconv.Itoa(n.Flaps), cmp.Or(n.BFD, "-"),
			cmp.Or(string(n.Link), "-"), n.LastError})
	}
	return t
}

func newRoutesCommand() *cobra.Command {
	var d dirs
	cmd := &cobra.Command{
		Use:   "routes [PREFIX|ADDRESS]",
		Short: "Show the routes that this gateway has learnt and originates",
		Long: `Routes shows what the routing daemon knows: of a prefix with those within it, of the longest prefix that has an address, or everything. A * marks what carries
packets; of one prefix the best comes first.`,
		Args: cobra.MaximumNArgs(1),
	}
	d.addRun(cmd)
	format := outputFlag(cmd, console.TableFormat, console.Wide, console.JSON, console.YAML)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		of := ""
		if len(args) > 0 {
			of = args[0]
			if _, err := bgp.Select(nil, of); err != nil || of == "" {
				return problem("RW6001", "want a prefix such as 10.20.0.0/16, or an address", "usage: "+cmd.UseLine())
			}
		}
		routes, err := agent.AskRoutes(cmd.Context(), d.run, of)
		if err != nil {
			return err
		}
		return show(cmd, format, routes, func() *console.Table { return routeTable(routes) })
	}
	return cmd
}

func routeTable(routes []bgp.Route) *console.Table {
	t := &console.Table{Columns: []console.Column{{Title: ""}, {Title: "PREFIX"}, {Title: "NEIGHBOR"}, {Title: "DEVICE"}, {Title: "NEXT HOP", Wide: true}, {Title: "PREFERENCE", Right: true},
		{Title: "METRIC", Right: true}, {Title: "AS PATH"}, {Title: "TAGS", Wide: true}, {Title: "COMMUNITIES", Wide: true}},
		Paint: func(s console.Style, row, _ int, cell string) string {
			if routes[row].Best {
				return cell
			}
			return s.Dim(cell)
		}}
	for i := range routes {
		r := &routes[i]
		mark, hop := "", ""
		if r.Best {
			mark = "*"
		}
		if r.NextHop.IsValid() {
			hop = r.NextHop.String()
		}
		t.Rows = append(t.Rows, []string{mark, r.Prefix.String(), cmp.Or(r.Neighbor, "(here)"), r.Device, hop, strconv.FormatUint(uint64(r.LocalPreference), 10),
			strconv.FormatUint(uint64(r.Metric), 10), bgp.Words(r.Path), bgp.Words(r.Tags), bgp.Words(r.Communities)})
	}
	return t
}

// routingFacts tells of the routing daemon in a status.
func routingFacts(st *agent.Status) [][]string {
	var rows [][]string
	if st.Drained != nil {
		text := "since " + st.Drained.Format(time.RFC3339)
		if st.BGP == nil {
			text += ", to no effect: routes are static"
		}
		rows = append(rows, []string{"drained", text})
	}
	b := st.BGP
	if b == nil {
		return rows
	}
	if t := st.Table; t != nil {
		rows = append(rows, []string{"route table", tableFact(t)})
	}
	up := 0
	for i := range b.Neighbors {
		if b.Neighbors[i].Up {
			up++
		}
	}
	running := cmp.Or(b.Version, string(b.Daemon))
	if !b.Running {
		running = string(b.Daemon) + " does not run"
	}
	rows = append(rows, []string{"bgp", words(running, fmt.Sprintf("AS %d", b.ASN), fmt.Sprintf("%d of %d sessions", up, len(b.Neighbors)),
		fmt.Sprintf("%d prefixes by %d paths", b.Prefixes, b.Paths))})
	if c := b.Converged; c != nil {
		took := time.Duration(c.Took * float64(time.Second)).Round(time.Millisecond)
		rows = append(rows, []string{"last convergence", fmt.Sprintf("%s, %d routes changed in %s", c.At.Format(time.RFC3339), c.Changes, took)})
	}
	return rows
}

// tableFact says what of its place's route table leads to the gateway, and which others are there.
func tableFact(t *agent.TableStatus) string {
	text := "nothing leads here"
	if len(t.Holds) > 0 {
		text = "leads here to " + strings.Join(t.Holds, ", ")
	}
	for _, s := range t.Siblings {
		if s.There {
			text += "; " + s.Name + " is there"
		} else {
			text += "; " + s.Name + " is not there"
		}
	}
	return text
}
