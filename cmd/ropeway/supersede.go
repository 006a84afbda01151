package main

import (
	"github.com/spf13/cobra"

	ropewayv1 "ropeway/api/ropeway/v1"
)

// supersede ends the rollout that is under way, if any, for a change that is to take its place, and reports whether the change may go on. Nothing is ended
// for a change that would not be taken then, nor before the person has agreed: what he looks at afterwards is the change beside what the fabric went back to.
func (a *applying) supersede(cmd *cobra.Command, r *remote, w wish) (goOn bool, err error) {
	v, err := r.rollout(cmd)
	if err != nil || v == nil || !v.active() {
		return err == nil, err
	}
	if w.saved != nil {
		return false, problem("RW7301", "rollout", v.headline()+" A saved plan was looked at beside what is rolled out, and not beside what the fabric would go back to",
			"ropeway rollout abort, then plan and save it again; nothing was changed")
	}
	seen, err := r.preview(cmd.Context(), w.preview())
	if err != nil {
		return false, err
	}
	if len(seen.Unproven(a.override)) > 0 {
		seen.asks = true // there is no more to say than that
		if err := say(cmd, "%s", seen.text(styleOf(cmd, cmd.OutOrStdout()))); err != nil {
			return false, err
		}
		return false, exitProof
	}
	if err := a.signing.ready(seen, a.yes); err != nil {
		return false, err
	}
	if !a.yes {
		if err := say(cmd, "%s Its gateways go back to what revision %d says.\n", v.headline(), v.Base); err != nil {
			return false, err
		}
		if ok, err := ask(cmd, "End that rollout?"); err != nil || !ok {
			return false, err
		}
	}
	answer, err := r.rollouts.AbortRollout(cmd.Context(), &ropewayv1.AbortRolloutRequest{Revision: v.Revision, Reason: "superseded"})
	if err != nil {
		return false, err
	}
	return true, say(cmd, "%s\n", rolloutViewOf(answer.Rollout).headline())
}
