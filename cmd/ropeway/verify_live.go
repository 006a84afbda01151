package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"ropeway/internal/bgp"
	"ropeway/internal/console"
	"ropeway/internal/intent"
	"ropeway/internal/plan"
	"ropeway/internal/verify"
)

// A liveFabric is what runs: what was meant, the plan that gateways follow, and what was seen of them.
type liveFabric struct {
	intent  *intent.Fabric
	plan    *plan.Fabric
	routes  map[string][]bgp.Route // by gateway; one that did not answer is not among the keys
	drained []string               // gateways, sorted
}

// A liveReport is what verify --live shows: the proof of what was seen, and in what that is not as promised.
type liveReport struct {
	*verify.Report
	AsPromised  bool                `json:"asPromised"` // every gateway tells, and has what the plan promises
	Drained     []string            `json:"drained"`
	Unseen      []string            `json:"unseen"` // gateways of which no routes are known: the proof takes of them what the plan promises
	Differences []verify.Difference `json:"differences"`
}

// judge proves what was seen under the facts, and compares it with the promise. That a gateway is drained is a fact: routes that lead around it are as promised.
func (f *liveFabric) judge(facts verify.Facts) *liveReport {
	facts.Drained = f.drained
	seen, unseen := f.seen(facts)
	out := &liveReport{Drained: append([]string{}, f.drained...), Unseen: unseen, Differences: []verify.Difference{}}
	observed, uncertain := verify.WithRoutes(f.plan, facts, seen)
	out.Report = verify.New(observed, facts).Check(f.intent)
	out.Problems = append(out.Problems, uncertain...)
	out.Differences = append(out.Differences, verify.Differences(f.plan, facts, seen)...)
	out.OK = out.OK && !uncertain.Failed()
	out.AsPromised = len(out.Differences)+len(out.Unseen) == 0
	return out
}

// differences returns in what routes are not as promised under the facts.
func (f *liveFabric) differences(facts verify.Facts) []verify.Difference {
	facts.Drained = f.drained
	seen, _ := f.seen(facts)
	return verify.Differences(f.plan, facts, seen)
}

// seen returns what gateways that are not said to be down have learnt, and those of them that do not tell.
func (f *liveFabric) seen(facts verify.Facts) (seen map[string][]verify.Learnt, unseen []string) {
	seen, unseen = map[string][]verify.Learnt{}, []string{}
	for _, g := range f.plan.Gateways {
		routes, answers := f.routes[g.Name]
		switch {
		case g.BGP == nil || slices.Contains(facts.Down, g.Name):
		case !answers:
			unseen = append(unseen, g.Name)
		default:
			seen[g.Name] = learntOf(g, routes)
		}
	}
	return seen, unseen
}

// learntOf returns those routes of a gateway that carry packets and were learnt of other gateways. What a router of the place announces is no promise of the plan's: it may
// announce whatever it is believed, and the plan counts on that.
func learntOf(g *plan.Gateway, routes []bgp.Route) []verify.Learnt {
	out := []verify.Learnt{}
	for _, r := range routes {
		external := slices.ContainsFunc(g.BGP.Neighbors, func(n *plan.Neighbor) bool { return n.Name == r.Neighbor && n.External() })
		if r.Best && r.Neighbor != "" && !external {
			out = append(out, verify.Learnt{Prefix: r.Prefix, Device: r.Device, Path: r.Path, Metric: r.Metric})
		}
	}
	return out
}

// runVerifyLive proves what the gateways of a running fabric have.
func runVerifyLive(cmd *cobra.Command, flags *factFlags, format console.Format) error {
	holds := true
	err := lookAt(cmd, false, func(ctx context.Context, o lookout, s console.Style, w io.Writer) error {
		r, p, err := proveLive(ctx, o, flags)
		if err != nil {
			return err
		}
		holds = r.OK && r.AsPromised
		if format != console.Text {
			return console.Encode(w, format, r)
		}
		_, err = io.WriteString(w, proofText(s, r.Report)+differencesText(s, p, r))
		return err
	})
	if err == nil && !holds {
		return exitProof
	}
	return err
}

// proveLive asks gateways for what they have, and judges it.
func proveLive(ctx context.Context, o lookout, flags *factFlags) (*liveReport, *plan.Fabric, error) {
	f, err := o.fabric(ctx)
	if err != nil {
		return nil, nil, err
	}
	if !learns(f.plan) {
		return nil, nil, problem("RW6019", "fabric "+f.plan.Name, "its routes are static: no gateway learns any",
			"ropeway verify FILE proves the plan, and ropeway drift tells of machines that are not as it says")
	}
	facts, err := flags.facts(&source{intent: f.intent})
	if err != nil {
		return nil, nil, err
	}
	f.routes, err = o.routes(ctx, "", true)
	if err != nil {
		return nil, nil, err
	}
	return f.judge(facts), f.plan, nil
}

// learns reports whether any gateway speaks BGP.
func learns(p *plan.Fabric) bool {
	return slices.ContainsFunc(p.Gateways, func(g *plan.Gateway) bool { return g.BGP != nil })
}

// mostDifferences is how many differences are spelt out for people; -o json has all.
const mostDifferences = 50

// differencesText says in what gateways are not as promised.
func differencesText(s console.Style, p *plan.Fabric, r *liveReport) string {
	var b strings.Builder
	if len(r.Drained) > 0 {
		fmt.Fprintf(&b, "%s %s\n", s.Yellow("drained"), some(r.Drained))
	}
	if len(r.Unseen) > 0 {
		fmt.Fprintf(&b, "%s %s: what they have is not known, and taken to be as promised; of one that is known to be dead, say --down\n", s.Red("unseen"), some(r.Unseen))
	}
	for _, d := range r.Differences[:min(len(r.Differences), mostDifferences)] {
		fmt.Fprintf(&b, "%s %s\n", s.Red(d.Gateway), differenceText(p, d))
	}
	if more := len(r.Differences) - mostDifferences; more > 0 {
		fmt.Fprintf(&b, "… and %d more; -o json has all\n", more)
	}
	if r.AsPromised {
		fmt.Fprintf(&b, "%s: every gateway has the routes that the plan promises\n", s.Green("As promised"))
	} else {
		fmt.Fprintf(&b, "%s: %s, and %s that no routes are known of\n", s.Red("Not as promised"), count(len(r.Differences), "route"), count(len(r.Unseen), "gateway"))
	}
	return b.String()
}

// differenceText says how a route is not as promised.
func differenceText(p *plan.Fabric, d verify.Difference) string {
	g := p.Gateway(d.Gateway)
	switch d.What {
	case verify.Missing:
		return fmt.Sprintf("has no route to %s, which the plan leads by %s", d.Prefix, waysOut(g, d.Promised))
	case verify.Unexpected:
		return fmt.Sprintf("has a route to %s by %s that the plan does not lead to", d.Prefix, waysOut(g, d.Seen))
	}
	return fmt.Sprintf("leads %s by %s, and the plan by %s", d.Prefix, waysOut(g, d.Seen), waysOut(g, d.Promised))
}

// waysOut names the devices that packets leave by, with who is at the other end.
func waysOut(g *plan.Gateway, devices []string) string {
	var out []string
	for _, name := range devices {
		if d := g.Device(name); d != nil && len(d.Peers) > 0 {
			name += " (" + d.Peers[0].Gateway + ")"
		}
		out = append(out, name)
	}
	return strings.Join(out, ", ")
}
