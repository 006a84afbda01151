package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"ropeway/internal/identity"
)

func newKeyCommand() *cobra.Command {
	var d dirs
	var device string
	cmd := &cobra.Command{
		Use:   "key",
		Short: "Print the public key of this gateway, and make its private key if there is none",
		Long: `Key prints the public key of this gateway, to be given to: ropeway keys add GATEWAY PUBKEY. Where there is no private key yet
it is made, in a file that only its owner can read. It never leaves this machine. All devices of a gateway have this one key, but a device
for which there is a file STATE/keys/DEVICE.key has the key in that.`,
		Args: cobra.NoArgs,
	}
	d.addState(cmd)
	cmd.Flags().StringVar(&device, "device", identity.Gateway, "the device whose key it is")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		private, err := identity.In(d.state).OfOrMake(device)
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintln(cmd.OutOrStdout(), private.Public()); err != nil {
			return fmt.Errorf("write the public key: %w", err)
		}
		return nil
	}
	return cmd
}
