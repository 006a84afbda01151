package main

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"ropeway/internal/diag"
	"ropeway/internal/verify"
)

// factFlags are what the commands that prove something can be told of the world.
type factFlags struct {
	underlay, down, cut []string
	noICMP              bool
}

func newFactFlags(cmd *cobra.Command) *factFlags {
	f := &factFlags{}
	flags := cmd.Flags()
	flags.StringArrayVar(&f.underlay, "underlay", nil, "what the underlay really carries: A=MTU from a place to everywhere, A,B=MTU between two (repeatable)")
	flags.StringArrayVar(&f.down, "down", nil, "a gateway that is dead (repeatable)")
	flags.StringArrayVar(&f.cut, "cut", nil, "A,B: two places or two gateways between which no packet passes (repeatable)")
	flags.BoolVar(&f.noICMP, "no-icmp", false, "somebody on the way drops ICMP: no sender learns that a packet was too big")
	_ = cmd.RegisterFlagCompletionFunc("down", completeGateways)
	return f
}

// facts checks the flags against the fabric.
func (f *factFlags) facts(src *source) (verify.Facts, error) {
	facts := verify.Facts{NoICMP: f.noICMP, Down: f.down}
	for _, name := range f.down {
		if err := src.knowsGateway(name); err != nil {
			return facts, err
		}
	}
	for _, text := range f.cut {
		a, b, found := strings.Cut(text, ",")
		if !found || a == b {
			return facts, badFact("cut", text, "want A,B: two places or two gateways")
		}
		if !src.knowsPair(a, b) {
			return facts, badFact("cut", text, "the fabric has no such two places or gateways")
		}
		facts.Cut = append(facts.Cut, verify.Link{A: a, B: b})
	}
	for _, text := range f.underlay {
		u, err := parseUnderlay(src, text)
		if err != nil {
			return facts, err
		}
		facts.Underlay = append(facts.Underlay, u)
	}
	return facts, nil
}

// An underlay MTU lies between what IPv4 asks of a link (RFC 791) and the largest IP packet.
const minUnderlay, maxUnderlay = 68, 65535

func parseUnderlay(src *source, text string) (verify.Underlay, error) {
	places, number, found := strings.Cut(text, "=")
	a, b, pair := strings.Cut(places, ",")
	mtu, err := strconv.Atoi(number)
	if !found || err != nil || mtu < minUnderlay || mtu > maxUnderlay || (pair && a == b) {
		return verify.Underlay{}, badFact("underlay", text, fmt.Sprintf("want A=MTU or A,B=MTU, from %d to %d bytes", minUnderlay, maxUnderlay))
	}
	for _, name := range []string{a, b} {
		if (name != "" || pair) && src.intent.Place(name) == nil {
			return verify.Underlay{}, badFact("underlay", text, "the fabric has no such place")
		}
	}
	if a == "" {
		return verify.Underlay{}, badFact("underlay", text, "want the name of a place")
	}
	return verify.Underlay{A: a, B: b, MTU: mtu}, nil
}

// knowsPair reports whether a and b are two places or two gateways.
func (s *source) knowsPair(a, b string) bool {
	if s.intent.Place(a) != nil && s.intent.Place(b) != nil {
		return true
	}
	return s.knowsGateway(a) == nil && s.knowsGateway(b) == nil
}

func badFact(flag, text, message string) error {
	return problem("RW6008", "--"+flag+" "+diag.Quote(text), message, "names are as in the fabric file")
}
