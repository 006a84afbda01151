// Command ropewayd is the controller: it keeps a fabric, proves its changes, and hands every gateway its plan.
//
// There is a file per command; all of the work is in internal/controller and what it stands on.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"ropeway/internal/diag"
	"ropeway/internal/logs"
	"ropeway/internal/store"
)

func main() { os.Exit(run()) }

func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, unix.SIGTERM)
	defer stop()
	if err := newRootCommand().ExecuteContext(ctx); err != nil {
		_, _ = fmt.Fprintln(os.Stderr, logs.Printable(coded(err).Error()))
		return 1
	}
	return 0
}

// coded gives an error a code where it has none.
func coded(err error) error {
	err = store.Explained(err)
	var p diag.Problem
	if errors.As(err, &p) {
		return err
	}
	return problem("RW6000", err.Error(), "")
}

func problem(code diag.Code, message, hint string) diag.Problem {
	return diag.Problem{Code: code, Severity: diag.Error, Message: message, Hint: hint}
}

func newRootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "ropewayd",
		Short: "Keep a fabric, and hand every gateway its plan",
		Long: `ropewayd is the controller of a fabric. It takes changes from people ("ropeway apply"), proves them, remembers them in a store of its own, and
hands every gateway that is enrolled its plan. No packet waits for it: gateways go on without a controller, for any length of time.`,
		Example: `  ropewayd serve --data /var/lib/ropewayd --fabric shop   # under systemd, usually; the first start says how to log in
  ropewayd serve --data /var/lib/ropewayd --fabric shop --controller euw1 --peer-url https://10.20.0.5:2380 \
    --join https://ctl.example.net:8443 --token -           # one more controller of the same fabric
  ropewayd restore shop.backup --data /var/lib/ropewayd --fabric shop --key backup.key`,

		SilenceUsage: true, SilenceErrors: true,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return problem("RW6001", err.Error(), cmd.CommandPath()+" --help lists the flags")
	})
	root.AddCommand(newServeCommand(), newAuthorityCommand(), newRestoreCommand(), newBackupKeyCommand(), newVersionCommand())
	return root
}
