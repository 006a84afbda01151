package main

import (
	"github.com/spf13/cobra"

	"ropeway/internal/build"
	"ropeway/internal/console"
)

func newVersionCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Say which build this is",
		Args:  cobra.NoArgs,
	}
	format := outputFlag(cmd, console.Text, console.JSON, console.YAML)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return build.Print(cmd.OutOrStdout(), "ropeway", format.Format)
	}
	return cmd
}
