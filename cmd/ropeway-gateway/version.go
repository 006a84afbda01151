package main

import (
	"os"

	"github.com/spf13/cobra"

	"ropeway/internal/build"
	"ropeway/internal/console"
)

func newVersionCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "version", Short: "Say which build this is", Args: cobra.NoArgs}
	format := outputFlag(cmd, console.Text, console.JSON, console.YAML)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return build.Print(cmd.OutOrStdout(), "ropeway-gateway", format.Format)
	}
	return cmd
}

// outputFlag adds -o to a command; the first format is the default.
func outputFlag(cmd *cobra.Command, formats ...console.Format) *console.Choice {
	choice := console.Choose(formats...)
	cmd.Flags().VarP(choice, "output", "o", "output format: "+choice.Usage())
	names := make([]string, len(formats))
	for i, f := range formats {
		names[i] = string(f)
	}
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(names, cobra.ShellCompDirectiveNoFileComp))
	return choice
}

// show writes a value for programs, or its table for people.
func show(cmd *cobra.Command, format *console.Choice, value any, table func() *console.Table) error {
	out := cmd.OutOrStdout()
	return console.Show(out, console.StyleFor(console.Auto, out, os.Getenv), format.Format, value, table)
}
