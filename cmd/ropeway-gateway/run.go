package main

import (
	"time"

	"github.com/spf13/cobra"

	"ropeway/internal/agent"
	"ropeway/internal/cloud"
	"ropeway/internal/cloud/command"
	"ropeway/internal/courier"
	"ropeway/internal/logs"
)

// leastConfirm is how long finding a controller again can take at least.
const leastConfirm = 5 * time.Second

func newRunCommand() *cobra.Command {
	var opts agent.Options
	var d dirs
	var format, table string
	var dry bool
	var wait patience
	cmd := &cobra.Command{
		Use:   "run [--plan FILE]",
		Short: "Make the machine as the plan says, and keep it so",
		Long: `Run makes the machine as the plan says and keeps it so until it is stopped, which changes nothing. The file is watched: a new
plan is applied as the smallest difference. A plan that is missing, damaged, another gateway's or for another key is refused, and
the last good one stays in force. Nothing is ever changed that is not Ropeway's.

Without --plan the plans come from the controller that this machine was enrolled with (ropeway-gateway enroll). With each new one
the gateway has to reach a controller in time, or it goes back to the one before.`,
		Args: cobra.NoArgs,
	}
	flags := cmd.Flags()
	flags.StringVar(&opts.Plan, "plan", "", "the plan of this gateway, where no controller brings it")
	flags.StringVar(&opts.Listen, "listen", agent.DefaultListen, `where /metrics and /healthz are served; "" for nowhere`)
	flags.BoolVar(&opts.ListenAnywhere, "listen-anywhere", false, "let --listen be an address that other machines reach")
	flags.BoolVar(&dry, "dry-run", false, "print what would change, and change nothing")
	flags.DurationVar(&wait.confirmWithin, "confirm-within", courier.ConfirmWithin, "how long no controller may answer under a new plan before the gateway goes back to the last one")
	flags.DurationVar(&wait.staleAfter, "stale-after", courier.StaleAfter, "how long no controller may be heard before status and metrics say so")
	flags.DurationVar(&opts.DrainOnStop, "drain-on-stop", 0, "where the gateway speaks BGP, lead traffic around it before ending, and wait at most so long for it to be quiet; the next start takes that back")
	flags.StringVar(&table, "route-table", "", "program, with arguments, that changes the route table of the gateway's place where the fabric file says takeOver")
	flags.StringVar(&format, "log-format", string(logs.Text), "format of the log: text or json")
	d.addState(cmd)
	d.addRun(cmd)
	_ = cmd.MarkFlagFilename("plan", "json")
	_ = cmd.RegisterFlagCompletionFunc("log-format", cobra.FixedCompletions([]string{"text", "json"}, cobra.ShellCompDirectiveNoFileComp))
	cmd.RunE = func(cmd *cobra.Command, _ []string) (err error) {
		opts.State, opts.Run, opts.Daemons = d.state, d.run, daemonsIn(d.run)
		if opts.Log, err = logs.New(cmd.ErrOrStderr(), logs.Format(format)); err != nil {
			return problem("RW6001", err.Error(), cmd.CommandPath()+" --help lists the flags")
		}
		if opts.RouteTable, err = tableProgram(cmd, table); err != nil {
			return err
		}
		if wait.confirmWithin < leastConfirm || wait.staleAfter <= 0 {
			return problem("RW6001", "--confirm-within is "+leastConfirm.String()+" at least, and --stale-after more than nothing", cmd.CommandPath()+" --help lists the flags")
		}
		if opts.Plan == "" && !dry {
			return follow(cmd.Context(), opts, wait)
		}
		if opts.Plan == "" {
			opts.Plan = courier.PlanFile(opts.State)
		}
		if dry {
			return agent.DryRun(cmd.Context(), opts, cmd.OutOrStdout())
		}
		a, err := agent.New(opts)
		if err != nil {
			return err
		}
		return a.Run(cmd.Context())
	}
	return cmd
}

// tableProgram returns the table that a program changes; nil where there is none.
func tableProgram(cmd *cobra.Command, program string) (cloud.RouteTable, error) {
	if program == "" {
		return nil, nil
	}
	table, err := command.New(program)
	if err != nil {
		return nil, problem("RW6001", err.Error(), cmd.CommandPath()+" --help lists the flags")
	}
	return table, nil
}
