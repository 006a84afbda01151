package main

import (
	"errors"
	"os/exec"
	"time"

	"github.com/spf13/cobra"
)

func newGatewayCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "gateway", Short: "Drain a gateway of a lab, and take that back", Args: cobra.NoArgs,
		Long: `Lead traffic around a gateway before somebody works on it, and let it come back. It is done on the gateway itself: in a lab from here, elsewhere there,
by "ropeway-gateway drain".`,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newGatewayDrainCommand(), newGatewayUndrainCommand())
	return cmd
}

func newGatewayDrainCommand() *cobra.Command {
	var wait time.Duration
	cmd := &cobra.Command{
		Use: "drain NAME", Short: "Lead traffic around a gateway, and wait until it is quiet", Args: cobra.ExactArgs(1), ValidArgsFunction: completeMachines,
		Long: `Drain has the gateway ask every neighbour to use others, and keeps it so until undrain. Who has no other goes on using it. It then waits until nothing was
forwarded for two seconds.

Exit 0 where the gateway is quiet, 1 where it is not in time, or cannot be drained: with static routes nobody can be asked.`,
		Example: "  ropeway gateway drain use1-a --lab",
	}
	overLab(cmd)
	cmd.Flags().DurationVar(&wait, "wait", 30*time.Second, "how long it may take to be quiet; 0 does not wait")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return runOnGateway(cmd, args[0], "drain", "--wait", wait.String())
	}
	return cmd
}

func newGatewayUndrainCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "undrain NAME", Short: "Let traffic use a gateway again", Args: cobra.ExactArgs(1), ValidArgsFunction: completeMachines, Long: "Undrain takes back what drain did.",
		Example: "  ropeway gateway undrain use1-a --lab",
	}
	overLab(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error { return runOnGateway(cmd, args[0], "undrain") }
	return cmd
}

// runOnGateway runs ropeway-gateway on a gateway of a lab. What it says and its exit code are this command's.
func runOnGateway(cmd *cobra.Command, gateway, what string, flags ...string) error {
	l, err := theLab(cmd, "ropeway-gateway "+what)
	if err != nil {
		return err
	}
	machine, err := l.FindGateway(gateway)
	if err != nil {
		return err
	}
	run := exec.CommandContext(cmd.Context(), "ropeway-gateway", append([]string{what}, flags...)...) //nolint:gosec // the lab's own
	run.Stdout, run.Stderr = cmd.OutOrStdout(), cmd.ErrOrStderr()
	err = l.Run(machine, run)
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exitCode(max(exit.ExitCode(), 1))
	}
	return err
}
