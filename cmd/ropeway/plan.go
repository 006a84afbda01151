package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	ropewayv1 "ropeway/api/ropeway/v1"
	"ropeway/internal/compile"
	"ropeway/internal/console"
	"ropeway/internal/diag"
	"ropeway/internal/intent"
	"ropeway/internal/plan"
	"ropeway/internal/proposal"
	"ropeway/internal/seal"
)

// A shown is a proposal, and the file that it comes from.
type shown struct {
	*proposal.Proposal
	file    string
	remote  bool   // beside what a controller keeps, and not beside the lock file
	base    uint64 // the controller's revision
	digest  string // of the proposal, as the controller made it
	saved   string // the file that it was saved in
	between string // "revision 3 → 5" where both are revisions
	asks    bool   // a question follows

	toSign *seal.Case // nil: the controllers sign plans themselves
	words  string     // how the files of both differ, as a unified diff; "" where nobody asked
}

func newPlanCommand() *cobra.Command {
	var p planning
	cmd := &cobra.Command{
		Use:   "plan FILE",
		Short: "Show what would change, who gains and loses a path, and the proof",
		Long: `Compile the file and show the difference to the fabric as it is: what changes on every gateway (+ ~ -), what gains and loses a path, and
whether the plan is proven. Nothing is changed.

Where you are logged in to a controller and the file is of the fabric that it keeps, the fabric as it is is the controller's newest revision.
--out saves what you looked at, and "ropeway apply" of what was saved does that and nothing else.

Everywhere else, and with --offline, --lock or --accept, it is the plan that was last accepted. That stands in the lock file beside the file
(FILE with its extension replaced by .lock.json), made to be committed. "plan" only reads it; "plan --accept" writes it, where the proof holds.

Where a gateway or router gets more than 20 peers or routes at once, having had none, or loses as many, all it had, one change ("peers",
"routes") names the first and counts the rest; "export plan" has them. Reachability lists 10,000 changes of each action at most; -o json
counts the others under "omitted".

Exit 0 where nothing changes or the change was accepted, 2 where something changes, 3 where the proof fails, 1 for an error.`,
		Example: `  ropeway plan shop.yaml                      # against the controller, or the lock file
  ropeway plan shop.yaml --out friday.plan    # and then: ropeway apply friday.plan`,
		Args: cobra.ExactArgs(1), ValidArgsFunction: oneFile,
	}
	cmd.Flags().BoolVar(&p.accept, "accept", false, "remember this plan in the lock file")
	cmd.Flags().BoolVar(&p.offline, "offline", false, "compare with the lock file, and ask no controller")
	cmd.Flags().StringVar(&p.out, "out", "", `save what is shown, for "ropeway apply"`)
	p.lockFile = lockFlag(cmd)
	p.format = outputFlag(cmd, console.Text, console.JSON, console.YAML)
	cmd.RunE = func(cmd *cobra.Command, args []string) error { return p.run(cmd, args[0]) }
	return cmd
}

// planning is what the flags of plan say.
type planning struct {
	accept, offline bool
	out             string
	lockFile        *string
	format          *console.Choice
}

func (p *planning) run(cmd *cobra.Command, file string) error {
	if p.out != "" && (p.accept || p.offline || *p.lockFile != "") {
		return problem("RW6001", "", "--out is for a plan beside what a controller keeps, and --offline, --lock and --accept are for one beside a lock file", "leave one of them away")
	}
	if p.accept {
		return acceptPlan(cmd, file, *p.lockFile, p.format.Format)
	}
	src, err := readFabric(cmd, file)
	switch {
	case err != nil:
		return err
	case !p.offline && *p.lockFile == "" && keeper() == src.intent.Name:
		return p.ask(cmd, src)
	case p.out != "":
		return problem("RW6013", "fabric "+src.intent.Name, "you are not logged in to a controller that keeps it", "ropeway login URL --token TOKEN")
	}
	if err := src.readLock(*p.lockFile); err != nil {
		return err
	}
	shows, err := propose(cmd, src)
	if err != nil {
		return err
	}
	return shows.show(cmd, p.format.Format)
}

// ask has the controller compare the file with what it keeps.
func (p *planning) ask(cmd *cobra.Command, src *source) error {
	return talk(cmd, func(r *remote) error {
		seen, err := r.preview(cmd.Context(), &ropewayv1.PreviewRequest{File: src.text, Name: src.file})
		if err != nil {
			return err
		}
		if p.out != "" {
			if err := seen.save(p.out, src); err != nil {
				return err
			}
		}
		return seen.show(cmd, p.format.Format)
	})
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
		err = console.Encode(out, format, struct {
			*proposal.Proposal
			Words string `json:"fileDiff,omitempty"`
		}{p.Proposal, p.words})
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
	if p.words != "" {
		b.WriteString(s.Bold("File") + "\n" + indent(paintWords(s, p.words)) + "\n")
	}
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
	b.WriteString(keysText(s, p.toSign, p.base))
	b.WriteString(s.Bold("Proof") + "\n" + indent(proofText(s, p.Proof)) + "\n")
	added, changed, removed := p.Plan.Count()
	switch {
	case !p.Changed:
		fmt.Fprintf(&b, "Fabric %s: nothing to change.\n", p.Fabric)
	case p.Accepted:
		fmt.Fprintf(&b, "Fabric %s: gateways: %d added, %d changed, %d removed. Accepted.\n", p.Fabric, added, changed, removed)
	case p.between != "":
		fmt.Fprintf(&b, "Fabric %s, %s: gateways: %d added, %d changed, %d removed.\n", p.Fabric, p.between, added, changed, removed)
	case p.remote:
		fmt.Fprintf(&b, "Fabric %s, beside %s: gateways: %d to add, %d to change, %d to remove.%s\n", p.Fabric, revisionText(p.base), added, changed, removed, p.next())
	default:
		fmt.Fprintf(&b, "Fabric %s: gateways: %d to add, %d to change, %d to remove. To accept: ropeway plan %s --accept\n", p.Fabric, added, changed, removed, console.Visible(p.file))
	}
	return b.String()
}

// next is what to do with a proposal of a controller's.
func (p *shown) next() string {
	switch {
	case p.asks:
		return ""
	case p.saved != "":
		return " To apply: ropeway apply " + console.Visible(p.saved)
	}
	return " To apply: ropeway apply " + console.Visible(p.file)
}

func revisionText(number uint64) string {
	if number == 0 {
		return "nothing"
	}
	return fmt.Sprintf("revision %d", number)
}

func indent(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		b.WriteString("  " + line)
	}
	return b.String()
}
