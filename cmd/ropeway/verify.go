package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"ropeway/internal/console"
	"ropeway/internal/intent"
	"ropeway/internal/verify"
)

func newVerifyCommand() *cobra.Command {
	var failures int
	var live bool
	cmd := &cobra.Command{
		Use:   "verify FILE | --live",
		Short: "Prove what the plan does with every packet",
		Long: `Prove, from the plans alone, every test of the file and every pair that access promises; find loops, black holes, asymmetric paths, doubly
claimed prefixes, paths that drop full-size packets, and whatever gets through that no policy allows.

Tell it what is not as planned (--underlay, --down, --cut, --no-icmp) and it proves that world instead. With --failures 1 it also
says what breaks when any one gateway or link is lost; that is an answer, and does not change the exit code.

With --live it takes the routes that gateways really have, in place of those that BGP should lead to, proves what runs, and compares it with what the plan
promises: each route that is missing, leads elsewhere or is not promised, and each gateway that does not tell. What is known to be lost (--down, --cut) changes
the promise, and so does a gateway that is drained.

Exit 0 where all holds, 3 where something does not; with --live also where routes are not as promised, or not known.`,
		Example: "  ropeway verify fabric.yaml --failures 1\n  ropeway verify --live\n  ropeway verify --live --lab",
		Args:    cobra.MaximumNArgs(1), ValidArgsFunction: oneFile,
	}
	asksGateways(cmd)
	cmd.Flags().BoolVar(&live, "live", false, "prove what gateways have now, and not a file")
	cmd.Flags().IntVar(&failures, "failures", 0, "1: judge the loss of each gateway and each link, too")
	lockFile, facts := lockFlag(cmd), newFactFlags(cmd)
	format := outputFlag(cmd, console.Text, console.JSON, console.YAML)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if failures != 0 && failures != 1 {
			return problem("RW6001", "", "--failures takes 0 or 1", "several failures at once: name them with --down and --cut")
		}
		if err := oneSubject(cmd, args, live); err != nil {
			return err
		}
		if live {
			return runVerifyLive(cmd, facts, format.Format)
		}
		src, err := readSource(cmd, args[0], *lockFile)
		if err != nil {
			return err
		}
		known, err := facts.facts(src)
		if err != nil {
			return err
		}
		plan, _ := src.compile()
		report := verify.New(plan, known).Check(src.intent)
		if failures == 1 {
			report.Failures = verify.Failures(plan, known, src.intent)
		}
		return showReport(cmd, format.Format, report, failures == 1)
	}
	return cmd
}

// oneSubject refuses a command line that names a file and what runs, or neither.
func oneSubject(cmd *cobra.Command, args []string, live bool) error {
	flags := cmd.Flags()
	switch {
	case live && (len(args) > 0 || flags.Changed("lock") || flags.Changed("failures")):
		return problem("RW6001", "", "--live proves what runs, as its gateways hold it", "leave out FILE, --lock and --failures; those are about a file")
	case !live && (len(args) == 0 || flags.Changed("lab")):
		return problem("RW6001", "", "want a fabric file, or --live", "usage: "+cmd.UseLine())
	}
	return nil
}

func showReport(cmd *cobra.Command, format console.Format, r *verify.Report, failures bool) error {
	out := cmd.OutOrStdout()
	var err error
	if format != console.Text {
		err = console.Encode(out, format, r)
	} else {
		s := styleOf(cmd, out)
		text := proofText(s, r)
		if failures {
			text += failuresText(s, r.Failures)
		}
		err = say(cmd, "%s", text)
	}
	if err == nil && !r.OK {
		return exitProof
	}
	return err
}

// proofText is the proof for people: a line for each test and more where it fails, then the problems, then the sum.
func proofText(s console.Style, r *verify.Report) string {
	var b strings.Builder
	failed := 0
	for _, t := range r.Tests {
		writeTest(&b, s, &t)
		if !t.OK {
			failed++
		}
	}
	for _, p := range r.Problems {
		b.WriteString(s.Problem(p) + "\n")
	}
	verdict := s.Green("Proven")
	if !r.OK {
		verdict = s.Red("Not proven")
	}
	fmt.Fprintf(&b, "%s: %d of %s hold, %s; %s, %d rules, %d address classes, %d pairs\n", verdict,
		len(r.Tests)-failed, count(len(r.Tests), "test"), count(len(r.Problems), "problem"),
		count(r.Stats.Gateways, "gateway"), r.Stats.Rules, r.Stats.Atoms, r.Stats.Pairs)
	return b.String()
}

func writeTest(b *strings.Builder, s console.Style, t *verify.TestResult) {
	mark := s.Green("ok  ")
	if !t.OK {
		mark = s.Red("FAIL")
	}
	fmt.Fprintf(b, "%s %s → %s %s", mark, t.From, t.To, t.Expect)
	if t.Expect == intent.Reachable && t.OK {
		fmt.Fprintf(b, s.Dim("  %s, back %s, MTU %d"), way(t.Forward.Gateways), way(t.Return.Gateways), min(t.Forward.MTU, t.Return.MTU))
	}
	b.WriteString("\n")
	if t.OK {
		return
	}
	if t.Reason != "" {
		fmt.Fprintf(b, "     %s\n", t.Reason)
	}
	writePath(b, "forward", &t.Forward)
	writePath(b, "return", &t.Return)
}

func writePath(b *strings.Builder, name string, p *verify.Path) {
	if !p.Source.IsValid() {
		return
	}
	fmt.Fprintf(b, "     %-7s %s → %s %s by %s", name, p.Source, p.Destination, p.Service, way(p.Gateways))
	if d := p.DroppedBy; d != nil {
		fmt.Fprintf(b, ": dropped at %s (%s): %s\n", d.At, d.Reason, d.Detail)
		return
	}
	fmt.Fprintf(b, ", MTU %d\n", p.MTU)
}

// failuresText says what each loss breaks; the losses that break nothing are counted.
func failuresText(s console.Style, failures []verify.Failure) string {
	var b strings.Builder
	harmless := 0
	for _, f := range failures {
		if len(f.Broken) == 0 && len(f.Tests) == 0 {
			harmless++
			continue
		}
		fmt.Fprintf(&b, "%s %s: cuts %s", s.Yellow("loss of"), f.Lost, some(f.Broken))
		if len(f.Tests) > 0 {
			fmt.Fprintf(&b, "; breaks test %s", strings.Trim(strings.ReplaceAll(fmt.Sprint(f.Tests), " ", ", "), "[]"))
		}
		b.WriteString("\n")
	}
	fmt.Fprintf(&b, "%d of %s of one gateway or link break nothing\n", harmless, plural(len(failures), "loss", "losses"))
	return b.String()
}
