package main

import (
	"fmt"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"ropeway/internal/authority"
	"ropeway/internal/fabric"
	"ropeway/internal/files"
)

func newAuthorityCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "authority", Short: "Make an authority beforehand", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newAuthorityInitCommand(), newAuthorityTakeOutCommand())
	return cmd
}

func newAuthorityInitCommand() *cobra.Command {
	var data, name, planKey string
	cmd := &cobra.Command{
		Use:   "init --data DIR --fabric NAME",
		Short: "Make the authority of a fabric whose controllers begin together",
		Long: `Init makes what the first start of a single controller makes: the certificate authority and the key that signs plans, in the directory "authority" of
--data. Controllers that begin together (ropewayd serve --initial-cluster) share one: copy that directory to the same place on each of them, over a channel
where nobody reads along, with mode 0700, and keep no other copy.`,
		Args: cobra.NoArgs,
	}
	cmd.Flags().StringVar(&data, "data", "", "directory of a controller; made with mode 0700")
	cmd.Flags().StringVar(&name, "fabric", "", "name of the fabric, as in its file")
	planKeyFlag(cmd.Flags(), &planKey)
	_ = cmd.MarkFlagDirname("data")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if data == "" || !fabric.ValidName(name) {
			return problem("RW6001", "init needs a directory, and the fabric's name, which is a DNS label", "usage: "+cmd.UseLine())
		}
		if err := files.SecretDir(data); err != nil {
			return problem("RW7103", err.Error(), "check its owner, mode and file system")
		}
		if err := keepElsewhere(data, planKey); err != nil {
			return err
		}
		dir := filepath.Join(data, authorityDir)
		if _, err := authority.Open(dir, name, time.Now()); err != nil {
			return err
		}
		_, err := fmt.Fprintf(cmd.OutOrStdout(), "The authority of fabric %s is in %s. Copy that directory to every controller that begins with this one.\n", name, dir)
		return err
	}
	return cmd
}
