package main

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"ropeway/internal/console"
	"ropeway/internal/diag"
	"ropeway/internal/lab"
)

func newLabFaultCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "fault", Short: "Break something in a lab, and mend it",
		Long: `Break something in a lab. Faults last until they are undone; several can be active. ropeway lab test tells the prover of them, so that
what it predicts is the broken world.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(
		newBreakCommand("gateway-kill GATEWAY", "Cut the power of a gateway: its processes end, its interfaces go down", cobra.ExactArgs(1), lab.GatewayKill),
		newBreakCommand("gateway-freeze GATEWAY", "Let a gateway stand still: its processes stop, its interfaces stay up, and nothing passes", cobra.ExactArgs(1), lab.GatewayFreeze),
		newBreakCommand("link-cut A B", "Let nothing pass the underlay between two places or two gateways", cobra.ExactArgs(2), lab.LinkCut),
		newBreakCommand("link-oneway A B", "Let nothing pass the underlay from one place or gateway to another; the other direction does", cobra.ExactArgs(2), lab.LinkOneWay),
		newBreakCommand("icmp-block [A B]", "Drop ICMP in the underlay, everywhere or between two places or gateways", noneOrTwo, lab.ICMPBlock),
		newBreakCommand("agent-kill GATEWAY", "End the agent of a gateway, and nothing else of it", cobra.ExactArgs(1), lab.AgentKill),
		newBreakCommand("agent-stop GATEWAY", "Let the agent of a gateway hang", cobra.ExactArgs(1), lab.AgentStop),
		newBreakCommand("controller-kill NAME|all", "End a controller, or all of them", cobra.ExactArgs(1), lab.ControllerKill),
		newBreakCommand("controller-stop NAME", "Let a controller hang", cobra.ExactArgs(1), lab.ControllerStop),
		newBreakCommand("controller-partition NAME", "Cut a controller off from everybody", cobra.ExactArgs(1), lab.ControllerPartition),
		newBreakCommand("region-partition REGION", "Cut a region or site off from all others, and from their controllers", cobra.ExactArgs(1), lab.RegionPartition),
		newBreakCommand("disk-full NAME", "Leave a controller no room on its disk", cobra.ExactArgs(1), lab.DiskFull),
		newCrashCommand("daemon-kill GATEWAY", "Kill the routing daemon of a gateway, which its agent starts again", lab.DaemonKill),
		newCrashCommand("device-kill GATEWAY", "Kill the process of a gateway's userspace devices, which its agent starts again", lab.DeviceKill),
		newSkewCommand(), newUnderlayCommand(), newRouteDropCommand(), newFaultListCommand(), newUndoCommand(),
	)
	return cmd
}

func noneOrTwo(cmd *cobra.Command, args []string) error {
	if len(args) == 1 {
		return fmt.Errorf("accepts no arguments or 2, received 1")
	}
	return cobra.MaximumNArgs(2)(cmd, args)
}

func newBreakCommand(use, short string, args cobra.PositionalArgs, kind lab.FaultKind) *cobra.Command {
	return &cobra.Command{
		Use: use, Short: short, Args: args,
		RunE: func(cmd *cobra.Command, args []string) error {
			f := lab.Fault{Kind: kind}
			for i, end := range []*string{&f.A, &f.B} {
				if i < len(args) {
					*end = args[i]
				}
			}
			return breakIt(cmd, f)
		},
	}
}

func breakIt(cmd *cobra.Command, f lab.Fault) error {
	l, err := openLab(cmd, nil)
	if err != nil {
		return err
	}
	f, err = l.Break(cmd.Context(), f)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "fault %d: %s\n", f.ID, f)
	return err
}

func newCrashCommand(use, short string, what lab.Crash) *cobra.Command {
	return &cobra.Command{
		Use: use, Short: short, Args: cobra.ExactArgs(1),
		Long: short + ". This command waits for that and for the gateway's links, tells how long it took, and leaves no fault.",
		RunE: func(cmd *cobra.Command, args []string) error {
			l, err := openLab(cmd, nil)
			if err != nil {
				return err
			}
			killed, took, err := l.Crash(cmd.Context(), args[0], what)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s of %s: killed, and all well again after %.3f s\n", strings.Join(killed, ", "), args[0], took.Seconds())
			return err
		},
	}
}

func newSkewCommand() *cobra.Command {
	var back string // "-1h" reads like flags
	cmd := &cobra.Command{
		Use: "clock-skew NAME OFFSET", Short: "Let a controller's clock be wrong by +1h or -1h",
		Long: `Make the clock by which a controller tells the time differ from this machine's, which stays as it is. It is as if somebody had set the clock: what
