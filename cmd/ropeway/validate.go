package main

import (
	"github.com/spf13/cobra"

	"ropeway/internal/console"
	"ropeway/internal/diag"
	"ropeway/internal/files"
	"ropeway/internal/intent"
)

// A validation is what validate -o json prints.
type validation struct {
	OK       bool      `json:"ok"`
	File     string    `json:"file"`
	Problems diag.List `json:"problems"`
}

func newValidateCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "validate FILE",
		Short: "Check a fabric file",
		Long:  "Check a fabric file and report everything that is wrong with it, each with its code, place and what to do. docs/errors.md explains the codes.",
		Args:  cobra.ExactArgs(1), ValidArgsFunction: oneFile,
	}
	format := outputFlag(cmd, console.Text, console.JSON, console.YAML)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		text, err := files.Read(args[0], maxFabricFile)
		if err != nil {
			return unreadable("fabric file", err)
		}
		in, problems := intent.Read(args[0], text)
		if format.Format != console.Text {
			v := validation{in != nil, args[0], append(diag.List{}, problems...)}
			if err := console.Encode(cmd.OutOrStdout(), format.Format, v); err != nil || in != nil {
				return err
			}
			return exitError
		}
		if in == nil {
			return problems
		}
		w := cmd.ErrOrStderr()
		if err := console.Print(w, styleOf(cmd, w), problems); err != nil {
			return err
		}
		return say(cmd, "%s: fabric %s is valid: %s, %s, %s, %s\n", console.Visible(args[0]), in.Name,
			count(len(in.Places), "place"), count(len(in.Gateways()), "gateway"), count(len(in.Access), "access rule"), count(len(in.Tests), "test"))
	}
	return cmd
}
