package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"ropeway/internal/console"
	"ropeway/internal/fabric"
	"ropeway/internal/files"
)

// defaultFile is the fabric file of commands that need not be told.
const defaultFile = "fabric.yaml"

func newInitCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "init [FILE]",
		Short: "Write a commented fabric file to start from",
		Long:  "Write a commented fabric file to start from, " + defaultFile + " where none is named. A file that exists is left alone.",
		Args:  cobra.MaximumNArgs(1), ValidArgsFunction: oneFile,
		RunE: func(cmd *cobra.Command, args []string) error {
			file := defaultFile
			if len(args) == 1 {
				file = args[0]
			}
			if err := files.Create(file, fabric.Starter(), 0o644); err != nil {
				return unwritable("fabric file", err)
			}
			return say(cmd, "Wrote %s. Edit it, then: ropeway validate %[1]s\n", console.Visible(file))
		},
	}
}

// say prints to standard output.
func say(cmd *cobra.Command, format string, args ...any) error {
	if _, err := fmt.Fprintf(cmd.OutOrStdout(), format, args...); err != nil {
		return fmt.Errorf("write the output: %w", err)
	}
	return nil
}
