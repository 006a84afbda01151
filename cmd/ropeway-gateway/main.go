// Command ropeway-gateway is the agent on a gateway: it makes the machine what its plan says and keeps it so.
//
// It is small and needs nothing but the kernel: no shell, no wg, ip or nft command. There is a file per command; all of the work
// is in internal/agent.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"ropeway/internal/agent"
	"ropeway/internal/diag"
	"ropeway/internal/logs"
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
		Use:   "ropeway-gateway",
		Short: "Make this machine the gateway that its plan describes",
		Long: `ropeway-gateway makes this machine what the plan of its gateway says (WireGuard devices, routes, nftables, kernel settings,
BGP), and keeps it so. It can be stopped or killed at any moment: everything goes on forwarding, and the next start goes on from there.`,
		Example: `  ropeway-gateway key                                    # the public key of this gateway, for: ropeway keys add
  ropeway-gateway run --plan /etc/ropeway/plan.json      # under systemd, usually
  ropeway-gateway run --plan plan.json --dry-run         # what would change?
  ropeway-gateway status
  ropeway-gateway drain                                  # lead traffic around this machine, before work on it
  ropeway-gateway down                                   # take everything of Ropeway's away`,
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          cobra.NoArgs,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return problem("RW6001", err.Error(), cmd.CommandPath()+" --help lists the flags")
	})
	root.AddCommand(newRunCommand(), newKeyCommand(), newStatusCommand(), newNeighborsCommand(), newRoutesCommand(), newDrainCommand(), newUndrainCommand(),
		newDownCommand(), newVersionCommand(), newDevicesCommand(), newEnrollCommand())
	explainArguments(root)
	return root
}

// explainArguments gives every complaint about arguments its code and the line that says what is wanted.
func explainArguments(cmd *cobra.Command) {
	check := cmd.Args
	cmd.Args = func(c *cobra.Command, args []string) error {
		if err := check(c, args); err != nil {
			return problem("RW6001", err.Error(), "usage: "+c.UseLine())
		}
		return nil
	}
	for _, child := range cmd.Commands() {
		explainArguments(child)
	}
}

// dirs are the flags that say where an agent has its directories.
type dirs struct{ state, run string }

func (d *dirs) addState(cmd *cobra.Command) {
	cmd.Flags().StringVar(&d.state, "state", agent.DefaultState, "directory of the private keys and the last good plan")
	_ = cmd.MarkFlagDirname("state")
}

func (d *dirs) addRun(cmd *cobra.Command) {
	cmd.Flags().StringVar(&d.run, "run", agent.DefaultRun, "directory of the lock, the status socket and the logs of devices")
	_ = cmd.MarkFlagDirname("run")
}
