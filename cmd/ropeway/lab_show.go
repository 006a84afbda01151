package main

import (
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"ropeway/internal/console"
	"ropeway/internal/lab"
)

func newLabStatusCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "status [LAB|FILE]", Short: "Show the machines, links and faults of a lab",
		Args: cobra.MaximumNArgs(1), ValidArgsFunction: completeLabs,
	}
	format := outputFlag(cmd, console.TableFormat, console.Wide, console.JSON, console.YAML)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		l, err := openLab(cmd, args)
		if err != nil {
			return err
		}
		s, err := l.Status(cmd.Context())
		if err != nil {
			return err
		}
		out := cmd.OutOrStdout()
		style := styleOf(cmd, out)
		if err := console.Show(out, style, format.Format, s, func() *console.Table { return machineTable(s) }); err != nil {
			return err
		}
		if format.Format == console.JSON || format.Format == console.YAML {
			return nil
		}
		return showFaults(out, style, s)
	}
	return cmd
}

// machineTable has a row for every machine that somebody may want to enter.
func machineTable(s *lab.Status) *console.Table {
	t := &console.Table{Columns: []console.Column{
		{Title: "MACHINE"}, {Title: "KIND"}, {Title: "PLACE"}, {Title: "STATE"}, {Title: "ADDRESSES"}, {Title: "NAMESPACE", Wide: true},
	}}
	for _, m := range s.Machines {
		state := ""
		if m.Agent != "" {
			up, all := 0, 0
			for _, k := range s.Links {
				if k.A == m.Name || k.B == m.Name {
					all++
					if k.Up {
						up++
					}
				}
			}
			state = fmt.Sprintf("agent %s, %d of %s", m.Agent, up, count(all, "link"))
		}
		if m.Controller != "" {
			state = "controller " + m.Controller
		}
		t.Rows = append(t.Rows, []string{m.Name, string(m.Kind), m.Place, state, addressText(m.Addresses), m.Namespace})
	}
	t.Paint = func(style console.Style, row, column int, cell string) string {
		m := s.Machines[row]
		if column == 3 && (m.Agent != "" && m.Agent != "running" || m.Controller != "" && m.Controller != "serving") {
			return style.Red(cell)
		}
		return cell
	}
	return t
}

func addressText(addrs []netip.Addr) string {
	texts := make([]string, len(addrs))
	for i, a := range addrs {
		texts[i] = a.String()
	}
	return some(texts)
}

func showFaults(out io.Writer, style console.Style, s *lab.Status) error {
	var b strings.Builder
	if s.Revision != 0 {
		fmt.Fprintf(&b, "the lab is at revision %d of its controllers\n", s.Revision)
	}
	for _, k := range s.Links {
		if !k.Up {
			fmt.Fprintf(&b, "%s: no packet passes\n", style.Red("link "+k.A+" "+k.B))
		}
	}
	for _, f := range s.Faults {
		fmt.Fprintf(&b, "%s: %s\n", style.Yellow("fault "+strconv.Itoa(f.ID)), f)
	}
	if b.Len() == 0 {
		return nil
	}
	_, err := io.WriteString(out, "\n"+b.String())
	return err
}

func newLabTestCommand() *cobra.Command {
	var everything, predictFaults bool
	cmd := &cobra.Command{
		Use: "test [LAB|FILE]", Short: "Send real packets, and hold them against the proof",
		Long: `Send what tests and access of the fabric file say as real packets, both ways, small and as large as the path carries and one byte larger,
and set what becomes of each beside what the prover predicts for the plan that the agents have.

Exit 0 where every packet did as predicted and every test holds, 3 otherwise.`,
		Args: cobra.MaximumNArgs(1), ValidArgsFunction: completeLabs,
	}
	cmd.Flags().BoolVar(&everything, "everything", false, "send every service between every two hosts, not only what the file speaks of")
	cmd.Flags().BoolVar(&predictFaults, "predict-faults", true, "tell the prover of the lab's faults; without, it predicts the healthy fabric")
	format := outputFlag(cmd, console.TableFormat, console.Wide, console.JSON, console.YAML)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		l, err := openLab(cmd, args)
		if err != nil {
			return err
		}
		r, err := l.Test(cmd.Context(), lab.TestOptions{IgnoreFaults: !predictFaults, Everything: everything})
		if err != nil {
			return err
		}
		if err := showTested(cmd, format.Format, r); err != nil {
			return err
		}
		if !r.OK {
			return exitProof
		}
		return nil
	}
	return cmd
}

