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
	byCode := map[diag.Code][]*finding{}
	for _, f := range r.findings {
		byCode[f.code] = append(byCode[f.code], f)
	}
	var out diag.List
	rest := map[diag.Code]int{}
	for code, list := range byCode {
		slices.SortFunc(list, (*finding).compare)
		if len(list) > limit {
			list = fold(list)
		}
		for _, f := range list[:min(limit, len(list))] {
			out = append(out, r.write(f))
		}
		if len(list) > limit {
			rest[code] = len(list) - limit
		}
	}
	return append(out, unspoken(rest)...)
}

// compare orders findings by their first pair of addresses.
func (f *finding) compare(o *finding) int {
	return cmp.Or(f.first.from.Compare(o.first.from), f.first.to.Compare(o.first.to),
		cmp.Compare(f.entry, o.entry), cmp.Compare(f.at, o.at), cmp.Compare(f.toward, o.toward), cmp.Compare(f.text, o.text))
}

// fold joins findings that have a gateway in common, where there are too many: what is wrong with one gateway shows at every other one
// that has to do with it. Each finding goes to the gateway that most of them name.
func fold(list []*finding) []*finding {
	named := map[int32]int{}
	for _, f := range list {
		for _, g := range []int32{f.at, f.toward} {
			if g != nobody {
				named[g]++
			}
		}
	}
	type key struct {
		gateway int32
		entry   int
		reason  Reason
		answer  bool
	}
	first := map[key]*finding{}
	var out []*finding
	for _, f := range list {
		g := f.at
		if f.toward != nobody && named[f.toward] > named[f.at] {
			g = f.toward
		}
		k := key{g, f.entry, f.reason, f.answer}
		if g != nobody && first[k] != nil {
			first[k].folded++
			continue
		}
		first[k] = f
		out = append(out, f)
	}
	for k, f := range first {
		f.culprit = k.gateway
	}
	return out
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
		p.Hint = "a gateway that did not see the request drops the answer, unless a rule lets it pass as new, or as an answer to what another gateway saw"
	case "RW3015":
		r.writeTight(&p, f, pair)
	}
	switch {
	case f.folded > 0:
		p.Message += fmt.Sprintf("; %d more at %s or on the way there", f.folded, r.m.gateways[f.culprit].Name)
	case f.pairs == 2:
		p.Message += "; the same with one more pair of places"
	case f.pairs > 2:
		p.Message += fmt.Sprintf("; the same with %d more pairs of places", f.pairs-1)
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
	if f.answer && f.reason == Filtered {
		p.Hint = "answers must come back by the gateways of the request: compile the plan again"
	}
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

func (r *reporter) writeTight(p *diag.Problem, f *finding, pair string) {
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
		if a == nil || b == nil || !r.w.meet(a.row, b.row) {
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
