package main

import (
	"errors"
	"net/http"
	"os/exec"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/durationpb"

	ropewayv1 "ropeway/api/ropeway/v1"
	"ropeway/api/ropeway/v1/ropewayv1connect"
	"ropeway/internal/console"
	"ropeway/internal/lab"
)

func newGatewayCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "gateway", Short: "Drain a gateway, and take that back", Args: cobra.NoArgs,
		Long: `Lead traffic around a gateway before somebody works on it, and let it come back. Its controller passes that on to it while it is connected; on the gateway itself
"ropeway-gateway drain" does the same.`,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newGatewayDrainCommand(), newGatewayUndrainCommand())
	return cmd
}

// mostDrainWait is how long controllers let somebody wait for a gateway to be quiet.
const mostDrainWait = 90 * time.Second

func newGatewayDrainCommand() *cobra.Command {
	var wait time.Duration
	cmd := &cobra.Command{
		Use: "drain NAME", Short: "Lead traffic around a gateway, and wait until it is quiet", Args: cobra.ExactArgs(1), ValidArgsFunction: completeGatewayNames,
		Long: `Drain has the gateway ask every neighbour to use others, and keeps it so, across restarts and reboots, until undrain. Who has no other goes on using it. It then
waits until nothing was forwarded for two seconds.

Where the command, the controller or the connection ends before the answer is there, the gateway may be drained or not: "ropeway status" says which, and to drain it
again does no harm.

Exit 0 where the gateway is quiet, 1 where it is not in time, or cannot be drained: with static routes nobody can be asked.`,
		Example: "  ropeway gateway drain use1-a\n  ropeway gateway drain use1-a --lab",
	}
	asksGateways(cmd)
	cmd.Flags().DurationVar(&wait, "wait", 30*time.Second, "how long it may take to be quiet, "+mostDrainWait.String()+" at most; 0 does not wait")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if wait < 0 || wait > mostDrainWait {
			return problem("RW6001", "", "--wait is from 0 to "+mostDrainWait.String(), "to wait longer, drain it again: it stays drained meanwhile")
		}
		l, err := labOf(cmd)
		if err != nil {
			return err
		}
		if l != nil {
			return runOnGateway(cmd, l, args[0], "drain", "--wait", wait.String())
		}
		return talk(cmd, func(r *remote) error { return r.drain(cmd, args[0], wait) })
	}
	return cmd
}

func newGatewayUndrainCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "undrain NAME", Short: "Let traffic use a gateway again", Args: cobra.ExactArgs(1), ValidArgsFunction: completeGatewayNames,
		Long: "Undrain takes back what drain did.", Example: "  ropeway gateway undrain use1-a\n  ropeway gateway undrain use1-a --lab",
	}
	asksGateways(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		l, err := labOf(cmd)
		if err != nil {
			return err
		}
		if l != nil {
			return runOnGateway(cmd, l, args[0], "undrain")
		}
		return talk(cmd, func(r *remote) error { return r.undrain(cmd, args[0]) })
	}
	return cmd
}

// drain has a gateway drained, and says what it says itself.
func (r *remote) drain(cmd *cobra.Command, gateway string, wait time.Duration) error {
	var answer *ropewayv1.DrainResponse
	err := r.wherever(func(client *http.Client, server string) (err error) {
		answer, err = ropewayv1connect.NewRoutingServiceClient(client, server).Drain(cmd.Context(), &ropewayv1.DrainRequest{Gateway: gateway, Wait: durationpb.New(wait)})
		return err
	})
	switch {
	case err != nil:
		return err
	case wait == 0:
		return say(cmd, "drained; whether it is quiet nobody has looked\n")
	case !answer.Drained.GetQuiet():
		return problem("RW4019", "gateway "+gateway, console.Visible(answer.Drained.GetText()), "it stays drained; ropeway gateway undrain takes that back")
	}
	return say(cmd, "%s\n", console.Visible(answer.Drained.GetText()))
}

func (r *remote) undrain(cmd *cobra.Command, gateway string) error {
	said := "it was not drained"
	err := r.wherever(func(client *http.Client, server string) error {
		answer, err := ropewayv1connect.NewRoutingServiceClient(client, server).Undrain(cmd.Context(), &ropewayv1.UndrainRequest{Gateway: gateway})
		if answer.GetLifted() {
			said = "undrained"
		}
		return err
	})
	if err != nil {
		return err
	}
	return say(cmd, "%s\n", said)
}

// runOnGateway runs ropeway-gateway on a gateway of a lab. What it says and its exit code are this command's.
func runOnGateway(cmd *cobra.Command, l *lab.Lab, gateway, what string, flags ...string) error {
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

// completeGatewayNames offers the gateways of a lab where one is named, and else of the controller's fabric.
func completeGatewayNames(cmd *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
	if cmd.Flags().Changed("lab") {
		return completeMachines(cmd, args, typed)
	}
	return completeRemote(1, completeRemoteGateways)(cmd, args, typed)
}
