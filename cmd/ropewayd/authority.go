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
	var data, name, planKey, caCert, caKey string
	cmd := &cobra.Command{
		Use:   "init --data DIR --fabric NAME",
		Short: "Make the authority of a fabric whose controllers begin together",
		Long: `Init makes what the first start of a single controller makes: the certificate authority and the key that signs plans, in the directory "authority" of
--data. Controllers that begin together (ropewayd serve --initial-cluster) share one: copy that directory to the same place on each of them, over a channel
where nobody reads along, with mode 0700, and keep no other copy.

--ca-cert and --ca-key take a certificate authority from elsewhere, such as an intermediate of your company's root: whoever trusts that root then trusts the
controllers' certificates. Have it made for this fabric alone, with the common name "Ropeway authority of NAME", ECDSA P-256, pathlen:0, and name constraints that
permit nothing but the controllers' names: a controller that is taken over could be any other server to those who trust the root. --ca-cert holds the CA's
certificate and then those above it. Gateways and people of the fabric know the key by its pin, and nothing that the root says of it counts for them. Keep no other
copy of the key, either: whoever has it can be anybody in the fabric.`,
		Args: cobra.NoArgs,
	}
	cmd.Flags().StringVar(&data, "data", "", "directory of a controller; made with mode 0700")
	cmd.Flags().StringVar(&name, "fabric", "", "name of the fabric, as in its file")
	planKeyFlag(cmd.Flags(), &planKey)
	cmd.Flags().StringVar(&caCert, "ca-cert", "", "file of the certificate of a CA to take, and of those above it (PEM)")
	cmd.Flags().StringVar(&caKey, "ca-key", "", "file of its key (PEM, mode 0600)")
	cmd.MarkFlagsRequiredTogether("ca-cert", "ca-key")
	_ = cmd.MarkFlagDirname("data")
	_ = cmd.MarkFlagFilename("ca-cert")
	_ = cmd.MarkFlagFilename("ca-key")
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
		if caCert != "" {
			if err := authority.TakeCA(dir, name, caCert, caKey, time.Now()); err != nil {
				return err
			}
		}
		if _, err := authority.Open(dir, name, time.Now()); err != nil {
			return err
		}
		_, err := fmt.Fprintf(cmd.OutOrStdout(), "The authority of fabric %s is in %s. Copy that directory to every controller that begins with this one.\n", name, dir)
		return err
	}
	return cmd
}
