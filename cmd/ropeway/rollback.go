package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

func newRollbackCommand() *cobra.Command {
	var a applying
	cmd := &cobra.Command{
		Use:   "rollback REVISION",
		Short: "Make the file of an earlier revision the fabric again",
		Long: `Rollback makes a new revision with the file of an earlier one. It shows what that changes, proves it and asks, as apply does, and is refused for
the same reasons. Keys that gateways brought since then stay.`,
		Example: "  ropeway rollback 11 --reason \"hq lost its printers\"",
		Args:    cobra.ExactArgs(1), ValidArgsFunction: completeRevisions(1),
	}
	a.flags(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		n, err := parseRevision(args[0])
		if err != nil {
			return err
		}
		return talk(cmd, func(r *remote) error {
			return a.propose(cmd, r, wish{name: fmt.Sprintf("revision-%d.yaml", n), rollback: n})
		})
	}
	return cmd
}
