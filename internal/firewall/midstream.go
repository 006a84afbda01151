package firewall

import (
	"fmt"
	"slices"

	"golang.org/x/sys/unix"

	"ropeway/internal/plan"
)

// A flow that moves here from another gateway of the place, because that one is gone or drained, comes midstream: connection tracking has not seen it opened. What the
// side that opened it sends passes by the rule that let it open it, and is how connection tracking comes to know the flow (nf_conntrack_tcp_loose). But that side
// may be silent: who downloads has nothing to say, and waits for what is dropped here. So where the plan names Answers, they need no question.
//
// They are what can open nothing. A host that has no connection refuses a segment with ACK, ignores one with RST, and makes a connection of neither (RFC 9293, section
// 3.10.7); it is what `permit tcp … established` lets through in an access list of Cisco IOS. An echo reply is answered by nobody. A datagram of UDP can be
// the first of something on any port, so none passes.
//
// Connection tracking calls invalid what begins no flow that it could follow: a SYN-ACK, a FIN, a RST, an echo reply. It also does so after a flow was elsewhere for
// a while and comes back, its sequence numbers beyond the window that was seen last. So the check for invalid packets is left out for what can open nothing,
// from whichever end it comes; it has to be in a rule.
func (b *builder) midstream(f *plan.Firewall, invalid rule, ways func(prefix string) []rule) (lead []rule, chains []chain) {
	if len(f.Answers) == 0 {
		return nil, nil
	}
	const name, prefix = "midstream", "midstream_"
	for _, what := range []statement{opensNothing{}, icmpType{false, 0, "echo-reply"}, icmpType{true, 129, "echo-reply"}} {
		lead = append(lead, one(what, gotoChain(name)))
	}
	chains = []chain{{name: name, rules: ways(prefix)}}
	for _, way := range []struct {
		chain string
		d     plan.Direction
	}{{chainOut, plan.Out}, {chainIn, plan.In}, {chainTransit, plan.Transit}} {
		rules := b.answers[way.d]
		if !slices.Contains(f.Answers, way.d) && !f.AnswersAcross(way.d) { // nothing comes midstream this way
			rules = []rule{invalid}
		}
		chains = append(chains, chain{name: prefix + way.chain, rules: append(rules, one(gotoChain(way.chain)))})
	}
	return lead, chains
}

// answer adds the rule for what answers flows of a rule of the plan, from whom they may be opened to, to whom they may be opened from. It is reached by what
// can open nothing alone.
func (b *builder) answer(r *plan.Rule, from, to *set, question []statement) {
	match, ok := answering(question)
	if !ok {
		return
	}
	back := r.Direction.Reverse()
	statements := slices.Concat([]statement{address{set: from}, address{dst: true, set: to}}, match, []statement{b.counter(counterAnswers), verdict{code: accept}})
	b.answers[back] = append(b.answers[back], rule{statements, fmt.Sprintf("answers to access %d", r.ID)})
}

// answering returns the match for answers, given that of their question. Those over UDP have none.
func answering(question []statement) (match []statement, ok bool) {
	for _, q := range question {
		if s, isPort := q.(service); isPort {
			if s.proto.number != unix.IPPROTO_TCP {
				return nil, false
			}
			s.src = true
			q = s
		}
		match = append(match, q)
	}
	return match, true
}

// opensNothing matches TCP segments that open no connection.
type opensNothing struct{}

func (opensNothing) text() string { return "tcp flags & (rst | ack) != 0" }

func (opensNothing) encode(e *encoder) {
	e.needProto(unix.IPPROTO_TCP)
	e.payload(unix.NFT_PAYLOAD_TRANSPORT_HEADER, tcpFlags, 1)
	e.mask([]byte{flagRST | flagACK})
	e.compare(unix.NFT_CMP_NEQ, []byte{0})
}
