// Package drill says what a series of losses did to pairs of hosts that were talking: how long each was cut off, and whether the prover had foretold it. Nothing here
// touches the machine; package lab breaks things and measures.
package drill

import (
	"net/netip"
	"time"
)

// A Kind says what is lost.
type Kind string

// What can be lost.
const (
	GatewayLoss   Kind = "gateway-loss"   // a gateway is without power
	GatewayFreeze Kind = "gateway-freeze" // a gateway stands still
	LinkLoss      Kind = "link-loss"      // nothing passes between two gateways
	RegionLoss    Kind = "region-loss"    // a region or site is silent to all others
)

// A Fate is what becomes of a pair in a run.
type Fate string

// What can become of a pair. The prover foretells survival or not: how long the way round takes to be found is no matter of proof.
const (
	Kept      Fate = "kept"      // every probe was answered
	Recovered Fate = "recovered" // probes were lost, and then all were answered again while the loss lasted
	Lost      Fate = "lost"      // there was no answer until the loss was undone
)

// A Report is a series of runs.
type Report struct {
	OK     bool    `json:"ok"` // every pair did as predicted in every run
	Lab    string  `json:"lab"`
	Drill  Kind    `json:"drill"`
	Period float64 `json:"period_ms"`          // between probes of a pair: no blackout is known more exactly
	Beside int     `json:"beside,omitempty"`   // pairs of places that are not probed, being too many
	Silent int     `json:"unprobed,omitempty"` // pairs of places of which nothing can be probed: neither a ping nor a datagram is answered where all is well
	Summary
	Pairs []Pair `json:"pairs"`
	Runs  []Run  `json:"runs"`
}

// A Pair is a host of one place that asks a host of another.
type Pair struct {
	From        string     `json:"from"` // places
	To          string     `json:"to"`
	Source      netip.Addr `json:"source"`
	Destination netip.Addr `json:"destination"`
	Service     string     `json:"service"`
	Agree       bool       `json:"agree"` // it did as predicted in every run
	Summary
}

// A Summary counts fates, and the blackouts of those that recovered. The percentiles are nearest ranks, in milliseconds, and missing where nobody recovered.
type Summary struct {
	Kept      int      `json:"kept"`
	Recovered int      `json:"n"`
	Lost      int      `json:"lost"`
	P50       *float64 `json:"p50_ms"`
	P99       *float64 `json:"p99_ms"`
	Max       *float64 `json:"max_ms"`
}

// A Run is one loss.
type Run struct {
	Lost    string   `json:"lost"` // "gateway use1-a", "link euw1-a use1-a", "region use1"
	Agree   bool     `json:"agree"`
	Results []Result `json:"results"` // in the order of the report's pairs
}

// A Result is what became of a pair in a run.
type Result struct {
	From     string   `json:"from"`
	To       string   `json:"to"`
	Survives bool     `json:"predicted_survival"`
	Reason   string   `json:"reason,omitempty"` // why the prover says that it does not
	Fate     Fate     `json:"fate"`
	Agree    bool     `json:"agree"`
	Missed   int      `json:"missed"`                // probes without an answer while the loss lasted
	Blackout *float64 `json:"blackout_ms,omitempty"` // of a pair that recovered
}

// A Probe is one packet: when it was sent, counted from anywhere, and whether its answer came.
type Probe struct {
	Sent     time.Duration
	Answered bool
}

// Judge says what became of a pair whose probes, from before the loss to the end of the run, were these. back says that it answers at the end.
//
// The blackout is the longest time between two probes that were answered with others between them that were not: from the last one that was answered before to the first
// one after. So it is longer than the truth by up to two periods and never shorter, and a probe that a busy machine lost on its own is a short one.
func Judge(probes []Probe, back bool) (f Fate, missed int, blackout time.Duration) {
	last := time.Duration(-1)
	lost := false // since last
	for _, p := range probes {
		switch {
		case !p.Answered:
			missed++
			lost = true
			continue
		case lost && last >= 0:
			blackout = max(blackout, p.Sent-last)
		}
		last, lost = p.Sent, false
	}
	switch {
	case !back:
		return Lost, missed, 0
	case missed > 0:
		return Recovered, missed, blackout
	}
	return Kept, 0, 0
}

// NewResult sets what became of a pair beside what was foretold.
func NewResult(p Pair, survives bool, reason string, probes []Probe, back bool) Result {
	r := Result{From: p.From, To: p.To, Survives: survives, Reason: reason}
	var blackout time.Duration
	r.Fate, r.Missed, blackout = Judge(probes, back)
	if r.Fate == Recovered {
		ms := milliseconds(blackout)
		r.Blackout = &ms
	}
	r.Agree = survives == (r.Fate != Lost)
	return r
}

func milliseconds(d time.Duration) float64 {
	return float64(d.Round(100*time.Microsecond)) / float64(time.Millisecond)
}

// Add adds a run, whose results are in the order of the pairs, and brings every summary up to date.
func (r *Report) Add(lost string, results []Result) {
	run := Run{Lost: lost, Agree: true, Results: results}
	for _, res := range results {
		run.Agree = run.Agree && res.Agree
	}
	r.Runs = append(r.Runs, run)
	r.OK = true
	var all []Result
	for i := range r.Pairs {
		var own []Result
		r.Pairs[i].Agree = true
		for _, run := range r.Runs {
			own = append(own, run.Results[i])
			r.Pairs[i].Agree = r.Pairs[i].Agree && run.Results[i].Agree
		}
		r.Pairs[i].Summary = summarize(own)
		r.OK = r.OK && r.Pairs[i].Agree
		all = append(all, own...)
	}
	r.Summary = summarize(all)
}
