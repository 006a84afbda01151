package main

import (
	"github.com/spf13/cobra"

	"ropeway/internal/agent"
)

func newDownCommand() *cobra.Command {
	var d dirs
	cmd := &cobra.Command{
		Use:   "down",
		Short: "Take away everything of Ropeway's on this machine, and nothing else",
		Long: `Down ends the routing daemon and removes the routes, devices, device processes and the nftables table that Ropeway made, and puts kernel settings back to
what they were. It needs no plan, works after a crash, and does nothing where there is nothing. Keys and the last good plan stay.
It is refused while an agent runs.`,
		Args: cobra.NoArgs,
	}
	d.addState(cmd)
	d.addRun(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return agent.Remove(cmd.Context(), agent.Options{State: d.state, Run: d.run, Daemons: daemonsIn(d.run)})
	}
	return cmd
}
