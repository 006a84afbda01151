package lab

import (
	"fmt"
	"net/netip"

	"ropeway/internal/fabric"
	"ropeway/internal/intent"
	"ropeway/internal/verify"
)

// carriesSize reports whether a probe of a service can have any size: TCP chooses its own.
func carriesSize(s fabric.Service) bool { return s.Protocol != fabric.TCP }

// observedKey finds a result.
type observedKey struct {
	from, to netip.Addr
	service  string
	size     int
}

// judge decides every test by what was observed, and sets it beside the proof.
func (r *Report) judge(l *Lab, services []fabric.Service, proof *verify.Report) {
	seen := map[observedKey]Outcome{}
	for _, res := range r.Results {
		if !res.Stream {
			seen[observedKey{res.From, res.To, res.Service, res.Size}] = res.Observed
		}
	}
	r.OK = r.Agree == r.Sent
	r.Tests = make([]Tested, 0, len(l.in.Tests))
	for i, t := range l.in.Tests {
		out := Tested{From: t.From.Text, To: t.To.Text, Expect: t.Expect, Predicted: proof.Tests[i].OK, Position: t.Position}
		if t.Service != nil {
			out.Service = t.Service.String()
		}
		out.Observed, out.Reason = true, proof.Tests[i].Reason
		all := pairs(l.record.World, t.From, t.To)
		out.Pairs = len(all)
		for _, p := range all {
			if bad := breaks(testServices(services, t), t, p, seen); bad != "" {
				out.Observed, out.Reason = false, bad
				break
			}
		}
		out.OK, out.Agree = out.Observed && out.Predicted, out.Observed == out.Predicted
		r.OK = r.OK && out.OK
		r.Tests = append(r.Tests, out)
	}
}

// breaks says how what was observed of one pair breaks a test; "" where it does not.
func breaks(services []fabric.Service, t intent.Test, p [2]netip.Addr, seen map[observedKey]Outcome) string {
	through, big, sizes := 0, 0, 0
	for _, s := range services {
		key := observedKey{p[0], p[1], s.String(), 0}
		got := seen[key]
		if t.Expect == intent.Denied && got != Denied {
			return fmt.Sprintf("%s from %s to %s: a packet arrived", s, p[0], p[1])
		}
		if got != Reachable {
			continue
		}
		through++
		if key.size = t.MTU; t.MTU != 0 && carriesSize(s) {
			sizes++
			if seen[key] == Reachable {
				big++
			}
		}
	}
	switch {
	case t.Expect == intent.Denied:
		return ""
	case through == 0, t.Service != nil && through < len(services):
		return fmt.Sprintf("from %s to %s: no answer", p[0], p[1])
	case sizes > 0 && big == 0:
		return fmt.Sprintf("from %s to %s: packets of %d bytes are lost", p[0], p[1], t.MTU)
	}
	return ""
}
