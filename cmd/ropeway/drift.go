package main

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	ropewayv1 "ropeway/api/ropeway/v1"
	"ropeway/internal/console"
	"ropeway/internal/diagnose"
)

// A driftLine is a row of drift.
type driftLine struct {
	Gateway string    `json:"gateway"`
	Part    string    `json:"part"`  // plan, or the part of the machine
	State   string    `json:"state"` // stands, behind, drained or undone
	What    string    `json:"what"`
	Times   uint32    `json:"times,omitempty"`
	First   time.Time `json:"first,omitzero"`
	Last    time.Time `json:"last,omitzero"`
}

// A driftReport is what drift shows.
type driftReport struct {
	Drift   []driftLine `json:"drift"`
	Unknown []string    `json:"unknown"` // gateways that are away, or never were here: nobody knows what they are
}

func newDriftCommand() *cobra.Command {
	var since time.Duration
	var routes bool
	cmd := &cobra.Command{
		Use: "drift", Short: "Show where gateways are not, or were not, what the plan says",
		Long: `Agents look at their machines all the time and undo what nobody asked for. Drift shows what they told of it: what was undone of late ("undone"),
what could not be ("stands"), and who does not follow the newest revision yet ("behind"). Of gateways that are away it says that it does not know.

Of gateways that speak BGP it shows daemons that do not run and sessions that are not up, and who is drained ("drained"). It asks them for their routes and shows
those that are not as the plan promises, unless --routes=false.

Exit 0 where there is none, 2 where there is some, 1 for an error.`,
		Example: `  ropeway drift
  ropeway drift --since 0    # only what stands now`,
		Args: cobra.NoArgs, ValidArgsFunction: cobra.NoFileCompletions,
	}
	cmd.Flags().DurationVar(&since, "since", time.Hour, "how far back what was undone is shown")
	cmd.Flags().BoolVar(&routes, "routes", true, "ask gateways for their routes, too; of many with many prefixes that takes a while")
	format := outputFlag(cmd, console.TableFormat, console.Wide, console.JSON, console.YAML)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		var report *driftReport
		err := talk(cmd, func(r *remote) (err error) {
			report, err = lookForDrift(cmd, &viewer{remote: r, cmd: cmd}, since, routes)
			return err
		})
		if err != nil {
			return err
		}
		return report.show(cmd, format.Format)
	}
	return cmd
}

// lookForDrift returns what gateways reported, and in what their routes differ.
func lookForDrift(cmd *cobra.Command, v *viewer, since time.Duration, routes bool) (report *driftReport, err error) {
	ctx, now := cmd.Context(), time.Now()
	if v.answer, err = v.remote.fabric.ListGateways(ctx, &ropewayv1.ListGatewaysRequest{}); err != nil {
		return nil, err
	}
	report = driftOf(v.answer.Gateways, now, now.Add(-since))
	speaks := slices.ContainsFunc(v.answer.Gateways, func(g *ropewayv1.Gateway) bool { return g.Reported.GetRouting() != nil })
	if !routes || !speaks {
		return report, nil
	}
	differ, err := routeDrift(ctx, fabricLookout{v}, now)
	if denied(err) { // who is bound to places does not see what the plan promises
		return report, nil
	}
	report.Drift = append(report.Drift, differ...)
	report.sort()
	return report, err
}

// driftOf returns what differs, by gateway; of what was undone that which was last found after a time.
func driftOf(gateways []*ropewayv1.Gateway, now, after time.Time) *driftReport {
	out := &driftReport{Drift: []driftLine{}, Unknown: []string{}}
	for _, g := range gateways {
		l := gatewayLineOf(g)
		if l.State == diagnose.Absent || l.State == diagnose.Away {
			out.Unknown = append(out.Unknown, g.Name)
			continue
		}
		if l.State == diagnose.Behind {
			out.Drift = append(out.Drift, driftLine{Gateway: g.Name, Part: "plan", State: "behind", What: fmt.Sprintf("it is at %s, and %s is the newest for it", revisionText(l.Applied), revisionText(l.Epoch)), Last: l.Reported})
		}
		for _, d := range g.Reported.GetDrift() {
			row := driftLine{Gateway: g.Name, Part: d.Step, State: "undone", What: d.What, Times: d.Times, First: d.First.AsTime(), Last: d.Last.AsTime()}
			if d.Stands {
				row.State = "stands"
			}
			if d.Stands || row.Last.After(after) {
				out.Drift = append(out.Drift, row)
			}
		}
		out.Drift = append(out.Drift, routingDrift(g, now)...)
	}
	out.sort()
	return out
}

func (d *driftReport) sort() {
	slices.SortStableFunc(d.Drift, func(a, b driftLine) int { return driftRank(a) - driftRank(b) })
}

// driftRank puts what stands first, and what was undone last.
func driftRank(l driftLine) int {
	return slices.Index([]string{"stands", "behind", "drained", "undone"}, l.State)
}

func (d *driftReport) show(cmd *cobra.Command, format console.Format) error {
	out := cmd.OutOrStdout()
	err := console.Show(out, styleOf(cmd, out), format, d, func() *console.Table {
		t := &console.Table{Columns: []console.Column{{Title: "GATEWAY"}, {Title: "PART"}, {Title: "STATE"}, {Title: "TIMES", Right: true}, {Title: "FIRST", Wide: true}, {Title: "LAST"}, {Title: "WHAT"}}}
		for _, l := range d.Drift {
			t.Rows = append(t.Rows, []string{l.Gateway, l.Part, l.State, times(l.Times), stamp(l.First), stamp(l.Last), console.Visible(l.What)})
		}
		return t
	})
	if err == nil && len(d.Unknown) > 0 && (format == console.TableFormat || format == console.Wide) {
		err = say(cmd, "Nothing is known of %s: %s\n", count(len(d.Unknown), "gateway"), some(d.Unknown))
	}
	if err == nil && len(d.Drift) > 0 {
		return exitChanges
	}
	return err
}

func times(n uint32) string {
	if n == 0 {
		return ""
	}
	return strconv.FormatUint(uint64(n), 10)
}

// stamp writes a time, and nothing for none.
func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Format(time.RFC3339)
}