// manyResults is how many rows a table of flows may have. Where there are more, flows between the same two hosts that fare alike share
// a row; where those are too many as well, only the flows that matter are shown. -o wide shows every flow.
const manyResults = 300

func showTested(cmd *cobra.Command, format console.Format, r *lab.Report) error {
	out := cmd.OutOrStdout()
	style := styleOf(cmd, out)
	if format == console.JSON || format == console.YAML {
		return console.Encode(out, format, r)
	}
	wide := format == console.Wide
	rows := flowRows(r.Results, !wide && len(r.Results) > manyResults)
	hidden := 0
	if len(rows) > manyResults && !wide {
		rows = slices.DeleteFunc(rows, func(f flowRow) bool {
			if f.Agree {
				hidden += f.flows
			}
			return f.Agree
		})
	}
	if len(rows) > 0 {
		if err := flowTable(rows).Write(out, style, wide); err != nil {
			return err
		}
	}
	if hidden > 0 {
		if _, err := fmt.Fprintf(out, "%s that did as predicted are not shown; -o wide shows all\n", count(hidden, "flow")); err != nil {
			return err
		}
	}
	return summary(out, style, r)
}

// A flowRow is a row of the table: a flow, or several between the same two hosts that fare alike.
type flowRow struct {
	lab.Result
	from, to, size string
	flows          int
}

func flowRows(results []lab.Result, together bool) []flowRow {
	var rows []flowRow
	known := map[flowRow]int{}
	for _, r := range results {
		row := flowRow{Result: r, from: r.From.String(), to: r.To.String(), size: "small", flows: 1}
		switch {
		case r.Stream:
			row.size = "stream"
		case r.Size != 0:
			row.size = strconv.Itoa(r.Size)
		}
		if together {
			row.from, row.to = r.FromHost, r.ToHost
			alike := flowRow{
				from: row.from, to: row.to, size: row.size,
				Result: lab.Result{Service: r.Service, Predicted: r.Predicted, Observed: r.Observed},
			}
			if at, ok := known[alike]; ok {
				rows[at].flows++
				continue
			}
			known[alike] = len(rows)
		}
		rows = append(rows, row)
	}
	return rows
}

func flowTable(rows []flowRow) *console.Table {
	t := &console.Table{Columns: []console.Column{
		{Title: "FROM"}, {Title: "TO"}, {Title: "SERVICE"}, {Title: "SIZE", Right: true}, {Title: "FLOWS", Right: true}, {Title: "PREDICTED"}, {Title: "OBSERVED"},
		{Title: ""}, {Title: "WHY", Wide: true},
	}}
	for _, r := range rows {
		agree := "✓"
		if !r.Agree {
			agree = "✗ they differ"
		}
		t.Rows = append(t.Rows, []string{
			r.from, r.to, r.Service, r.size, strconv.Itoa(r.flows), string(r.Predicted), string(r.Observed), agree, r.Reason,
		})
	}
	t.Paint = func(style console.Style, row, column int, cell string) string {
		switch {
		case column == 7 && rows[row].Agree:
			return style.Green(cell)
		case column >= 5 && column <= 7 && !rows[row].Agree:
			return style.Red(cell)
		}
		return cell
	}
	return t
}

func summary(out io.Writer, style console.Style, r *lab.Report) error {
	var b strings.Builder
	for _, t := range r.Tests {
		mark := style.Green("✓")
		if !t.OK {
			mark = style.Red("✗")
		}
		fmt.Fprintf(&b, "%s test %s → %s %s: predicted %s, observed %s", mark, t.From, t.To, t.Expect, holds(t.Predicted), holds(t.Observed))
		if !t.OK && t.Reason != "" {
			b.WriteString(" (" + t.Reason + ")")
		}
		b.WriteString("\n")
	}
	for _, f := range r.Faults {
		fmt.Fprintf(&b, "%s: %s\n", style.Yellow("fault "+strconv.Itoa(f.ID)), f)
	}
	for _, a := range r.Astray {
		fmt.Fprintf(&b, "%s %s\n", style.Yellow("routes:"), a)
	}
	if r.Revision != 0 {
		fmt.Fprintf(&b, "revision %d of the controllers\n", r.Revision)
	}
	line := fmt.Sprintf("%d of %s did as predicted", r.Agree, count(r.Sent, "flow"))
	if r.Agree == r.Sent {
		line = style.Green(line)
	} else {
		line = style.Red(line)
	}
	_, err := fmt.Fprintf(out, "%s%s\n", &b, line)
	return err
}

func holds(ok bool) string {
	if ok {
		return "holds"
	}
	return "fails"
}
