package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"ropeway/internal/console"
	"ropeway/internal/diag"
	"ropeway/internal/lab"
)

func newLabCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "lab",
		Short: "Build the whole fabric on this machine and try it",
		Long: `Build every place, gateway and host of a fabric file out of network namespaces on this machine, run the real agents in it, send
real packets through it, and break it. Needs root.

Where there is only one lab, the other commands mean that one. Else they take its name, or its fabric file.`,
		Example: `  ropeway lab up fabric.yaml
  ropeway lab test
  ropeway lab exec use1/host1 -- ping -c 3 10.20.0.1
  ropeway lab fault gateway-kill use1-a
  ropeway lab fault undo all
  ropeway lab down

  ropeway lab up fabric.yaml --controllers 1             # with a controller, and every gateway enrolled
  ropeway apply edited.yaml --lab                        # the lab moves`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.PersistentFlags().String("name", "", "the lab (default: for up, the fabric's name; for the others, the only one there is)")
	_ = cmd.RegisterFlagCompletionFunc("name", completeLabs)
	cmd.AddCommand(newLabUpCommand(), newLabListCommand(), newLabStatusCommand(), newLabTestCommand(), newLabExecCommand(),
		newLabFaultCommand(), newLabDownCommand(), newLabServeCommand(), newLabTableCommand())
	return cmd
}

func newLabUpCommand() *cobra.Command {
	var opts lab.Options
	cmd := &cobra.Command{
		Use: "up FILE", Short: "Build a fabric's world and run it",
		Long: `Build the world of a fabric file: for each place its gateways, a router with the route table that a VPC would have, and a host for each
prefix; between the places an underlay with the MTUs of the file, and NAT where the file says so. Every gateway makes its own key and
runs the agent. The lock file is read for addresses, and not changed.

With --controllers there are also controllers, each in a place of its own: every gateway is enrolled, and the file is applied to them. They allocate
addresses by themselves. Commands that speak to a controller take --lab: ropeway apply FILE --lab, ropeway get gateways --lab.`,
		Args: cobra.ExactArgs(1), ValidArgsFunction: oneFile,
	}
	cmd.Flags().StringVar(&opts.Agent, "agent", "", "the agent to run (default: ropeway-gateway beside this program, or in PATH)")
	cmd.Flags().IntVar(&opts.Controllers, "controllers", 0, "how many controllers: 0, 1, 3 or 5")
	cmd.Flags().StringVar(&opts.Controller, "ropewayd", "", "the controller to run (default: ropewayd beside this program, or in PATH)")
	cmd.Flags().DurationVar(&opts.Patience, "patience", lab.DefaultPatience, "how long links may take to come up")
	lockFile := lockFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		src, err := readSource(cmd, args[0], *lockFile)
		if err != nil {
			return err
		}
		opts.Name, opts.Lock = labFlag(cmd), src.lock
		if opts.Command, err = os.Executable(); err != nil {
			return fmt.Errorf("find this program: %w", err)
		}
		out, begun := cmd.ErrOrStderr(), time.Now()
		opts.Progress = func(what string) {
			_, _ = fmt.Fprintf(out, "%6.2fs  %s\n", time.Since(begun).Seconds(), what)
		}
		l, silent, err := lab.Up(cmd.Context(), args[0], src.text, opts)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(cmd.OutOrStdout(), "lab %s is up after %.1f s: ropeway lab test, ropeway lab status, ropeway lab down\n",
			l.Name, time.Since(begun).Seconds())
		return errors.Join(err, console.Print(out, styleOf(cmd, out), silentLinks(l, silent)))
	}
	return cmd
}

// silentLinks warns of links that have not come up.
func silentLinks(l *lab.Lab, silent []lab.Link) diag.List {
	var list diag.List
	for _, k := range silent {
		list = append(list, diag.Problem{
			Code: "RW5012", Severity: diag.Warning, Subject: "link " + k.A + " " + k.B,
			Message: "no packet has passed it yet", Hint: "ropeway lab status --name " + l.Name + " tells when one does; the agents' logs are in " + l.Logs(),
		})
	}
	return list
}

func newLabListCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "list", Short: "List the labs on this machine", Args: cobra.NoArgs}
	format := outputFlag(cmd, console.TableFormat, console.JSON, console.YAML)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		names, err := lab.List()
		if err != nil {
			return err
		}
		out := cmd.OutOrStdout()
		return console.Show(out, styleOf(cmd, out), format.Format, append([]string{}, names...), func() *console.Table {
			t := &console.Table{Columns: []console.Column{{Title: "LAB"}}}
			for _, n := range names {
				t.Rows = append(t.Rows, []string{n})
			}
			return t
		})
	}
	return cmd
}

func newLabDownCommand() *cobra.Command {
	var all bool
	cmd := &cobra.Command{
		Use: "down [LAB|FILE]", Short: "Take a lab away, and leave nothing behind",
		Long: "Take a lab away: its processes, namespaces and files. Also takes away what a command that was killed left of one.",
		Args: cobra.MaximumNArgs(1), ValidArgsFunction: completeLabs,
	}
	cmd.Flags().BoolVar(&all, "all", false, "every lab on this machine")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		names, err := lab.List()
		if err != nil {
			return err
		}
		if !all {
			name, err := chooseLab(cmd, args)
			if err != nil {
				return err
			}
			names = []string{name}
		}
		var errs []error
		for _, name := range names {
			if err := lab.Down(cmd.Context(), name); err != nil {
				errs = append(errs, err)
				continue
			}
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "lab %s is gone\n", name)
			errs = append(errs, err)
		}
		return errors.Join(errs...)
	}
	return cmd
}

