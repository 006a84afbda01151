package main

import "github.com/spf13/cobra"

func newSignCommand() *cobra.Command {
	var a applying
	cmd := &cobra.Command{
		Use:   "sign",
		Short: "Sign the fabric anew, where its plans are signed outside the controllers",
		Long: `Sign makes a new revision of the file that is in force, signed by you. It takes in the keys of gateways that enrolled since the last one and
leaves out those of gateways that were put out, and it is what a fabric needs that was restored from a backup, that went back by itself, or whose controllers
compile it to something else since they were upgraded. Nothing that a controller says is believed: what changes is worked out, proven and shown here, and
the keys of gateways that you did not sign before are for you to compare.

Where the controllers sign plans themselves there is nothing to do.`,
		Example: "  ropeway sign --signer ssh-agent:fabric\n  ropeway sign --signer file:plans.key --auto-approve --vouch use1-a=…",
		Args:    cobra.NoArgs, ValidArgsFunction: cobra.NoFileCompletions,
	}
	a.flags(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return talk(cmd, func(r *remote) error { return a.propose(cmd, r, wish{name: "the newest revision", renew: true}) })
	}
	return cmd
}