measures how much time goes by does not notice. Only on x86-64.`,
		Example: `  ropeway lab fault clock-skew use1 +1h
  ropeway lab fault clock-skew use1 -90m`,
		Args: cobra.RangeArgs(1, 2),
	}
	for digit := '0'; digit <= '9'; digit++ {
		cmd.Flags().VarPF(&negative{&back, string(digit)}, "minus-"+string(digit), string(digit), "").Hidden = true
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		text := append(args, back)[1]
		offset, err := time.ParseDuration(text)
		if err != nil {
			return problem("RW6001", "offset "+diag.Quote(text), "not a duration", "want one such as +1h or -90m")
		}
		return breakIt(cmd, lab.Fault{Kind: lab.ClockSkew, A: args[0], Offset: offset})
	}
	return cmd
}

// A negative is an offset such as -90m, which looks like the flag -9 with the value 0m.
type negative struct {
	text  *string
	digit string
}

// Set implements pflag.Value.
func (n *negative) Set(rest string) error {
	*n.text = "-" + n.digit + rest
	return nil
}

// String implements pflag.Value.
func (n *negative) String() string { return "" }

// Type implements pflag.Value.
func (n *negative) Type() string { return "" }

func newUnderlayCommand() *cobra.Command {
	return &cobra.Command{
		Use: "underlay-mtu A B MTU", Short: "Let the path between two places carry packets of another size",
		Long: `Let the path between two places carry packets of at most MTU bytes, outer IP header included. Larger ones are dropped, and their
sender is told, unless icmp-block is active, too.`,
		Args: cobra.ExactArgs(3),
		RunE: func(cmd *cobra.Command, args []string) error {
			mtu, err := strconv.Atoi(args[2])
			if err != nil {
				return problem("RW6001", "MTU "+diag.Quote(args[2]), "not a number", "want bytes: 1280")
			}
			return breakIt(cmd, lab.Fault{Kind: lab.UnderlayMTU, A: args[0], B: args[1], MTU: mtu})
		},
	}
}

func newRouteDropCommand() *cobra.Command {
	var held bool
	cmd := &cobra.Command{
		Use: "route-drop GATEWAY PREFIX", Short: "Delete a route of a gateway",
		Long: `Delete a route of a gateway's agent. The agent puts it back: this command waits for that, tells how long it took, and leaves no fault.

With --hold the agent is stopped first, so that the route stays lost until the fault is undone. Forwarding does not need the agent.`,
		Args: cobra.ExactArgs(2),
	}
	cmd.Flags().BoolVar(&held, "hold", false, "stop the agent first, so that the route stays lost")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		p, err := netip.ParsePrefix(args[1])
		if err != nil {
			return problem("RW6001", "prefix "+diag.Quote(args[1]), "not a prefix", "want one that the gateway has a route for: 10.20.0.0/16")
		}
		if held {
			return breakIt(cmd, lab.Fault{Kind: lab.RouteDrop, A: args[0], Prefix: p})
		}
		l, err := openLab(cmd, nil)
		if err != nil {
			return err
		}
		took, err := l.Poke(cmd.Context(), args[0], p)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(cmd.OutOrStdout(), "the agent of %s put the route to %s back after %.3f s\n", args[0], p, took.Seconds())
		return err
	}
	return cmd
}

func newFaultListCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "list", Short: "List what is broken", Args: cobra.NoArgs}
	format := outputFlag(cmd, console.TableFormat, console.JSON, console.YAML)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		l, err := openLab(cmd, nil)
		if err != nil {
			return err
		}
		faults, out := l.Faults(), cmd.OutOrStdout()
		return console.Show(out, styleOf(cmd, out), format.Format, append([]lab.Fault{}, faults...), func() *console.Table {
			t := &console.Table{Columns: []console.Column{{Title: "ID", Right: true}, {Title: "FAULT"}}}
			for _, f := range faults {
				t.Rows = append(t.Rows, []string{strconv.Itoa(f.ID), f.String()})
			}
			return t
		})
	}
	return cmd
}

func newUndoCommand() *cobra.Command {
	return &cobra.Command{
		Use: "undo [ID|all]", Short: "Mend a fault, or all of them",
		Long: "Mend the fault of a number, as ropeway lab fault list shows it, or all of them. Without an argument it mends the only one.",
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			l, err := openLab(cmd, nil)
			if err != nil {
				return err
			}
			ids, err := undoWhich(l, args)
			if err != nil {
				return err
			}
			mended, err := l.Mend(cmd.Context(), ids...)
			if err != nil {
				return err
			}
			for _, f := range mended {
				if _, err := fmt.Fprintf(cmd.OutOrStdout(), "mended fault %d: %s\n", f.ID, f); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

// undoWhich returns the numbers to mend; none means all.
func undoWhich(l *lab.Lab, args []string) ([]int, error) {
	if len(args) == 0 {
		if n := len(l.Faults()); n > 1 {
			return nil, problem("RW6001", "", fmt.Sprintf("there are %d faults", n), "say which number, or all")
		}
		return nil, nil
	}
	if args[0] == "all" {
		return nil, nil
	}
	id, err := strconv.Atoi(args[0])
	if err != nil {
		return nil, problem("RW6001", "fault "+diag.Quote(args[0]), "not a number", "ropeway lab fault list shows the numbers")
	}
	return []int{id}, nil
}
