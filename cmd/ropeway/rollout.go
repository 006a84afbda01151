package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	ropewayv1 "ropeway/api/ropeway/v1"
	"ropeway/internal/console"
	"ropeway/internal/rollout"
)

func newRolloutCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "rollout", Short: "Show and steer how a change comes to the gateways", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newRolloutStatusCommand(), newRolloutPauseCommand(), newRolloutResumeCommand(), newRolloutAbortCommand(), newRolloutRetryCommand())
	return cmd
}

// A rolloutView is what rollout status -o json prints.
type rolloutView struct {
	Revision uint64     `json:"revision"`
	Base     uint64     `json:"base"`
	State    string     `json:"state"` // running, paused, done, failed or aborted
	AtOnce   bool       `json:"atOnce"`
	Wave     uint32     `json:"wave"` // the last one that was admitted, from 1
	Waves    []waveView `json:"waves"`
	Away     []string   `json:"away,omitempty"` // when their wave was admitted
	Why      string     `json:"why,omitempty"`
	Back     uint64     `json:"back,omitempty"`
	By       string     `json:"by"`
	At       time.Time  `json:"at"`
}

// A waveView is one wave.
type waveView struct {
	Size     uint32        `json:"size"`
	Ready    uint32        `json:"ready"`
	Gateways []string      `json:"gateways,omitempty"` // the first of them
	Waiting  []waitingView `json:"waiting,omitempty"`
}

// A waitingView is a gateway that is not well with the revision yet.
type waitingView struct {
	Gateway   string `json:"gateway"`
	Condition string `json:"condition,omitempty"`
	Why       string `json:"why,omitempty"`
}

func rolloutViewOf(r *ropewayv1.Rollout) *rolloutView {
	v := &rolloutView{
		Revision: r.Revision, Base: r.Base, State: r.State, AtOnce: r.AtOnce, Wave: r.Wave, Waves: []waveView{},
		Away: r.Away, Why: r.Why, Back: r.Back, By: r.By, At: r.At.AsTime(),
	}
	for _, w := range r.Waves {
		out := waveView{Size: w.Size, Ready: w.Ready, Gateways: w.Gateways}
		for _, x := range w.Waiting {
			out.Waiting = append(out.Waiting, waitingView{x.Gateway, x.Condition, x.Why})
		}
		v.Waves = append(v.Waves, out)
	}
	return v
}

// active reports whether some gateways may have to wait still.
func (v *rolloutView) active() bool {
	return v.State == string(rollout.Running) || v.State == string(rollout.Paused)
}

// headline says in one line how the rollout is.
func (v *rolloutView) headline() string {
	text := fmt.Sprintf("The rollout of revision %d is %s", v.Revision, v.State)
	switch {
	case v.AtOnce:
		text = fmt.Sprintf("Revision %d went to every gateway at once", v.Revision)
	case v.active():
		text += fmt.Sprintf(", at wave %d of %d", v.Wave, len(v.Waves))
	}
	if v.Back > 0 {
		text += fmt.Sprintf(": revision %d is what revision %d was. %s", v.Back, v.Base, console.Visible(v.Why))
	}
	return text + "."
}

func newRolloutStatusCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "status", Short: "Show how far the last change is", Args: cobra.NoArgs,
		Example: `  ropeway rollout status
  ropeway rollout status -o json`,
	}
	format := outputFlag(cmd, console.TableFormat, console.Wide, console.JSON, console.YAML)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return talk(cmd, func(r *remote) error {
			v, err := r.rollout(cmd)
			if err != nil {
				return err
			}
			if v == nil {
				return say(cmd, "Nothing was rolled out yet.\n")
			}
			return showRollout(cmd, v, format.Format)
		})
	}
	return cmd
}

// rollout returns the last one; nil where there was none.
func (r *remote) rollout(cmd *cobra.Command) (*rolloutView, error) {
	answer, err := r.rollouts.GetRollout(cmd.Context(), &ropewayv1.GetRolloutRequest{})
	if err != nil || answer.Rollout == nil {
		return nil, err
	}
	return rolloutViewOf(answer.Rollout), nil
}

