package lab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"ropeway/internal/diag"
	"ropeway/internal/fabric"
	"ropeway/internal/lab/drill"
	"ropeway/internal/lab/world"
	"ropeway/internal/verify"
)

// DrillOptions say what to lose, and how often.
type DrillOptions struct {
	Kind     drill.Kind
	Names    []string     // gateways, links as "A,B", or places; none: all there are
	Runs     int          // how many, going through the names in turn; 0: each once
	Progress func(string) // told what is being done. May be nil.
}

// How a drill judges. A run is over when every pair has fared as predicted for a while, or when it has had time enough to.
const (
	drillSpan     = 1500 * time.Millisecond // for which all answer, or none
	drillPatience = 20 * time.Second        // until a pair that should survive answers again
	wellPatience  = 90 * time.Second        // until all is as before; a gateway whose NAT has forgotten it alone needs up to 15 s (WireGuard whitepaper, section 6.1)
	mostPairs     = 32                      // at 200 packets a second each: two cores carry some 30,000 through a tunnel
)

// Drill loses one thing after the other and measures how long pairs of hosts are cut off by it, which it holds against the prover. The lab is as before afterwards, also
// where it was interrupted. Nobody else can change the lab meanwhile.
func (l *Lab) Drill(ctx context.Context, opts DrillOptions) (r *drill.Report, err error) {
	if opts.Progress == nil {
		opts.Progress = func(string) {}
	}
	if _, err := l.Follow(ctx); err != nil {
		return nil, err
	}
	err = l.alone(func(st *site) (err error) {
		r, err = l.drill(ctx, st, opts)
		return err
	})
	return r, err
}

// A rehearsal is a drill at work.
type rehearsal struct {
	*Lab
	st     *site
	report *drill.Report
	flows  []Flow
	pulse  *pulse
	tables map[string][]string // of routes, by machine, where all is well
	say    func(string)
}

func (l *Lab) drill(ctx context.Context, st *site, opts DrillOptions) (_ *drill.Report, err error) {
	losses, err := l.losses(opts)
	if err != nil {
		return nil, err
	}
	d := &rehearsal{Lab: l, st: st, say: opts.Progress, report: &drill.Report{OK: true, Lab: l.Name, Drill: opts.Kind, Period: float64(beat) / float64(time.Millisecond), Runs: []drill.Run{}}}
	if err := d.choosePairs(); err != nil {
		return nil, err
	}
	if d.pulse, err = newPulse(ctx, st, d.flows, beat); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, d.pulse.Close()) }()
	d.say(fmt.Sprintf("%d pairs of hosts talk", len(d.flows)))
	if err := d.awaitWell(ctx); err != nil {
		return nil, err
	}
	if d.tables, err = d.routeTables(); err != nil {
		return nil, err
	}
	runs := opts.Runs
	if runs == 0 {
		runs = len(losses)
	}
	for i := range runs {
		lost := losses[i%len(losses)]
		d.say(fmt.Sprintf("run %d of %d: %s", i+1, runs, lost.name))
		if err := d.run(ctx, lost); err != nil {
			return nil, fmt.Errorf("lose %s: %w", lost.name, err)
		}
		d.say("  " + inWords(d.report.Runs[i]))
	}
	return d.report, nil
}

// A loss is something that a drill takes away.
type loss struct {
	name string
	Fault
}

// losses returns what a drill loses, each once.
func (l *Lab) losses(opts DrillOptions) ([]loss, error) {
	all, of := l.allLosses(opts.Kind)
	if len(opts.Names) == 0 {
		if len(all) == 0 {
			return nil, problem("RW5019", "drill "+string(opts.Kind), "the lab has no "+of, "ropeway lab status shows what there is")
		}
		return all, nil
	}
	var out []loss
	for _, name := range opts.Names {
		i := slices.IndexFunc(all, func(k loss) bool { return k.A == name && k.B == "" || k.A+","+k.B == name || k.B+","+k.A == name })
		if i < 0 {
			var known []string
			for _, k := range all[:min(len(all), 6)] {
				known = append(known, strings.Trim(k.A+","+k.B, ","))
			}
			return nil, problem("RW5009", "drill "+diag.Quote(name), "the lab has no such "+of, "there are, for example, "+strings.Join(known, " "))
		}
		out = append(out, all[i])
	}
	return out, nil
}

