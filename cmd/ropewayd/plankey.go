package main

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"ropeway/internal/authority"
	"ropeway/internal/files"
	"ropeway/internal/plankey"
)

func planKeyFlag(flags *pflag.FlagSet, text *string) {
	flags.StringVar(text, "plan-key", "", "public half of the key that signs plans, or a file that holds it, where it is kept outside the controllers; at the first start (default: the controllers sign)")
}

// maxPlanKey bounds the file of a public key, in bytes.
const maxPlanKey = 16 << 10

// keepElsewhere has the authority in a data directory sign no plans, where somebody else's key was named.
func keepElsewhere(data, planKey string) error {
	if planKey == "" {
		return nil
	}
	text := []byte(planKey)
	if read, err := files.Read(planKey, maxPlanKey); err == nil {
		text = read
	} else if !errors.Is(err, fs.ErrNotExist) && strings.Contains(planKey, "/") {
		return problem("RW6001", "--plan-key: "+err.Error(), "name a file that can be read, or give its line")
	}
	public, err := plankey.Public(text)
	if err != nil {
		return problem("RW6001", "--plan-key: "+err.Error(), "give a line as ssh-add -L prints it, or the file that holds it")
	}
	return authority.KeepElsewhere(filepath.Join(data, authorityDir), public)
}

func newAuthorityTakeOutCommand() *cobra.Command {
	var data, out string
	cmd := &cobra.Command{
		Use:   "take-out --data DIR --out FILE",
		Short: "Take the key that signs plans out of a controller",
		Long: `Take-out moves the key that signs plans into a file, for whoever shall sign in place of the controllers, and leaves its public half. Gateways have
pinned that, so nothing changes for them. Stop the controller before. Where several share the authority, do it with each, with the same file or another one,
and keep one copy. Afterwards "ropeway apply" signs, with --signer file:FILE; what was in force is to be signed once: ropeway sign.

The file system may keep what was in a file that is removed. Where that is too little, begin with a key that never was in a controller: serve --plan-key.`,
		Args: cobra.NoArgs,
	}
	cmd.Flags().StringVar(&data, "data", "", "directory of a controller that is stopped")
	cmd.Flags().StringVar(&out, "out", "", "file for the key; made with mode 0600")
	_ = cmd.MarkFlagDirname("data")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if data == "" || out == "" {
			return problem("RW6001", "take-out needs a directory and a file", "usage: "+cmd.UseLine())
		}
		public, err := authority.TakeOut(filepath.Join(data, authorityDir), out)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(cmd.OutOrStdout(), "The key that signs plans is in %s, and no more in %s. Its public half:\n\n  %s\n\nSign what is in force: ropeway sign --signer file:%s\n",
			out, data, plankey.Line(public), out)
		return err
	}
	return cmd
}
