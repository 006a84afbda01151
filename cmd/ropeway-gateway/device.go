package main

import (
	"github.com/spf13/cobra"

	"ropeway/internal/wireguard"
)

// newDeviceCommand is the process of a userspace WireGuard device. The agent starts it; it outlives the agent.
func newDeviceCommand() *cobra.Command {
	return &cobra.Command{
		Use:    "device NAME",
		Short:  "Be the process of a userspace WireGuard device",
		Hidden: true,
		Args:   cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return wireguard.RunDevice(cmd.Context(), args[0], wireguard.RunOptions{})
		},
	}
}
