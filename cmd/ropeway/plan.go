package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"ropeway/internal/compile"
	"ropeway/internal/console"
	"ropeway/internal/diag"
	"ropeway/internal/intent"
	"ropeway/internal/plan"
	"ropeway/internal/proposal"
)

// A shown is a proposal, and the file that it comes from.
type shown struct {
	*proposal.Proposal
	file   string
	remote bool // beside what a controller keeps, and not beside the lock file
}

func newPlanCommand() *cobra.Command {
	var accept bool
	cmd := &cobra.Command{
		Use:   "plan FILE",
		Short: "Show what would change, who gains and loses a path, and the proof",
		Long: `Compile the file and show the difference to the plan that was last accepted: what changes on every gateway (+ ~ -), what gains and loses
a path, and whether the plan is proven.

The last accepted plan stands in the lock file beside the file (FILE with its extension replaced by .lock.json), made to be committed.
"plan" only reads it; "plan --accept" writes it, where the proof holds.

Where a gateway or router gets more than 20 peers or routes at once, having had none, or loses as many, all it had, one change ("peers",
"routes") names the first and counts the rest; "export plan" has them. Reachability lists 10,000 changes of each action at most; -o json
counts the others under "omitted".

Exit 0 where nothing changes or the change was accepted, 2 where something changes, 3 where the proof fails, 1 for an error.`,
		Args: cobra.ExactArgs(1), ValidArgsFunction: oneFile,
	}
	cmd.Flags().BoolVar(&accept, "accept", false, "remember this plan in the lock file")
	lockFile := lockFlag(cmd)
	format := outputFlag(cmd, console.Text, console.JSON, console.YAML)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if accept {
			return acceptPlan(cmd, args[0], *lockFile, format.Format)
		}
		src, err := readSource(cmd, args[0], *lockFile)
		if err != nil {
			return err
		}
		p, err := propose(cmd, src)
		if err != nil {
			return err
		}
		return p.show(cmd, format.Format)
	}
	return cmd
}

func acceptPlan(cmd *cobra.Command, file, lockFile string, format console.Format) error {
	var p *shown
	err := changeLock(cmd, file, lockFile, func(src *source) (err error) {
		if p, err = propose(cmd, src); err != nil || !p.Proof.OK {
			return err
		}
		src.lock, p.Accepted = p.Lock.Accept(src.text, p.After.Revisions()), true
		return nil
	})
	if err != nil {
		return err
	}
	if !p.Accepted {
		w := cmd.ErrOrStderr()
		refusal := problem("RW6012", "fabric "+p.Fabric, "the plan is not accepted: its proof fails", "mend what the proof names")
		if err := console.Print(w, styleOf(cmd, w), diag.List{refusal}); err != nil {
			return err
		}
	}
	return p.show(cmd, format)
}

// propose compiles the file and what was last accepted, compares the two, and proves the new one.
func propose(cmd *cobra.Command, src *source) (*shown, error) {
	var c compile.Compiler // what did not change is not compiled again, nor compared
	was, old, err := accepted(cmd, src, &c)
	if err != nil {
		return nil, err
	}
	return &shown{Proposal: proposal.Make(&c, proposal.Side{Intent: was, Plan: old}, src.intent, src.lock), file: src.file}, nil
}

// accepted compiles what the lock file remembers as accepted, and returns its meaning and its plan: nil where it remembers nothing.
func accepted(cmd *cobra.Command, src *source, c *compile.Compiler) (*intent.Fabric, *plan.Fabric, error) {
	lock, text, ok := src.lock.Before()
	if !ok {
		return nil, nil, nil
	}
	w := cmd.ErrOrStderr()
	in, _ := intent.Read(src.file, text)
	if in == nil {
		lost := warning("RW6011", "lock file "+src.lockFile, "the file that was accepted is not valid for this version", "everything is shown as new")
		return nil, nil, console.Print(w, styleOf(cmd, w), diag.List{lost})
	}
	p, _ := c.Compile(in, lock)
	if changed := otherRevisions(p, src.lock.Accepted.Revisions); len(changed) > 0 {
		differs := warning("RW6011", "lock file "+src.lockFile, "this version compiles the accepted file to something else than was accepted: "+some(changed), "look through the plan with care")
		return in, p, console.Print(w, styleOf(cmd, w), diag.List{differs})
	}
	return in, p, nil
}

// otherRevisions returns the gateways that did not have the revision that they have now.
func otherRevisions(p *plan.Fabric, revisions map[string]string) []string {
	var out []string
	for name, is := range p.Revisions() {
		if was := revisions[name]; was != "" && was != is {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

func (p *shown) show(cmd *cobra.Command, format console.Format) error {
	out := cmd.OutOrStdout()
	var err error
	if format != console.Text {
		err = console.Encode(out, format, p.Proposal)
	} else {
		err = say(cmd, "%s", p.text(styleOf(cmd, out)))
	}
	switch {
	case err != nil:
		return err
	case !p.Proof.OK:
		return exitProof
	case p.Changed && !p.Accepted:
		return exitChanges
	}
	return nil
}

func (p *shown) text(s console.Style) string {
	var b strings.Builder
	for line := range strings.Lines(p.Plan.Text()) {
		b.WriteString(s.Diff(strings.TrimSuffix(line, "\n")) + "\n")
	}
	if !p.Plan.Empty() {
		b.WriteString("\n" + s.Bold("Reachability") + "\n")
		for line := range strings.Lines(p.Reachability.Text()) {
			b.WriteString("  " + s.Diff(strings.TrimSuffix(line, "\n")) + "\n")
		}
		if len(p.Reachability.Changes) == 0 {
			b.WriteString("  every packet goes as before\n")
		}
		b.WriteString("\n")
	}
	b.WriteString(s.Bold("Proof") + "\n" + indent(proofText(s, p.Proof)) + "\n")
	added, changed, removed := p.Plan.Count()
	switch {
	case !p.Changed:
		fmt.Fprintf(&b, "Fabric %s: nothing to change.\n", p.Fabric)
	case p.Accepted:
		fmt.Fprintf(&b, "Fabric %s: gateways: %d added, %d changed, %d removed. Accepted.\n", p.Fabric, added, changed, removed)
	case p.remote:
		fmt.Fprintf(&b, "Fabric %s: gateways: %d to add, %d to change, %d to remove.\n", p.Fabric, added, changed, removed)
	default:
		fmt.Fprintf(&b, "Fabric %s: gateways: %d to add, %d to change, %d to remove. To accept: ropeway plan %s --accept\n", p.Fabric, added, changed, removed, console.Visible(p.file))
	}
	return b.String()
}

func indent(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		b.WriteString("  " + line)
	}
	return b.String()
}
