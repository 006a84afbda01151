package main

import (
	"fmt"

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
		out, info := cmd.OutOrStdout(), build.Read()
		if format.Format != console.Text {
			return console.Encode(out, format.Format, info)
		}
		if _, err := fmt.Fprintln(out, "ropeway", info); err != nil {
			return fmt.Errorf("write the version: %w", err)
		}
		return nil
	}
	return cmd
}
