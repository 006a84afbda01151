package main

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"ropeway/internal/agent"
	"ropeway/internal/console"
)

// usualWait is how long a gateway may take to be quiet.
const usualWait = 30 * time.Second

func newDrainCommand() *cobra.Command {
	var d dirs
	var wait time.Duration
	cmd := &cobra.Command{
		Use:   "drain",
		Short: "Lead traffic around this gateway, and wait until it is quiet",
		Long: `Drain has the routing daemon ask every neighbour to use other gateways, and keeps it so, across restarts and reboots, until "ropeway-gateway undrain".
Who has no other gateway goes on using this one. It then waits until nothing was forwarded for two seconds.

Exit 0 where the gateway is quiet, 1 where it is not in time, or cannot be drained: with static routes nobody can be asked.`,
		Args: cobra.NoArgs,
	}
	d.addRun(cmd)
	cmd.Flags().DurationVar(&wait, "wait", usualWait, "how long it may take to be quiet; 0 does not wait")
	format := outputFlag(cmd, console.Text, console.JSON, console.YAML)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		out, err := agent.AskDrain(cmd.Context(), d.run, wait)
		if err != nil {
			return err
		}
		w := cmd.OutOrStdout()
		switch {
		case format.Format != console.Text:
			err = console.Encode(w, format.Format, out)
		case wait <= 0:
			_, err = fmt.Fprintln(w, "drained; whether it is quiet nobody has looked")
		case out.Quiet:
			_, err = fmt.Fprintln(w, out.Text())
		}
		if wait > 0 && !out.Quiet {
			err = errors.Join(problem("RW4019", out.Text(), "it stays drained; ropeway-gateway undrain takes that back"), err)
		}
		return err
	}
	return cmd
}

func newUndrainCommand() *cobra.Command {
	var d dirs
	cmd := &cobra.Command{
		Use: "undrain", Short: "Let traffic use this gateway again", Args: cobra.NoArgs,
		Long: `Undrain takes back what "ropeway-gateway drain" did. Neighbours prefer this gateway again where they did before.`,
	}
	d.addRun(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		lifted, err := agent.AskUndrain(cmd.Context(), d.run)
		if err != nil {
			return err
		}
		said := "undrained"
		if !lifted {
			said = "it was not drained"
		}
		_, err = fmt.Fprintln(cmd.OutOrStdout(), said)
		return err
	}
	return cmd
}

// words joins what is known of something, without what is not.
func words(parts ...string) string {
	var known []string
	for _, p := range parts {
		if p != "" {
			known = append(known, p)
		}
	}
	return strings.Join(known, ", ")
}
