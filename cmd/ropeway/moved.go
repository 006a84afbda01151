package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"ropeway/internal/console"
	"ropeway/internal/proposal"
)

// sameAsSaved refuses a saved plan that is not what would happen now.
func (r *remote) sameAsSaved(cmd *cobra.Command, was *proposal.Saved, now *shown) error {
	switch {
	case was.Fabric != now.Fabric:
		return problem("RW7502", "saved plan", fmt.Sprintf("it is of fabric %s, and the controller keeps fabric %s", was.Fabric, now.Fabric), "log in to the controller of that fabric")
	case was.Base != now.base:
		return r.moved(cmd, was.Base)
	case was.Digest != now.digest:
		return problem("RW7502", "saved plan", fmt.Sprintf("it was compared with %s, which is the newest still, and yet would change something else by now: a gateway enrolled that no fabric had, or the controller is of another version", revisionText(was.Base)),
			"look at it again, and save it again: ropeway plan FILE --out PLANFILE")
	}
	return nil
}

// mostMoved is how many of the revisions that came in between are told one by one.
const mostMoved = 10

// moved refuses a change because the fabric moved after somebody looked at it, and says what moved: by whom, and on which gateways.
func (r *remote) moved(cmd *cobra.Command, base uint64) error {
	list, more, err := r.since(cmd.Context(), base, mostMoved)
	if denied(err) || err == nil && len(list) == 0 { // who is bound to places does not see revisions
		return problem("RW7001", "fabric", "it was changed after the change was looked at, against "+revisionText(base), "look at the difference again, and apply once more; nothing was changed")
	}
	if err != nil {
		return err
	}
	newest := list[len(list)-1].number
	w := cmd.ErrOrStderr()
	if more {
		_, err = fmt.Fprintf(w, "  … and more before these; ropeway history shows them\n")
	}
	for _, v := range list {
		if err == nil {
			_, err = fmt.Fprintf(w, "  %s\n", v.line())
		}
	}
	if err != nil {
		return fmt.Errorf("write what moved: %w", err)
	}
	return problem("RW7001", "fabric", fmt.Sprintf("it is at revision %d now, and the change was looked at against %s; what came in between stands above", newest, revisionText(base)),
		"look at the difference again, and apply once more; nothing was changed")
}

// line says of a revision who made it, when, why and what it changed.
func (v *version) line() string {
	out := fmt.Sprintf("revision %d by %s (%s), %s", v.number, console.Visible(v.author), console.Visible(v.kind), v.at.Format(time.RFC3339))
	if v.reason != "" {
		out += ", " + console.Visible(v.reason)
	}
	return out + ": " + strings.Join(v.changes, "; ")
}
