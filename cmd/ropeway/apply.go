package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	ropewayv1 "ropeway/api/ropeway/v1"
	"ropeway/internal/console"
	"ropeway/internal/files"
	"ropeway/internal/proposal"
)

// applying is what the flags of apply say.
type applying struct {
	yes      bool
	override []string
	reason   string
}

func newApplyCommand() *cobra.Command {
	var a applying
	cmd := &cobra.Command{
		Use:   "apply FILE",
		Short: "Make the file what the controller's fabric is",
		Long: `Apply shows what the file would change (as plan does, but against the fabric that the controller keeps), asks, and makes it so. It is refused
where the fabric was changed after you looked, and where the proof fails, unless you override what it names and say why.`,
		Args: cobra.ExactArgs(1), ValidArgsFunction: oneFile,
	}
	cmd.Flags().BoolVar(&a.yes, "auto-approve", false, "do not ask")
	cmd.Flags().StringSliceVar(&a.override, "override", nil, `apply in spite of these findings (codes, or "tests"); it is recorded`)
	cmd.Flags().StringVar(&a.reason, "reason", "", "why; it is recorded")
	cmd.RunE = func(cmd *cobra.Command, args []string) error { return a.run(cmd, args[0]) }
	return cmd
}

func (a *applying) run(cmd *cobra.Command, file string) error {
	text, err := files.Read(file, maxFabricFile)
	if err != nil {
		return unreadable("fabric file", err)
	}
	return talk(cmd, func(r *remote) error { return a.propose(cmd, r, file, text) })
}

// propose shows the difference, and applies it where the person agrees.
func (a *applying) propose(cmd *cobra.Command, r *remote, file string, text []byte) error {
	seen, err := r.fabric.Preview(cmd.Context(), &ropewayv1.PreviewRequest{File: text, Name: file})
	if err != nil {
		return err
	}
	p := &shown{Proposal: &proposal.Proposal{}, file: file, remote: true}
	if err := json.Unmarshal(seen.Proposal, p.Proposal); err != nil {
		return fmt.Errorf("read the controller's answer: %w", err)
	}
	if err := say(cmd, "%s", p.text(styleOf(cmd, cmd.OutOrStdout()))); err != nil {
		return err
	}
	switch {
	case len(p.Unproven(a.override)) > 0:
		return exitProof
	case !a.yes && seen.Changed:
		if ok, err := ask(cmd, "Apply this to the fabric?"); err != nil || !ok {
			return err
		}
	}
	done, err := r.fabric.Apply(cmd.Context(), &ropewayv1.ApplyRequest{File: text, Name: file, Base: seen.Base, Override: a.override, Reason: a.reason})
	if err != nil {
		return err
	}
	if !done.Changed {
		return say(cmd, "The fabric is so already, at revision %d.\n", done.Revision)
	}
	return say(cmd, "Revision %d is in force. ropeway get gateways shows who follows it.\n", done.Revision)
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
