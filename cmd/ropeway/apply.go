package main

import (
	"bufio"
	"os"
	"strings"
	"time"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"
	"golang.org/x/term"
	"google.golang.org/protobuf/types/known/durationpb"

	ropewayv1 "ropeway/api/ropeway/v1"
	"ropeway/internal/console"
	"ropeway/internal/files"
	"ropeway/internal/proposal"
)

// applying is what the flags of apply and rollback say.
type applying struct {
	yes      bool
	override []string
	reason   string

	atOnce, supersedes, noWait bool
	soak, timeout              time.Duration
	signing                    signing
}

func newApplyCommand() *cobra.Command {
	var a applying
	cmd := &cobra.Command{
		Use:   "apply FILE|PLANFILE",
		Short: "Make the file what the controller's fabric is",
		Long: `Apply shows what the file would change, as plan does, asks, and makes it so. It is refused where the fabric was changed after you looked, and
where the proof fails, unless you override what it names and say why.

What "ropeway plan FILE --out PLANFILE" saved is applied exactly as it was looked at, without another question, or not at all: where the
fabric has changed since, apply says what came in between.

The change comes to the gateways in waves: one first, then one of each place, then the rest. A wave begins when all gateways of those before it are what
the plan says, well, and reach whom they reached before; where one is not, the fabric goes back by itself. Apply waits and shows how far it is; to leave
off waiting changes nothing. Exit code 1 where it went back.`,
		Example: `  ropeway apply shop.yaml                  # shows, asks, applies, and waits for the gateways
  ropeway apply shop.yaml --auto-approve   # where no person looks
  ropeway apply friday.plan                # what plan --out saved
  ropeway apply shop.yaml --at-once --reason "the office is cut off"`,
		Args: cobra.ExactArgs(1),
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return []string{"yaml", "yml", "plan"}, cobra.ShellCompDirectiveFilterFileExt
		},
	}
	a.flags(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error { return a.run(cmd, args[0]) }
	return cmd
}

func (a *applying) flags(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&a.yes, "auto-approve", false, "do not ask")
	cmd.Flags().StringSliceVar(&a.override, "override", nil, `apply in spite of these findings (codes, or "tests"); it is recorded`)
	cmd.Flags().StringVar(&a.reason, "reason", "", "why; it is recorded")
	cmd.Flags().BoolVar(&a.atOnce, "at-once", false, "give it to every gateway at once, without waves and without going back: for emergencies; it is recorded")
	cmd.Flags().BoolVar(&a.supersedes, "supersede", false, "end a rollout that is under way first, when you have agreed: its gateways go back")
	cmd.Flags().BoolVar(&a.noWait, "no-wait", false, "do not wait for the gateways")
	cmd.Flags().DurationVar(&a.soak, "soak", 0, "how long a wave that is well is looked at before the next one begins (default: as the controller does)")
	cmd.Flags().DurationVar(&a.timeout, "timeout", 0, "how long a wave waits for a gateway that was given the change (default: as the controller does)")
	a.signing.flags(cmd)
}

// maxAppliedFile is how much of a fabric file, or of a saved plan, which holds one in base64, is read, in bytes.
const maxAppliedFile = 2 * maxFabricFile

func (a *applying) run(cmd *cobra.Command, file string) error {
	text, err := files.Read(file, maxAppliedFile)
	if err != nil {
		return unreadable("fabric file", err)
	}
	w := wish{name: file, file: text}
	if proposal.IsSaved(text) {
		if w.saved, err = proposal.DecodeSaved(text); err != nil {
			return problem("RW7501", "saved plan "+console.Visible(file), err.Error(), "save it again: ropeway plan FILE --out PLANFILE")
		}
		w.name, w.file = w.saved.Name, w.saved.File
	}
	return talk(cmd, func(r *remote) error { return a.propose(cmd, r, w) })
}

// A wish is what the fabric shall be: a file, or that of an earlier revision.
type wish struct {
	name     string
	file     []byte
	rollback uint64
	renew    bool            // the newest revision's, signed anew
	saved    *proposal.Saved // nil: it was not looked at before
}

func (w *wish) preview() *ropewayv1.PreviewRequest {
	return &ropewayv1.PreviewRequest{File: w.file, Name: w.name, Rollback: w.rollback, Renew: w.renew}
}

// propose shows the difference, and applies it where the person agrees.
func (a *applying) propose(cmd *cobra.Command, r *remote, w wish) error {
	if a.supersedes {
		if goOn, err := a.supersede(cmd, r, w); err != nil || !goOn {
			return err
		}
	}
	seen, err := r.preview(cmd.Context(), w.preview())
	if err != nil {
		return err
	}
	if w.saved != nil {
		if err := r.sameAsSaved(cmd, w.saved, seen); err != nil {
			return err
		}
	}
	if w.renew && seen.toSign == nil {
		return say(cmd, "The controllers sign plans themselves: there is nothing to do.\n")
	}
	return a.settle(cmd, r, w, seen)
}

// settle applies what is shown, where the person agrees.
func (a *applying) settle(cmd *cobra.Command, r *remote, w wish, seen *shown) error {
	seen.asks = true
	if err := say(cmd, "%s", seen.text(styleOf(cmd, cmd.OutOrStdout()))); err != nil {
		return err
	}
	if len(seen.Unproven(a.override)) > 0 {
		return exitProof
	}
	if err := a.signing.ready(seen, a.yes); err != nil {
		return err
	}
	if !a.yes && w.saved == nil && seen.Changed {
		if ok, err := ask(cmd, "Apply this to the fabric?"); err != nil || !ok {
			return err
		}
	}
	signed, err := a.signing.sign(cmd, r, seen, !a.atOnce)
	if err != nil {
		return err
	}
	done, err := r.fabric.Apply(cmd.Context(), &ropewayv1.ApplyRequest{
		File: w.file, Name: w.name, Rollback: w.rollback, Base: seen.base, Override: a.override, Reason: a.reason,
		AtOnce: a.atOnce, Soak: durationpb.New(a.soak), Timeout: durationpb.New(a.timeout), Renew: w.renew, Seal: signed,
	})
	if connect.CodeOf(err) == connect.CodeAborted {
		return r.moved(cmd, seen.base)
	}
	if err != nil {
		return err
	}
	if signed != nil && done.Changed {
		if err := r.noteSigned(seen.toSign.Number); err != nil { // and not what the controller says
			return err
		}
	}
	if !done.Changed {
		return say(cmd, "The fabric is so already, at revision %d.\n", done.Revision)
	}
	if a.noWait {
		return say(cmd, "Revision %d is accepted. ropeway rollout status shows how far it is.\n", done.Revision)
	}
	return await(cmd, r, done.Revision)
}

// ask puts a question to the person at the terminal; anything but "yes" means no. Without a terminal nobody is asked, and nothing is done.
func ask(cmd *cobra.Command, question string) (bool, error) {
	if in, ok := cmd.InOrStdin().(*os.File); !ok || !term.IsTerminal(int(in.Fd())) {
		return false, problem("RW6001", "", "nobody is there to ask", "use --auto-approve where no person looks")
	}
	if err := say(cmd, "%s Only yes is taken for yes: ", console.Visible(question)); err != nil {
		return false, err
	}
	answer, err := bufio.NewReader(cmd.InOrStdin()).ReadString('\n')
	if err != nil || strings.TrimSpace(answer) != "yes" {
		return false, say(cmd, "Nothing was changed.\n")
	}
	return true, nil
}
