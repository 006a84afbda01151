package verify

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"ropeway/internal/diag"
	"ropeway/internal/fabric"
)

// severities of what is found of pairs. The rest are errors.
var warnings = map[diag.Code]bool{"RW3013": true, "RW3014": true}

// limit is how many problems of one code a report spells out; of the rest it says how many there are.
const limit = 20

// written writes the findings, those with the lowest addresses first.
func (r *reporter) written() diag.List {
	var all []*finding
	for _, f := range r.findings {
		all = append(all, f)
	}
	slices.SortFunc(all, func(a, b *finding) int {
		return cmp.Or(cmp.Compare(a.code, b.code), a.first.from.Compare(b.first.from), a.first.to.Compare(b.first.to),
			cmp.Compare(a.entry, b.entry), cmp.Compare(a.at, b.at), cmp.Compare(a.text, b.text))
	})
	var out diag.List
	shown := map[diag.Code]int{}
	rest := map[diag.Code]int{}
	for _, f := range all {
		if shown[f.code]++; shown[f.code] <= limit {
			out = append(out, r.write(f))
		} else {
			rest[f.code]++
		}
	}
	return append(out, unspoken(rest)...)
}

// unspoken says of every code how many problems were left out.
func unspoken(rest map[diag.Code]int) diag.List {
	var out diag.List
	for code, n := range rest {
		out = append(out, diag.Problem{
			Code: code, Severity: severity(code), Subject: "fabric",
			Message: fmt.Sprintf("%d more like the %d named", n, limit), Hint: "mend what is named first, and verify again",
		})
	}
	return out
}

func severity(code diag.Code) diag.Severity {
	if warnings[code] {
		return diag.Warning
	}
	return diag.Error
}

// write makes a problem of a finding, with its first pair of addresses as the example.
func (r *reporter) write(f *finding) diag.Problem {
	from, to := r.like(f)
	service := fabric.Service{Protocol: fabric.ICMP}
	if f.service >= 0 {
		service = r.w.services.witness(f.service)
	}
	trace := r.m.Trace(Packet{Source: from, Destination: to, Service: service}, true)
	p := diag.Problem{Code: f.code, Severity: severity(f.code)}
	p.Subject = fmt.Sprintf("%s → %s", r.placeOf(from), r.placeOf(to))
	pair := fmt.Sprintf("%s → %s", from, to)
	switch f.code {
	case "RW3010":
		r.writePromise(&p, f, trace, pair)
	case "RW3011":
		p.Message = fmt.Sprintf("%s gets through with %s, and no access allows it", pair, f.text)
		p.Hint = "name it in access if it is wanted; else the plan is wrong: compile it again"
	case "RW3012":
		p.Message = fmt.Sprintf("packets go in a circle: %s by %s", pair, route(trace.Forward.Gateways))
		p.Hint = "one of these gateways must route the destination another way: compile the plan again"
	case "RW3013":
		p.Message = fmt.Sprintf("%s is let through by the filters and then dies: %s", pair, dropped(&trace.Forward))
		p.Hint = "no access promises it, so it should not be let through either"
	case "RW3014":
		p.Message = fmt.Sprintf("%s goes by %s and comes back by %s", pair, route(trace.Forward.Gateways), route(trace.Return.Gateways))
		p.Hint = "answers that do not cross the gateways of the request are dropped there, unless a rule lets them pass as new"
	case "RW3015":
		r.writeTight(&p, f, trace, pair)
	}
	if f.pairs > 1 {
		p.Message += fmt.Sprintf("; so do %d more pairs of places", f.pairs-1)
	}
	return p
}

func (r *reporter) writePromise(p *diag.Problem, f *finding, trace *Trace, pair string) {
	entry := &r.w.in.Access[f.entry]
	what, walk := "dies", &trace.Forward
	if f.answer {
		what, walk = "arrives, but the answer dies", trace.Return
	}
	p.Message = fmt.Sprintf("access %d (%s → %s) promises %s %s, which %s: %s",
		f.entry+1, entry.From.Text, entry.To.Text, pair, trace.Forward.Service, what, dropped(walk))
	p.Hint = remedies[f.reason]
	p.Position = entry.Position
}

// remedies say what to do about a reason.
var remedies = map[Reason]string{
	NoOwner:     "compile the plan again",
	NoRoute:     "give it a route: compile the plan again",
	NoPeer:      "give the prefix to a peer's AllowedIPs: compile the plan again",
	NoSession:   "mend the link, or bring the peer up",
	SourceCheck: "the receiver must allow the source from this sender: compile the plan again, so that both directions take one path",
	Filtered:    "the firewall of the gateway lacks a rule: compile the plan again",
	Loop:        "compile the plan again",
	GatewayDown: "bring the gateway up, or let the router use another one",
}

func (r *reporter) writeTight(p *diag.Problem, f *finding, trace *Trace, pair string) {
	at, next := r.m.gateways[f.at].Name, "the next gateway"
	if f.toward != nobody {
		next = r.m.gateways[f.toward].Name
	}
	p.Message = fmt.Sprintf("full-size packets vanish: %s is told that %s fit, and only %s get through from %s to %s: %s",
		pair, figure(f.text, 0), figure(f.text, 1), at, next, r.m.told())
	p.Hint = "give the place or link its real underlay mtu, and compile the plan again"
}

// like returns a pair of addresses for a finding: the first, or rather the host after a network's own address where the same is true of it.
func (r *reporter) like(f *finding) (from, to netip.Addr) {
	return r.hosts(f.first, func(a, b *class) bool {
		same := false
		tests := r.tests
		r.tests = nil // this is for show only
		r.direction(&r.judge.forward, &r.judge.backward, a, b, func(x finding) { same = same || x.findingKey == f.findingKey })
		r.tests = tests
		return same
	})
}

// hosts returns the addresses of an example, each moved to the next one where like says the same of it.
func (r *reporter) hosts(ex example, like func(a, b *class) bool) (from, to netip.Addr) {
	from, to = ex.from, ex.to
	try := func(x, y netip.Addr) bool {
		if !x.IsValid() || !y.IsValid() {
			return false
		}
		a, b := r.w.classAt(x), r.w.classAt(y)
		if a == nil || b == nil || a.owner == b.owner {
			return false
		}
		r.verdict(x, y)
		return like(a, b)
	}
	if next := from.Next(); try(next, to) {
		from = next
	}
	if next := to.Next(); try(from, next) {
		to = next
	}
	return from, to
}

func (r *reporter) placeOf(a netip.Addr) string { return r.m.places[r.m.ownerOf(a)].Name }

func dropped(w *Walk) string {
	if w.DroppedBy == nil {
		return "its way is open now" // never: an example is a trace of the same plan
	}
	return fmt.Sprintf("%s (%s)", w.DroppedBy.Detail, w.DroppedBy.Reason)
}

// route writes the gateways of a path.
func route(gateways []string) string { return strings.Join(gateways, " → ") }

func figures(announced, carried int) string {
	return fmt.Sprintf("%d bytes/%d bytes", announced, carried)
}

func figure(figures string, i int) string { return strings.Split(figures, "/")[i] }
