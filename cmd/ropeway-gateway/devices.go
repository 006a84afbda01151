package main

import (
	"github.com/spf13/cobra"

	"ropeway/internal/wireguard"
)

// newDevicesCommand is the process of the userspace WireGuard devices. The agent starts it; it outlives the agent. An agent that is older than this
// executable calls it device.
func newDevicesCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "devices NAME",
		Aliases: []string{"device"},
		Short:   "Be the process of the userspace WireGuard devices",
		Hidden:  true,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return wireguard.RunDevices(cmd.Context(), args[0], wireguard.RunOptions{})
		},
	}
}
