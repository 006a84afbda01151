package main

import (
	"github.com/spf13/cobra"

	"ropeway/internal/build"
	"ropeway/internal/console"
)

func newVersionCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "version", Short: "Say which build this is", Args: cobra.NoArgs}
	format := console.Choose(console.Text, console.JSON, console.YAML)
	cmd.Flags().VarP(format, "output", "o", "output format: "+format.Usage())
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return build.Print(cmd.OutOrStdout(), "ropewayd", format.Format)
	}
	return cmd
}
