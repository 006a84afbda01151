package verify

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"ropeway/internal/fabric"
	"ropeway/internal/plan"
)

// filter holds the packet against the firewall of a gateway, in the order of plan.Firewall's comment.
func (t *tracer) filter(n int32, g *gateway, direction plan.Direction) bool {
	from, to := t.packet.Source, t.packet.Destination
	f := t.m.filters[g.filter]
	if direction == plan.In && t.in(f.own, from) && t.in(f.fabric, to) && !t.in(f.own, to) {
		t.drop(g.Name, Filtered, "the firewall of %s takes %s → %s for a packet that leaves in clear", g.Name, from, to)
		return false
	}
	if t.answers {
		if t.seen[n] {
			t.hop.Rule = "established"
			t.accepted[n] = true
			return true
		}
		if p := t.packet.Service.Protocol; p == fabric.TCP || p == fabric.ICMP {
			return t.midstream(n, g, direction)
		}
	}
	rules := t.matching(f, direction, from, to)
	if !covers(rules, t.service()) {
		what := "any protocol"
		if t.packet.Service.Protocol != "" {
			what = t.packet.Service.String()
		}
		t.drop(g.Name, Filtered, "no rule of %s lets %s → %s pass with %s (%s)", g.Name, from, to, what, direction)
		return false
	}
	t.hop.Rule = t.ruleText(f.rules[rules[0].number], g.Firewall.Rules[rules[0].number].ID, from, to)
	t.accepted[n] = true
	return true
}

// midstream holds an answer that can open nothing against the firewall of a gateway that did not see the request.
func (t *tracer) midstream(n int32, g *gateway, direction plan.Direction) bool {
	f := t.m.filters[g.filter]
	from, to := t.packet.Destination, t.packet.Source // of the request
	if g.Firewall.AnswersAcross(direction) {
		if rules := t.matching(f, direction.Reverse(), from, to); covers(rules, t.service()) {
			t.hop.Rule = "answers to " + t.ruleText(f.rules[rules[0].number], g.Firewall.Rules[rules[0].number].ID, from, to)
			t.accepted[n] = true
			return true
		}
	}
	t.hop.Rule = "invalid"
	t.drop(g.Name, Filtered, "gateway %s did not see the request, so it takes the answer for invalid", g.Name)
	return false
}

func (t *tracer) in(list listID, a netip.Addr) bool {
	_, found := t.m.pool.longest(list, a)
	return found
}

// A match is a rule that names the packet's addresses, and what services it names.
type match struct {
	number   int
	services []fabric.Service
}

// matching returns the rules of a direction that name both addresses, and of the packet's services something.
func (t *tracer) matching(f filter, direction plan.Direction, from, to netip.Addr) []match {
	var out []match
	want := t.service()
	for i, r := range f.rules {
		if r.direction != direction || !t.in(r.from, from) || !t.in(r.to, to) {
			continue
		}
		if len(r.services) == 0 || slices.ContainsFunc(r.services, func(s fabric.Service) bool {
			return s.Protocol == want.Protocol && s.First <= want.Last && want.First <= s.Last
		}) {
			out = append(out, match{i, r.services})
		}
	}
	return out
}

// covers reports whether rules together name all of a service.
func covers(rules []match, want fabric.Service) bool {
	var parts []fabric.Service
	for _, r := range rules {
		if len(r.services) == 0 {
			return true
		}
		for _, s := range r.services {
			if s.Protocol == want.Protocol && want.Protocol != "" {
				parts = append(parts, s)
			}
		}
	}
	slices.SortFunc(parts, func(a, b fabric.Service) int { return int(a.First) - int(b.First) })
	next := int(want.First)
	for _, s := range parts {
		if int(s.First) <= next && int(s.Last) >= next {
			next = int(s.Last) + 1
		}
	}
	return next > int(want.Last)
}

func (t *tracer) ruleText(r rule, id int, src, dst netip.Addr) string {
	from, _ := t.m.pool.longest(r.from, src)
	to, _ := t.m.pool.longest(r.to, dst)
	what := "any protocol"
	if len(r.services) > 0 {
		var names []string
		for _, s := range r.services {
			names = append(names, s.String())
		}
		what = strings.Join(names, ", ")
	}
	return fmt.Sprintf("access %d (%s): %s → %s, %s", id, r.direction, from, to, what)
}