func showRollout(cmd *cobra.Command, v *rolloutView, format console.Format) error {
	if format != console.JSON && format != console.YAML {
		if err := say(cmd, "%s\nLast step: %s, %s\n", v.headline(), v.At.Format(time.RFC3339), console.Visible(v.By)); err != nil {
			return err
		}
		if len(v.Waves) == 0 {
			return nil
		}
	}
	return console.Show(cmd.OutOrStdout(), styleOf(cmd, cmd.OutOrStdout()), format, v, func() *console.Table { return waveTable(v) })
}

func waveTable(v *rolloutView) *console.Table {
	t := &console.Table{Columns: []console.Column{
		{Title: "WAVE", Right: true}, {Title: "READY"}, {Title: "GATEWAYS"}, {Title: "WAITS FOR"},
	}}
	for i, w := range v.Waves {
		waits := ""
		if uint32(i) < v.Wave && v.active() {
			waits = w.waits()
		}
		t.Rows = append(t.Rows, []string{fmt.Sprint(i + 1), fmt.Sprintf("%d of %d", w.Ready, w.Size), fewNames(w.Gateways, int(w.Size)), waits})
	}
	return t
}

// waits says whom a wave waits for.
func (w waveView) waits() string {
	if len(w.Waiting) == 0 {
		return ""
	}
	first := w.Waiting[0]
	text := first.Gateway + ": " + console.Visible(first.Why)
	if first.Why == "" {
		text = first.Gateway + ": it is away"
	}
	if more := int(w.Size-w.Ready) - 1; more > 0 {
		text += fmt.Sprintf("; and %d more", more)
	}
	return text
}

// fewNames lists the first of many.
func fewNames(names []string, of int) string {
	const most = 4
	shown := names[:min(len(names), most)]
	text := strings.Join(shown, ", ")
	if len(shown) > 0 && of > len(shown) {
		text += fmt.Sprintf(" and %d more", of-len(shown))
	}
	return text
}

func newRolloutPauseCommand() *cobra.Command {
	return &cobra.Command{
		Use: "pause", Short: "Let no further wave begin", Args: cobra.NoArgs,
		Long: `Pause keeps the rollout where it is until it is resumed or aborted. Gateways keep what they have; the rollout does not go back by itself either.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return talk(cmd, func(r *remote) error {
				answer, err := r.rollouts.PauseRollout(cmd.Context(), &ropewayv1.PauseRolloutRequest{})
				if err != nil {
					return err
				}
				return say(cmd, "%s\n", rolloutViewOf(answer.Rollout).headline())
			})
		},
	}
}

func newRolloutResumeCommand() *cobra.Command {
	var noWait bool
	cmd := &cobra.Command{Use: "resume", Short: "Let a paused rollout go on", Args: cobra.NoArgs}
	cmd.Flags().BoolVar(&noWait, "no-wait", false, "do not wait for the gateways")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return talk(cmd, func(r *remote) error {
			answer, err := r.rollouts.ResumeRollout(cmd.Context(), &ropewayv1.ResumeRolloutRequest{})
			if err != nil {
				return err
			}
			if noWait {
				return say(cmd, "%s\n", rolloutViewOf(answer.Rollout).headline())
			}
			return await(cmd, r, answer.Rollout.GetRevision())
		})
	}
	return cmd
}

func newRolloutAbortCommand() *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use: "abort", Short: "Have the fabric go back to what it was before the rollout", Args: cobra.NoArgs,
		Long: `Abort ends the rollout by a revision that says what the fabric was before it. Gateways that got the change get that at once; the others notice nothing.`,
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why; it is recorded")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return talk(cmd, func(r *remote) error {
			answer, err := r.rollouts.AbortRollout(cmd.Context(), &ropewayv1.AbortRolloutRequest{Reason: reason})
			if err != nil {
				return err
			}
			return say(cmd, "%s\n", rolloutViewOf(answer.Rollout).headline())
		})
	}
	return cmd
}