func (l *Lab) allLosses(kind drill.Kind) (all []loss, of string) {
	switch kind {
	case drill.GatewayLoss, drill.GatewayFreeze:
		fault := GatewayKill
		if kind == drill.GatewayFreeze {
			fault = GatewayFreeze
		}
		for _, g := range l.record.Plan.Gateways {
			all = append(all, loss{"gateway " + g.Name, Fault{Kind: fault, A: g.Name}})
		}
		return all, "gateway"
	case drill.LinkLoss:
		for _, k := range l.links() {
			all = append(all, loss{"link " + k.A + " " + k.B, Fault{Kind: LinkCut, A: k.A, B: k.B}})
		}
		return all, "link"
	case drill.RegionLoss:
		// To everybody outside, a place that is cut off is one that is gone.
		for _, p := range l.in.Places {
			all = append(all, loss{string(p.Kind) + " " + p.Name, Fault{Kind: RegionPartition, A: p.Name}})
		}
		return all, "region or site"
	}
	return nil, "such thing to lose"
}

// choosePairs takes, of every two places and each direction, the first addresses of which the prover says that an echo is answered now, by ICMP or else by UDP.
func (d *rehearsal) choosePairs() error {
	facts, plan, err := d.believed(TestOptions{})
	if err != nil {
		return err
	}
	model := verify.New(plan, facts)
	services := slices.DeleteFunc(universe(d.in, d.record.Plan), func(s fabric.Service) bool { return s.Protocol == fabric.TCP })
	var pairs []drill.Pair
	for _, from := range d.in.Places {
		for _, to := range d.in.Places {
			if from == to {
				continue
			}
			f, ok := firstAnswered(model, d.record.World, from.Name, to.Name, services)
			if !ok {
				d.report.Silent++
				continue
			}
			d.flows = append(d.flows, f)
			pairs = append(pairs, drill.Pair{From: from.Name, To: to.Name, Source: f.From, Destination: f.To, Service: f.Service.String()})
		}
	}
	if len(pairs) == 0 {
		return problem("RW5019", "drill "+string(d.report.Drill), "no two hosts of different places may ping, or get an answer by UDP", "allow icmp between two places of the fabric file")
	}
	d.report.Beside = max(0, len(pairs)-mostPairs)
	d.report.Pairs, d.flows = thin(pairs, mostPairs), thin(d.flows, mostPairs)
	return nil
}

// thin returns at most so many of a list, evenly spread over it.
func thin[T any](list []T, most int) []T {
	if len(list) <= most {
		return list
	}
	out := make([]T, most)
	for i := range out {
		out[i] = list[i*len(list)/most]
	}
	return out
}

func firstAnswered(m *verify.Model, w *world.World, from, to string, services []fabric.Service) (Flow, bool) {
	for _, s := range services {
		for _, a := range placeAddresses(w, from) {
			for _, b := range placeAddresses(w, to) {
				f := Flow{From: a, To: b, Service: s}
				if a.Is4() == b.Is4() && predict(m, f).Outcome == Reachable {
					return f, true
				}
			}
		}
	}
	return Flow{}, false
}

func placeAddresses(w *world.World, place string) []netip.Addr {
	var out []netip.Addr
	for _, h := range w.Of(world.Host) {
		if h.Place == place {
			out = append(out, w.Addresses(h.Name)...)
		}
	}
	return out
}

// run loses one thing, watches what comes of it, and gives it back.
func (d *rehearsal) run(ctx context.Context, k loss) (err error) {
	facts, plan, err := d.believedUnder(append(d.Faults(), k.Fault))
	if err != nil {
		return err
	}
	model := verify.New(plan, facts)
	forecasts, survive := make([]forecast, len(d.flows)), make([]bool, len(d.flows))
	for i, f := range d.flows {
		forecasts[i] = predict(model, f)
		survive[i] = forecasts[i].Outcome == Reachable
	}
	from := d.pulse.now()
	broken := d.breakIn(ctx, d.st, &k.Fault)
	var first, last int
	if broken == nil {
		first, last, _, broken = d.pulse.settled(ctx, survive, d.pulse.now(), drillSpan, drillPatience)
	}
	// Whatever happened, and whoever interrupted: the fault is not left behind.
	if _, err := d.mendIn(context.WithoutCancel(ctx), d.st, k.ID); err != nil || broken != nil {
		return errors.Join(broken, err)
	}
	results := make([]drill.Result, len(d.flows))
	for i, p := range d.report.Pairs {
		back := last > first && d.pulse.fares(i, first, last) == allOf
		results[i] = drill.NewResult(p, survive[i], forecasts[i].Reason, d.pulse.probes(i, from, last), back)
	}
	d.report.Add(k.name, results)
	return d.awaitWell(ctx)
}

