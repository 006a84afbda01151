package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"ropeway/internal/console"
	"ropeway/internal/lab"
	"ropeway/internal/lab/drill"
)

func newDrillCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "drill", Short: "Lose gateways, links or regions of a lab, and measure what that costs",
		Long: `Lose something in a lab, measure how long hosts are cut off by it, give it back, and lose the next. A host of every place asks one of every other place every 10 ms,
as far as access lets it ping or get an answer by UDP. The blackout of a pair is the time from the last probe that was answered before to the first one after.

The prover is asked beforehand which pairs survive each loss. Where routing is static, those that crossed what is lost are lost until it is back; with BGP they find another way.

Exit 0 where every pair did as predicted in every run, 3 otherwise.`,
		Example: `  ropeway drill gateway-loss                             # each gateway once
  ropeway drill gateway-loss use1-a -n 100 --svg loss.svg
  ropeway drill link-loss use1-a,euw1-a
  ropeway drill region-loss -o json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.PersistentFlags().String("lab", "", "the lab: a name or a fabric file (default: the only one there is)")
	_ = cmd.RegisterFlagCompletionFunc("lab", completeLabs)
	cmd.AddCommand(
		newDrillOf(drill.GatewayLoss, "[GATEWAY]...", "Cut the power of gateways, one after the other",
			"Cut the power of a gateway: its processes end at once and its interfaces go down. Then it boots again. Without names every gateway has its turn."),
		newDrillOf(drill.GatewayFreeze, "[GATEWAY]...", "Let gateways stand still, one after the other",
			"Let a gateway stand still: none of its processes runs, it forwards nothing, and nobody is told. Then it goes on where it stood. Without names every gateway has its turn."),
		newDrillOf(drill.LinkLoss, "[A,B]...", "Cut links between gateways, one after the other",
			"Let nothing pass the underlay between two gateways that the plan joins, and then let it pass again. Without names every link has its turn."),
		newDrillOf(drill.RegionLoss, "[PLACE]...", "Cut off regions and sites, one after the other",
			"Let nothing pass between a region or site and all others, which is to them as if it were gone, and then let it pass again. Without names every place has its turn."),
	)
	return cmd
}

func newDrillOf(kind drill.Kind, args, short, long string) *cobra.Command {
	opts := lab.DrillOptions{Kind: kind}
	var svg string
	cmd := &cobra.Command{Use: string(kind) + " " + args, Short: short, Long: long}
	cmd.Flags().IntVarP(&opts.Runs, "runs", "n", 0, "how many losses, going through the names in turn (default: each once)")
	cmd.Flags().StringVar(&svg, "svg", "", "also draw the blackouts into this file")
	format := outputFlag(cmd, console.TableFormat, console.Wide, console.JSON, console.YAML)
	cmd.RunE = func(cmd *cobra.Command, names []string) error {
		if opts.Runs < 0 {
			return problem("RW6001", "", "-n takes a number of losses", "leave it out to lose each once")
		}
		l, err := openDrilled(cmd)
		if err != nil {
			return err
		}
		out, begun := cmd.ErrOrStderr(), time.Now()
		opts.Names = names
		opts.Progress = func(what string) {
			_, _ = fmt.Fprintf(out, "%6.2fs  %s\n", time.Since(begun).Seconds(), what)
		}
		r, err := l.Drill(cmd.Context(), opts)
		if err != nil {
			return err
		}
		if svg != "" {
			if err := os.WriteFile(svg, drill.Chart(r), 0o644); err != nil { //nolint:gosec // a picture to show around
				return fmt.Errorf("write the chart: %w", err)
			}
		}
		if err := showDrill(cmd, format.Format, r); err != nil {
			return err
		}
		if !r.OK {
			return exitProof
		}
		return nil
	}
	return cmd
}

func openDrilled(cmd *cobra.Command) (*lab.Lab, error) {
	name, err := cmd.Flags().GetString("lab")
	if err != nil || name == "" {
		return openLab(cmd, nil)
	}
	return openLab(cmd, []string{name})
}

func showDrill(cmd *cobra.Command, format console.Format, r *drill.Report) error {
	out := cmd.OutOrStdout()
	style := styleOf(cmd, out)
	if err := console.Show(out, style, format, r, func() *console.Table { return drillTable(r) }); err != nil || format == console.JSON || format == console.YAML {
		return err
	}
	var b strings.Builder
	for _, run := range r.Runs {
		for _, res := range run.Results {
			if !res.Agree {
				fmt.Fprintf(&b, "%s %s lost, %s → %s: predicted %s, observed %s\n", style.Red("✗"), run.Lost, res.From, res.To, survives(res.Survives), res.Fate)
			}
		}
	}
	if r.Beside > 0 {
		fmt.Fprintf(&b, "%s of places beside these were not probed: there are too many\n", count(r.Beside, "pair"))
	}
	if r.Silent > 0 {
		fmt.Fprintf(&b, "%s of places cannot be probed: access lets neither a ping nor a datagram be answered, or nothing passes\n", count(r.Silent, "pair"))
	}
	if r.P50 != nil {
		fmt.Fprintf(&b, "%s: p50 %g ms, p99 %g ms, longest %g ms\n", count(r.Recovered, "blackout"), *r.P50, *r.P99, *r.Max)
	}
	line := fmt.Sprintf("every pair did as predicted in %s", count(len(r.Runs), "run"))
	if r.OK {
		line = style.Green(line)
	} else {
		line = style.Red("not every pair did as predicted")
	}
	_, err := fmt.Fprintf(out, "\n%s%s\n", &b, line)
	return err
}

func survives(is bool) string {
	if is {
		return "survival"
	}
	return "loss"
}

func drillTable(r *drill.Report) *console.Table {
	t := &console.Table{Columns: []console.Column{
		{Title: "FROM"}, {Title: "TO"}, {Title: "SOURCE", Wide: true}, {Title: "DESTINATION", Wide: true}, {Title: "SERVICE", Wide: true},
		{Title: "KEPT", Right: true}, {Title: "RECOVERED", Right: true}, {Title: "LOST", Right: true},
		{Title: "P50 MS", Right: true}, {Title: "P99 MS", Right: true}, {Title: "LONGEST MS", Right: true}, {Title: "PREDICTED"},
	}}
	for _, p := range r.Pairs {
		agree := "✓"
		if !p.Agree {
			agree = "✗ otherwise"
		}
		t.Rows = append(t.Rows, []string{
			p.From, p.To, p.Source.String(), p.Destination.String(), p.Service, strconv.Itoa(p.Kept), strconv.Itoa(p.Recovered), strconv.Itoa(p.Lost),
			figure(p.P50), figure(p.P99), figure(p.Max), agree,
		})
	}
	t.Paint = func(style console.Style, row, column int, cell string) string {
		if column != len(t.Columns)-1 {
			return cell
		}
		if r.Pairs[row].Agree {
			return style.Green(cell)
		}
		return style.Red(cell)
	}
	return t
}

func figure(ms *float64) string {
	if ms == nil {
		return ""
	}
	return strconv.FormatFloat(*ms, 'f', -1, 64)
}
