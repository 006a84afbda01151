package lab

import (
	"context"
	"fmt"
	"net/netip"
	"slices"

	"ropeway/internal/diag"
	"ropeway/internal/fabric"
	"ropeway/internal/intent"
	"ropeway/internal/lab/world"
	"ropeway/internal/verify"
)

// A Report is what packets say of a lab, beside what the prover says.
type Report struct {
	OK        bool     `json:"ok"` // every packet did as predicted, and every test holds
	Lab       string   `json:"lab"`
	Revision  uint64   `json:"revision,omitempty"` // of the controllers, where there are some
	Faults    []Fault  `json:"faults"`             // that are active
	Predicted bool     `json:"predicted"`          // whether the prover was told of them
	Astray    []string `json:"astray,omitempty"`   // learnt routes that are not what the prover says, after a wait; at most 20
	Sent      int      `json:"sent"`               // flows
	Agree     int      `json:"agree"`              // flows that did as predicted
	Tests     []Tested `json:"tests"`
	Results   []Result `json:"results"`
}

// A Result is one flow: what the prover says becomes of it, and what did.
type Result struct {
	From      netip.Addr `json:"from"`
	To        netip.Addr `json:"to"`
	FromHost  string     `json:"from_host"`
	ToHost    string     `json:"to_host"`
	Service   string     `json:"service"`
	Size      int        `json:"size,omitempty"`   // bytes of inner packet; 0: small
	Stream    bool       `json:"stream,omitempty"` // a TCP connection that sends and gets back 192 KiB
	Predicted Outcome    `json:"predicted"`
	Observed  Outcome    `json:"observed"`
	Agree     bool       `json:"agree"`
	Reason    string     `json:"reason,omitempty"`  // why the prover says that it dies
	TooBig    int        `json:"too_big,omitempty"` // the MTU that somebody told the sender
	Micros    int64      `json:"rtt_us,omitempty"`
}

// A Tested is one entry of the fabric file's tests.
type Tested struct {
	From      string             `json:"from"`
	To        string             `json:"to"`
	Service   string             `json:"service,omitempty"`
	Expect    intent.Expectation `json:"expect"`
	OK        bool               `json:"ok"`        // proven and observed
	Predicted bool               `json:"predicted"` // proven
	Observed  bool               `json:"observed"`  // what the packets say
	Agree     bool               `json:"agree"`
	Pairs     int                `json:"pairs"`
	Reason    string             `json:"reason,omitempty"`
	Position  diag.Position      `json:"position,omitzero"`
}

// TestOptions say how to test.
type TestOptions struct {
	IgnoreFaults bool // predict as if nothing were broken
	Everything   bool // every service between every two addresses, not only what access and tests speak of
}

// Test sends what tests and access say through the lab and holds it against the prover.
//
// In a lab with controllers it speaks of their newest revision, and the prover of what gateways were told of it.
func (l *Lab) Test(ctx context.Context, opts TestOptions) (r *Report, err error) {
	if _, err := l.Follow(ctx); err != nil {
		return nil, err
	}
	err = l.inside(func(st *site) (err error) {
		r, err = l.test(ctx, st, opts)
		return err
	})
	return r, err
}

func (l *Lab) test(ctx context.Context, st *site, opts TestOptions) (*Report, error) {
	p, err := newProber(st, st.world.Of(world.Host), func(a netip.Addr) string {
		if h := st.world.HostOf(a); h != nil {
			return h.Name
		}
		return ""
	})
	if err != nil {
		return nil, err
	}
	defer p.Close()

	facts, plan, err := l.believed(opts)
	if err != nil {
		return nil, err
	}
	astray, err := l.awaitConvergence(ctx, st, plan, facts, convergePatience)
	if err != nil {
		return nil, err
	}
	healthy, real := verify.New(l.record.Plan, verify.Facts{}), verify.New(plan, facts)
	services := universe(l.in, l.record.Plan)
	small := flows(l.in, st.world, services)
	if opts.Everything {
		small = everything(l.in, st.world, services)
	}
	all := append(small, sized(small, healthy, real)...)
	all = append(all, l.askedSizes(all, services)...)
	forecasts := make([]forecast, len(all))
	for i, f := range all {
		forecasts[i] = predict(real, f)
	}
	probes, err := p.all(ctx, forecasts)
	if err != nil {
		return nil, err
	}
	out := &Report{Lab: l.Name, Revision: l.record.Revision, Faults: append([]Fault{}, l.record.Faults...), Predicted: !opts.IgnoreFaults, Astray: astray, Sent: len(probes)}
	for i, pr := range probes {
		out.add(st.world, forecasts[i], pr)
	}
	out.judge(l, services, real.Check(l.in))
	return out, nil
}

// askedSizes returns flows of the sizes that tests ask for, where some service can carry a size.
func (l *Lab) askedSizes(have []Flow, services []fabric.Service) []Flow {
	known := map[Flow]bool{}
	for _, f := range have {
		known[f] = true
	}
	var out []Flow
	for _, t := range l.in.Tests {
		if t.MTU == 0 || t.Expect != intent.Reachable {
			continue
		}
		for _, p := range pairs(l.record.World, t.From, t.To) {
			for _, s := range testServices(services, t) {
				f := Flow{From: p[0], To: p[1], Service: s, Size: t.MTU}
				if carriesSize(s) && !known[f] {
					known[f] = true
					out = append(out, f)
				}
			}
		}
	}
	return out
}

// all sends every flow, packets first, and returns them in order.
func (p *prober) all(ctx context.Context, forecasts []forecast) ([]*probe, error) {
	all := make([]*probe, len(forecasts))
	var packets, streams []*probe
	for i, f := range forecasts {
		all[i] = &probe{Flow: f.Flow, expect: f.Outcome}
		if f.Stream {
			streams = append(streams, all[i])
		} else {
			packets = append(packets, all[i])
		}
	}
	if err := p.run(ctx, packets); err != nil {
		return nil, fmt.Errorf("send packets: %w", err)
	}
	if err := p.runStreams(ctx, streams); err != nil {
		return nil, fmt.Errorf("send streams: %w", err)
	}
	return all, nil
}

func (r *Report) add(w *world.World, f forecast, pr *probe) {
	got := pr.outcome()
	res := Result{
		From: f.From, To: f.To, FromHost: w.HostOf(f.From).Name, ToHost: w.HostOf(f.To).Name,
		Service: f.Service.String(), Size: f.Size, Stream: f.Stream,
		Predicted: f.Outcome, Observed: got, Agree: f.Outcome == got || lingers(r.Faults, f.Outcome, got), Reason: f.Reason, TooBig: pr.tooBig, Micros: pr.took.Microseconds(),
	}
	if res.Agree {
		r.Agree++
	}
	r.Results = append(r.Results, res)
}

// lingers reports whether a packet that arrived is what a prediction lets arrive for a while. Where one direction of a link is cut the prover takes it for cut, as it will be once
// the keys of its session are 3 minutes old (WireGuard whitepaper, section 6.2). Until then a request that takes the other direction arrives, and is not answered.
func lingers(faults []Fault, predicted, observed Outcome) bool {
	halved := slices.ContainsFunc(faults, func(f Fault) bool { return f.Kind == LinkOneWay })
	return halved && predicted == Denied && observed == OneWay
}
