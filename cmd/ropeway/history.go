package main

import (
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	ropewayv1 "ropeway/api/ropeway/v1"
	"ropeway/internal/console"
)

// A historyLine is a row of history.
type historyLine struct {
	revisionLine
	Changes []string `json:"changes"`
}

func newHistoryCommand() *cobra.Command {
	var limit uint32
	var before uint64
	cmd := &cobra.Command{
		Use: "history", Short: "Show what every revision changed, and who made it, the newest first",
		Long: `History lists the revisions of the fabric with what each changed on the gateways. "get revisions" is quicker, and lists them without that.`,
		Example: `  ropeway history
  ropeway history --before 120 --limit 50   # further back`,
		Args: cobra.NoArgs, ValidArgsFunction: cobra.NoFileCompletions,
	}
	cmd.Flags().Uint32Var(&limit, "limit", 20, "how many")
	cmd.Flags().Uint64Var(&before, "before", 0, "only those before this revision")
	format := outputFlag(cmd, console.TableFormat, console.Wide, console.JSON, console.YAML)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		lines := []historyLine{}
		var gone uint64
		err := talk(cmd, func(r *remote) error {
			answer, err := r.fabric.ListRevisions(cmd.Context(), &ropewayv1.ListRevisionsRequest{Limit: limit, Before: before})
			if err != nil {
				return err
			}
			gone = answer.Pruned
			slices.Reverse(answer.Revisions)
			list, err := r.withChanges(cmd.Context(), answer.Revisions)
			slices.Reverse(list)
			for _, v := range list {
				lines = append(lines, historyLine{v.row(), v.changes})
			}
			return err
		})
		if err != nil {
			return err
		}
		err = console.Show(cmd.OutOrStdout(), styleOf(cmd, cmd.OutOrStdout()), format.Format, lines, func() *console.Table { return historyTable(lines) })
		if err == nil && gone > 0 && uint32(len(lines)) < limit && format.Format != console.JSON && format.Format != console.YAML { //nolint:gosec // a page
			return say(cmd, "Revisions up to %d were old, and are gone; ropeway audit list tells of them.\n", gone)
		}
		return err
	}
	return cmd
}

func historyTable(lines []historyLine) *console.Table {
	t := &console.Table{Columns: []console.Column{
		{Title: "REVISION"}, {Title: "AT"}, {Title: "AUTHOR"}, {Title: "BY"}, {Title: "CHANGED"}, {Title: "OVERRIDES"}, {Title: "REASON"},
	}}
	for _, l := range lines {
		t.Rows = append(t.Rows, []string{
			number(l.Number), l.At.Format(time.RFC3339), console.Visible(l.Author), l.Kind, strings.Join(l.Changes, "; "),
			console.Visible(strings.Join(l.Override, ", ")), console.Visible(l.Reason),
		})
	}
	return t
}
