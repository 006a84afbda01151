package main

import (
	"bytes"
	"fmt"

	"github.com/spf13/cobra"

	"ropeway/internal/compile"
	"ropeway/internal/console"
)

func newShowCommand() *cobra.Command {
	var changed bool
	cmd := &cobra.Command{
		Use:   "show [REVISION]",
		Short: "Print the file of a revision, or what the revision changed",
		Long: `Show prints the fabric file of a revision, byte for byte, the newest where none is named. With --plan it shows what the revision changed: in the file, on
every gateway, in who reaches what, and the proof of what it became.`,
		Example: `  ropeway show 12 >shop.yaml   # the file as it was
  ropeway show 12 --plan       # what revision 12 changed`,
		Args: cobra.MaximumNArgs(1), ValidArgsFunction: completeRevisions(1),
	}
	cmd.Flags().BoolVar(&changed, "plan", false, "show what it changed")
	format := outputFlag(cmd, console.Text, console.JSON, console.YAML)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		var number uint64
		if len(args) > 0 {
			var err error
			if number, err = parseRevision(args[0]); err != nil {
				return err
			}
		}
		return talk(cmd, func(r *remote) error {
			var c compile.Compiler
			v, err := r.version(cmd.Context(), number, &c)
			if err != nil {
				return err
			}
			if !changed {
				return v.print(cmd, format.Format)
			}
			last, err := r.before(cmd.Context(), v, &c)
			if err != nil {
				return err
			}
			return justShow(compareVersions(last, v).show(cmd, format.Format))
		})
	}
	cmd.AddCommand(newShowRouteCommand())
	return cmd
}

// print writes the file, or for programs the file with what is known of the revision.
func (v *version) print(cmd *cobra.Command, format console.Format) error {
	out := cmd.OutOrStdout()
	if format == console.Text {
		if _, err := bytes.NewReader(v.file).WriteTo(out); err != nil {
			return fmt.Errorf("write the file: %w", err)
		}
		return nil
	}
	return console.Encode(out, format, struct {
		revisionLine
		File string `json:"file"`
	}{v.row(), string(v.file)})
}

func newDiffCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "diff REVISION [REVISION]",
		Short: "Show how two revisions differ, and who gains and loses a path between them",
		Long: `Diff compares two revisions of the controller's fabric: how their files differ, and as plan does what differs on every gateway, who gains and loses
a path, and the proof of the second. The second is the newest unless you name one.

Exit 0 where they are the same but for words of the file, 2 where they differ, 3 where the proof of the second fails, 1 for an error.`,
		Example: `  ropeway diff 3 5
  ropeway diff 3     # what happened since`,
		Args: cobra.RangeArgs(1, 2), ValidArgsFunction: completeRevisions(2),
	}
	format := outputFlag(cmd, console.Text, console.JSON, console.YAML)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		numbers := make([]uint64, 2)
		for i, text := range args {
			var err error
			if numbers[i], err = parseRevision(text); err != nil {
				return err
			}
		}
		return talk(cmd, func(r *remote) error {
			var sides []*version
			for _, n := range numbers {
				v, err := r.version(cmd.Context(), n, new(compile.Compiler))
				if err != nil {
					return err
				}
				sides = append(sides, v)
			}
			return compareVersions(sides[0], sides[1]).show(cmd, format.Format)
		})
	}
	return cmd
}

// justShow takes away the exit code that tells of changes: what a revision changed is history.
func justShow(err error) error {
	if err == exitChanges || err == exitProof { //nolint:errorlint // show returns them bare
		return nil
	}
	return err
}
