package main

import (
	"errors"
	"os"
	"os/exec"

	"github.com/spf13/cobra"

	"ropeway/internal/lab"
	"ropeway/internal/lab/world"
)

// onlyLab is what --lab means without a name.
const onlyLab = "auto"

// speakInLab lets a command speak to the controllers of a lab. Only machines of the lab reach them, so this very command line is run again on the
// operator's, who is logged in.
func speakInLab(cmd *cobra.Command) {
	name := cmd.PersistentFlags().String("lab", "", "speak to the controllers of this `lab` on this machine, as its operator: a name or a fabric file; the only one if neither is said")
	cmd.PersistentFlags().Lookup("lab").NoOptDefVal = onlyLab
	_ = cmd.RegisterFlagCompletionFunc("lab", completeLabs)
	cmd.PersistentPreRunE = func(cmd *cobra.Command, _ []string) error {
		if *name == "" || os.Getenv(lab.MachineVariable) != "" { // it runs there already
			return nil
		}
		return runInLab(cmd, *name)
	}
}

// runInLab runs this command line on the operator's machine of a lab and ends with its exit code. What it changed moves the lab.
func runInLab(cmd *cobra.Command, name string) error {
	var args []string
	if name != onlyLab {
		args = []string{name}
	}
	l, err := openLab(cmd, args)
	if err != nil {
		return err
	}
	operator, err := l.Find(world.OperatorSpace)
	if err != nil {
		return problem("RW5017", "lab "+l.Name, "it was brought up without controllers", "ropeway lab up FILE --controllers 1")
	}
	ctx, stop := alone()
	defer stop()
	run := exec.CommandContext(ctx, "ropeway", os.Args[1:]...) //nolint:gosec // this very command line
	run.Stdin, run.Stdout, run.Stderr = os.Stdin, cmd.OutOrStdout(), cmd.ErrOrStderr()
	err = l.Run(operator, run)
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		return exitCode(max(exit.ExitCode(), 1))
	case err != nil:
		return err
	}
	if _, err := l.Follow(cmd.Context()); err != nil {
		return err
	}
	return exitCode(0) // all was said and done over there
}