// awaitWell waits until every pair answers, and every machine has the routes that it had at first.
func (d *rehearsal) awaitWell(ctx context.Context) error {
	all := make([]bool, len(d.flows))
	for i := range all {
		all[i] = true
	}
	deadline := time.Now().Add(wellPatience)
	down, err := d.waitForSessions(ctx, wellPatience)
	if err != nil {
		return err
	}
	if len(down) > 0 {
		return problem("RW5018", "lab "+d.Name, fmt.Sprintf("the BGP session of %s with %s is not up", down[0].A, down[0].B), "ropeway lab exec "+down[0].A+" -- ropeway-gateway neighbors")
	}
	for {
		missing, err := d.strayed()
		if err != nil {
			return err
		}
		if missing == "" {
			break
		}
		if time.Now().After(deadline) {
			return problem("RW5018", "machine "+missing, "it lacks routes that it had before", "ropeway lab exec "+missing+" -- ip route")
		}
		if err := sleep(ctx, 10*beat); err != nil {
			return err
		}
	}
	first, last, ok, err := d.pulse.settled(ctx, all, d.pulse.now(), drillSpan, time.Until(deadline))
	if err != nil || ok {
		return err
	}
	var silent []string
	for i, p := range d.report.Pairs {
		if d.pulse.fares(i, first, last) != allOf {
			silent = append(silent, p.From+" → "+p.To)
		}
	}
	return problem("RW5018", "lab "+d.Name, "nothing is lost now, and these pairs of places do not answer steadily: "+strings.Join(silent, ", "),
		"ropeway lab test --name "+d.Name+" tells what passes")
}

// strayed returns a gateway or router that lacks a route of the beginning; "" where none is, or nothing was noted yet.
func (d *rehearsal) strayed() (string, error) {
	if d.tables == nil {
		return "", nil
	}
	now, err := d.routeTables()
	if err != nil {
		return "", err
	}
	for _, name := range d.Machines() {
		for _, r := range d.tables[name] {
			if !slices.Contains(now[name], r) {
				return name, nil
			}
		}
	}
	return "", nil
}

// hop names whom a machine sends packets to.
func (d *rehearsal) hop(machine string, gateway net.IP, device int) string {
	if !gateway.IsLinkLocalUnicast() {
		return gateway.String()
	}
	link, err := d.st.spaces[machine].link.LinkByIndex(device)
	if err != nil {
		return gateway.String() // the device went meanwhile, and the route with it
	}
	return link.Attrs().Name
}

// routeTables returns where the gateways and routers of places send what, whoever told them: the lab, an agent or a routing daemon. Next hops that are objects of the
// kernel have numbers that change, and are left out; so have link-local addresses, of devices that are made anew, and the device stands for them.
func (d *rehearsal) routeTables() (map[string][]string, error) {
	out := map[string][]string{}
	for _, kind := range []world.Kind{world.Gateway, world.Router} {
		for _, drawn := range d.record.World.Of(kind) {
			for _, family := range []int{unix.AF_INET, unix.AF_INET6} {
				routes, err := d.st.spaces[drawn.Name].link.RouteList(nil, family)
				if err != nil {
					return nil, fmt.Errorf("list the routes of %s: %w", drawn.Name, err)
				}
				for _, r := range routes {
					hops := []string{d.hop(drawn.Name, r.Gw, r.LinkIndex)}
					for _, h := range r.MultiPath {
						hops = append(hops, d.hop(drawn.Name, h.Gw, h.LinkIndex))
					}
					slices.Sort(hops)
					out[drawn.Name] = append(out[drawn.Name], fmt.Sprintf("%v by %s, protocol %d", r.Dst, strings.Join(hops, " "), r.Protocol))
				}
			}
			slices.Sort(out[drawn.Name])
		}
	}
	return out, nil
}

func inWords(r drill.Run) string {
	kept, recovered, lost, wrong, longest := 0, 0, 0, 0, 0.0
	for _, res := range r.Results {
		switch res.Fate {
		case drill.Kept:
			kept++
		case drill.Recovered:
			recovered++
			longest = max(longest, *res.Blackout)
		case drill.Lost:
			lost++
		}
		if !res.Agree {
			wrong++
		}
	}
	out := fmt.Sprintf("%d kept, %d recovered, %d lost", kept, recovered, lost)
	if recovered > 0 {
		out += fmt.Sprintf("; longest blackout %g ms", longest)
	}
	if wrong > 0 {
		out += fmt.Sprintf("; %d not as predicted", wrong)
	}
	return out
}
