package main

import (
	"context"
	"io"
	"os"

	"github.com/spf13/cobra"

	"ropeway/internal/bgp"
	"ropeway/internal/console"
	"ropeway/internal/lab"
)

// A lookout asks gateways for what they alone know. There are two: the controllers that somebody is logged in to pass on what he asks, and in a lab without
// controllers every gateway is asked itself.
type lookout interface {
	// fabric returns what runs, without the routes.
	fabric(ctx context.Context) (*liveFabric, error)
	// sessions returns those of one gateway, or of all for "". It tells on standard error of whom it does not know.
	sessions(ctx context.Context, gateway string) ([]sessionLine, error)
	// routes returns the routes of every gateway that answers: what of stands for, as bgp.Select has it, or only those of it that carry packets. It tells on
	// standard error of whom it does not know.
	routes(ctx context.Context, of string, best bool) (map[string][]bgp.Route, error)
}

// asksGateways lets a command ask gateways: see lookAt.
func asksGateways(cmd *cobra.Command) {
	cmd.Flags().String("lab", "", "ask the gateways of this `lab` on this machine, by way of its controllers where it has some: a name or a fabric file; the only one if neither is said")
	cmd.Flags().Lookup("lab").NoOptDefVal = onlyLab
	_ = cmd.RegisterFlagCompletionFunc("lab", completeLabs)
	cmd.PersistentPreRunE = func(*cobra.Command, []string) error { return nil } // not on the operator's machine, as the parent would: it may be that there is none
}

// labOf returns the lab whose gateways are to be asked themselves; nil where controllers are. Where a lab has controllers, the command runs on the machine of
// its operator, and what that came to is the error.
func labOf(cmd *cobra.Command) (*lab.Lab, error) {
	name, _ := cmd.Flags().GetString("lab")
	if name == "" || os.Getenv(lab.MachineVariable) != "" {
		return nil, nil
	}
	var args []string
	if name != onlyLab {
		args = []string{name}
	}
	l, err := openLab(cmd, args)
	if err == nil && l.Governed() {
		return nil, runInLab(cmd, l.Name)
	}
	return l, err
}

// lookAt shows something that gateways know, once, or again and again until interrupted.
func lookAt(cmd *cobra.Command, watch bool, picture func(context.Context, lookout, console.Style, io.Writer) error) error {
	l, err := labOf(cmd)
	switch {
	case err != nil:
		return err
	case l != nil && watch:
		return problem("RW6001", "", "a lab without controllers cannot be watched", "leave out --watch, or bring the lab up with --controllers 1")
	case l != nil:
		out := cmd.OutOrStdout()
		return picture(cmd.Context(), labLookout{cmd, l}, styleOf(cmd, out), out)
	}
	return look(cmd, watch, func(ctx context.Context, v *viewer) (string, error) {
		return render(cmd, func(s console.Style, w *page) error { return picture(ctx, fabricLookout{v}, s, w) })
	})
}
