package main

import (
	"github.com/spf13/cobra"

	"ropeway/internal/fabric"
)

func newSchemaCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "schema",
		Short: "Print the JSON Schema of the fabric file, for editors",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return say(cmd, "%s", fabric.Schema())
		},
	}
}
