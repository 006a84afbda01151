package main

import (
	"net/netip"
	"strings"

	"github.com/spf13/cobra"

	"ropeway/internal/console"
	"ropeway/internal/diag"
	"ropeway/internal/fabric"
	"ropeway/internal/verify"
)

// A probe is what the flags of trace say of the packet.
type probe struct {
	proto  string
	port   uint16
	size   int
	answer bool
}

func newTraceCommand() *cobra.Command {
	var p probe
	cmd := &cobra.Command{
		Use:   "trace FILE SRC DST",
		Short: "Follow one packet through the plan, hop by hop",
		Long: `Follow one packet from address SRC to address DST through the plan. Each hop names the route, the peer and the rule that decided.
Without --proto it is a ping. Exit 0 where the packet arrives, 3 where it dies.`,
		Example: "  ropeway trace fabric.yaml 192.168.0.10 10.10.4.5 --proto tcp --port 5432 --return",
		Args:    cobra.ExactArgs(3), ValidArgsFunction: oneFile,
	}
	flags := cmd.Flags()
	flags.StringVar(&p.proto, "proto", "", "tcp, udp or icmp")
	flags.Uint16Var(&p.port, "port", 0, "destination port of tcp or udp")
	flags.IntVar(&p.size, "size", 0, "size of the IP packet in bytes (default: a small one)")
	flags.BoolVar(&p.answer, "return", false, "follow the answer, too")
	_ = cmd.RegisterFlagCompletionFunc("proto", cobra.FixedCompletions([]string{"tcp", "udp", "icmp"}, cobra.ShellCompDirectiveNoFileComp))
	lockFile, facts := lockFlag(cmd), newFactFlags(cmd)
	format := outputFlag(cmd, console.Text, console.JSON, console.YAML)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		packet, err := p.packet(args[1], args[2])
		if err != nil {
			return err
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
		return showTrace(cmd, format.Format, verify.New(plan, known).Trace(packet, p.answer))
	}
	return cmd
}

func (p probe) packet(from, to string) (verify.Packet, error) {
	source, err := netip.ParseAddr(from)
	destination, err2 := netip.ParseAddr(to)
	switch {
	case err != nil || source.Zone() != "":
		return verify.Packet{}, problem("RW6009", "source "+diag.Quote(from), "it is not an IP address", "trace follows one packet from one address to another")
	case err2 != nil || destination.Zone() != "":
		return verify.Packet{}, problem("RW6009", "destination "+diag.Quote(to), "it is not an IP address", "trace follows one packet from one address to another")
	case source.Is4() != destination.Is4():
		return verify.Packet{}, problem("RW6009", "", "source and destination are of different families", "give two IPv4 or two IPv6 addresses")
	case p.size < 0 || p.size > 65535:
		return verify.Packet{}, problem("RW6001", "", "--size is out of range", "an IP packet has at most 65535 bytes")
	}
	service, err := p.service()
	return verify.Packet{Source: source, Destination: destination, Service: service, Size: p.size}, err
}

func (p probe) service() (fabric.Service, error) {
	proto := fabric.Protocol(p.proto)
	switch {
	case proto == "" && p.port != 0:
		proto = fabric.TCP
	case proto == "":
		proto = fabric.ICMP
	}
	switch {
	case proto == fabric.ICMP && p.port == 0:
		return fabric.Service{Protocol: fabric.ICMP}, nil
	case (proto == fabric.TCP || proto == fabric.UDP) && p.port != 0:
		return fabric.Service{Protocol: proto, First: p.port, Last: p.port}, nil
	}
	return fabric.Service{}, problem("RW6001", "", "the packet is not complete", "want --proto tcp --port N, --proto udp --port N, or --proto icmp")
}

func showTrace(cmd *cobra.Command, format console.Format, t *verify.Trace) error {
	out := cmd.OutOrStdout()
	var err error
	if format != console.Text {
		err = console.Encode(out, format, t)
	} else {
		err = say(cmd, "%s", traceText(styleOf(cmd, out), t))
	}
	if err == nil && (t.Forward.DroppedBy != nil || (t.Return != nil && t.Return.DroppedBy != nil)) {
		return exitProof
	}
	return err
}

func traceText(s console.Style, t *verify.Trace) string {
	var b strings.Builder
	writeWalk(&b, s, &t.Forward)
	if t.Return != nil {
		b.WriteString("\n")
		writeWalk(&b, s, t.Return)
	}
	return b.String()
}