// newLabServeCommand is the process that answers for a lab's hosts. People never start it.
func newLabServeCommand() *cobra.Command {
	return &cobra.Command{
		Use: "serve LAB", Hidden: true, Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return lab.Serve(cmd.Context(), args[0]) },
	}
}

// newLabTableCommand is the program by which agents of a lab change the route table of their place, as package command says. People never start it.
func newLabTableCommand() *cobra.Command {
	return &cobra.Command{
		Use: "table LAB lead GATEWAY", Hidden: true, Args: cobra.MatchAll(cobra.ExactArgs(3), func(_ *cobra.Command, args []string) error {
			if args[1] != "lead" {
				return problem("RW6001", "command line", "a table can be asked to lead, and to nothing else", "it reads the prefixes from standard input")
			}
			return nil
		}),
		RunE: func(cmd *cobra.Command, args []string) error {
			var prefixes []netip.Prefix
			for lines := bufio.NewScanner(cmd.InOrStdin()); lines.Scan(); {
				p, err := netip.ParsePrefix(lines.Text())
				if err != nil {
					return problem("RW6001", "standard input", err.Error(), "give one prefix a line")
				}
				prefixes = append(prefixes, p)
			}
			changed, err := lab.Lead(args[0], args[2], prefixes)
			for _, p := range changed {
				fmt.Fprintln(cmd.OutOrStdout(), p)
			}
			return err
		},
	}
}

func newLabExecCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "exec MACHINE -- COMMAND [ARG]...", Short: "Run a command on a machine of a lab",
		Long: `Run a command on a host, gateway or router of a lab. A machine is named as ropeway lab status shows it, by an address or prefix that it
carries, or by its place, which means the place's first host. The exit code is the command's.`,
		Example: `  ropeway lab exec use1/host1 -- ping -c 3 10.20.0.1
  ropeway lab exec use1-a -- wg show
  ropeway lab exec use1/router -- ip route`,
		Args: cobra.MinimumNArgs(2), ValidArgsFunction: completeMachines,
	}
	cmd.Flags().SetInterspersed(false) // what follows the machine belongs to the command
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		l, err := openLab(cmd, nil)
		if err != nil {
			return err
		}
		machine, err := l.Find(args[0])
		if err != nil {
			return err
		}
		if args[1] == "--" {
			args = args[1:]
		}
		if len(args) < 2 {
			return problem("RW6001", "", "there is no command to run", "usage: "+cmd.UseLine())
		}
		ctx, stop := alone()
		defer stop()
		run := exec.CommandContext(ctx, args[1], args[2:]...)
		run.Stdin, run.Stdout, run.Stderr = os.Stdin, cmd.OutOrStdout(), cmd.ErrOrStderr()
		err = l.Run(machine, run)
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			return exitCode(max(exit.ExitCode(), 1))
		}
		return err
	}
	return cmd
}

// alone leaves an interrupt from the keyboard to the command that runs: it gets the signal, too, and decides itself.
func alone() (context.Context, context.CancelFunc) {
	signal.Ignore(os.Interrupt)
	return signal.NotifyContext(context.Background(), unix.SIGTERM)
}

// labFlag returns the value of --name.
func labFlag(cmd *cobra.Command) string {
	name, _ := cmd.Flags().GetString("name")
	return name
}

// chooseLab returns the lab that somebody means: by --name, by name or fabric file as an argument, or because it is the only one.
func chooseLab(cmd *cobra.Command, args []string) (string, error) {
	if name := labFlag(cmd); name != "" {
		return name, nil
	}
	if len(args) > 0 {
		if !strings.ContainsAny(args[0], "./") {
			return args[0], nil
		}
		src, err := readFabric(cmd, args[0])
		if err != nil {
			return "", err
		}
		return src.intent.Name, nil
	}
	names, err := lab.List()
	switch {
	case err != nil:
		return "", err
	case len(names) == 0:
		return "", problem("RW5013", "", "there is no lab on this machine", "ropeway lab up FILE makes one")
	case len(names) > 1:
		return "", problem("RW5013", "", "there are several labs: "+some(names), "say which one with --name NAME, or --lab=NAME where a controller is spoken to")
	}
	return names[0], nil
}

func openLab(cmd *cobra.Command, args []string) (*lab.Lab, error) {
	name, err := chooseLab(cmd, args)
	if err != nil {
		return nil, err
	}
	return lab.Open(name)
}

func completeLabs(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	names, _ := lab.List()
	return names, cobra.ShellCompDirectiveNoFileComp
}

func completeMachines(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	l, err := openLab(cmd, nil)
	if err != nil || len(args) > 0 {
		return nil, cobra.ShellCompDirectiveDefault
	}
	return l.Machines(), cobra.ShellCompDirectiveNoFileComp
}
