package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	ropewayv1 "ropeway/api/ropeway/v1"
	"ropeway/internal/console"
	"ropeway/internal/diagnose"
)

// A fabricStatus is what status shows.
type fabricStatus struct {
	Fabric   string                 `json:"fabric"`
	Revision uint64                 `json:"revision"`
	Gateways map[diagnose.State]int `json:"gateways"` // how many, by state
	*diagnose.Verdict
}

func newStatusCommand() *cobra.Command {
	var watch bool
	cmd := &cobra.Command{
		Use: "status", Short: "Say whether the fabric is well, and if not, why: the one cause first",
		Long: `Status is one screen. It says whether the fabric is well. If not, the first cause is the one that explains most, with what follows from it below
and what to do next; what is wrong beside it comes after.

Exit 0 where the fabric is well, 2 where it is not, 1 for an error.`,
		Example: "  ropeway status\n  ropeway status --watch", Args: cobra.NoArgs, ValidArgsFunction: cobra.NoFileCompletions,
	}
	cmd.Flags().BoolVarP(&watch, "watch", "w", false, "show it anew whenever it changes")
	format := outputFlag(cmd, console.Text, console.JSON, console.YAML)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		well := true
		err := look(cmd, watch, func(ctx context.Context, v *viewer) (string, error) {
			st, err := statusOf(ctx, v, time.Now())
			if err != nil {
				return "", err
			}
			well = st.Well
			return render(cmd, func(s console.Style, w *page) error {
				if format.Format != console.Text {
					return console.Encode(w, format.Format, st)
				}
				_, err := w.WriteString(statusText(s, st))
				return err
			})
		})
		if err == nil && !well && !watch {
			return exitChanges
		}
		return err
	}
	return cmd
}

// recently is how long something that was undone is worth a word.
const recently = time.Hour

// statusOf collects what is known, and has it judged.
func statusOf(ctx context.Context, v *viewer, now time.Time) (*fabricStatus, error) {
	facts := diagnose.Facts{Fabric: v.remote.member.Fabric, Revision: v.answer.Revision, Unsigned: v.answer.Unsigned, KeysToSign: v.answer.KeysToSign}
	st := &fabricStatus{Fabric: facts.Fabric, Revision: facts.Revision, Gateways: map[diagnose.State]int{}}
	for _, g := range v.answer.Gateways {
		f := gatewayFacts(g, now)
		facts.Gateways = append(facts.Gateways, f)
		facts.Sessions = append(facts.Sessions, downSessions(g, now)...)
		st.Gateways[f.State]++
	}
	for _, add := range []func(context.Context, *viewer, *diagnose.Facts) error{addPlan, addControllers} {
		if err := add(ctx, v, &facts); err != nil && !denied(err) { // who is bound to places sees his gateways, and no more
			return nil, err
		}
	}
	st.Verdict = diagnose.Diagnose(facts)
	return st, nil
}

// addPlan adds what the newest revision says of links and keys.
func addPlan(ctx context.Context, v *viewer, facts *diagnose.Facts) error {
	if facts.Revision == 0 {
		return nil
	}
	newest, err := v.version(ctx)
	if err != nil {
		return err
	}
	known, promised, learnt := v.gateways(), v.promised(newest, facts), learns(newest.side.Plan)
	for _, l := range linksOf(newest.side.Plan) {
		facts.Links = append(facts.Links, diagnose.Link{A: l.A, B: l.B, Carries: l.Carry, Learnt: learnt, Unheard: l.unheard(known)})
	}
	for i := range facts.Gateways {
		g := &facts.Gateways[i]
		g.Promised = promised[g.Name]
		g.Pending = newest.lock.Gateways[g.Name].PublicKey.IsZero()
	}
	return nil
}

// addControllers asks every controller how it is. The fullest store counts.
func addControllers(ctx context.Context, v *viewer, facts *diagnose.Facts) error {
	r := v.remote
	answer, err := r.cluster.ListControllers(ctx, &ropewayv1.ListControllersRequest{})
	if err != nil {
		return err
	}
	for _, l := range askAll(ctx, r.member, answer.Controllers) {
		c := diagnose.Controller{Name: l.Name}
		if l.State != "well" {
			c.Why = console.Visible(l.State)
		}
		facts.Controllers = append(facts.Controllers, c)
		if s := facts.Store; l.Quota > 0 && (s.Quota == 0 || float64(l.InUse)/float64(l.Quota) > float64(s.Size)/float64(s.Quota)) {
			facts.Store = diagnose.Store{Size: l.InUse, Quota: l.Quota}
		}
	}
	return nil
}

// gatewayFacts are what is known of a gateway.
func gatewayFacts(g *ropewayv1.Gateway, now time.Time) diagnose.Gateway {
	l := gatewayLineOf(g)
	f := diagnose.Gateway{Name: g.Name, Place: g.Place, State: l.State, Has: l.Applied, Wants: l.Epoch, Hindrance: l.Hindrance}
	if l.State == diagnose.Ill {
		f.Message = l.Message
	}
	routingFacts(&f, g.Reported.GetRouting())
	if !l.Reported.IsZero() {
		f.Heard = ago(now.Sub(l.Reported))
	}
	for _, d := range g.Reported.GetDrift() {
		switch {
		case d.Stands:
			f.Stands++
		case now.Sub(d.Last.AsTime()) < recently:
			f.Undone++
		}
	}
	return f
}

// ago writes how long ago something was.
func ago(d time.Duration) string {
	switch {
	case d < 2*time.Minute:
		return count(max(int(d.Seconds()), 0), "second") + " ago"
	case d < 2*time.Hour:
		return count(int(d.Minutes()), "minute") + " ago"
	case d < 48*time.Hour:
		return count(int(d.Hours()), "hour") + " ago"
	}
	return count(int(d.Hours()/24), "day") + " ago"
}

func statusText(s console.Style, st *fabricStatus) string {
	var b strings.Builder
	verdict := s.Green("well")
	if !st.Well {
		verdict = s.Red("not well")
	}
	fmt.Fprintf(&b, "Fabric %s at %s: %s\n", console.Visible(st.Fabric), revisionText(st.Revision), verdict)
	if line := gatewayCounts(st.Gateways); line != "" {
		fmt.Fprintf(&b, "Gateways: %s\n", line)
	}
	for i, c := range st.Causes {
		if i == 1 {
			fmt.Fprintf(&b, "\n%s\n", s.Bold("Beside that"))
		} else if i == 0 {
			b.WriteString("\n")
		}
		writeCause(&b, s, &c)
	}
	return b.String()
}

func writeCause(b *strings.Builder, s console.Style, c *diagnose.Cause) {
	paint := s.Yellow
	switch c.Weight {
	case diagnose.Outage, diagnose.Fault:
		paint = s.Red
	case diagnose.Notice:
		paint = s.Dim
	}
	fmt.Fprintf(b, "%s %s: %s\n", paint(fmt.Sprintf("%-8s", c.Weight)), s.Bold(c.Subject), console.Visible(c.What))
	for _, e := range c.Explains {
		fmt.Fprintf(b, "         → %s\n", e)
	}
	fmt.Fprintf(b, "         %s %s\n", s.Dim("next:"), c.Next)
}

// gatewayCounts says how many gateways are how, the well ones first.
func gatewayCounts(n map[diagnose.State]int) string {
	var out []string
	for _, state := range []diagnose.State{diagnose.Well, diagnose.Ill, diagnose.Away, diagnose.Behind, diagnose.Absent} {
		if n[state] > 0 {
			out = append(out, fmt.Sprintf("%d %s", n[state], state))
		}
	}
	return strings.Join(out, ", ")
}
