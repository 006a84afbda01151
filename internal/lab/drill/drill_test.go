package drill

import (
	"flag"
	"fmt"
	"math"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files again")

// probes are some that were sent 10 ms apart: "+" is one that was answered, "-" one that was not.
func probes(marks string) []Probe {
	var out []Probe
	for i, m := range marks {
		out = append(out, Probe{time.Duration(i) * 10 * time.Millisecond, m == '+'})
	}
	return out
}

func TestJudge(t *testing.T) {
	for _, c := range []struct {
		marks    string
		back     bool
		fate     Fate
		missed   int
		blackout time.Duration
	}{
		{"++++", true, Kept, 0, 0},
		{"++-+", true, Recovered, 1, 20 * time.Millisecond},
		{"++---+++", true, Recovered, 3, 40 * time.Millisecond},
		{"+-++---+-+", true, Recovered, 5, 40 * time.Millisecond}, // the longest
		{"--++", true, Recovered, 2, 0},                           // nothing is known of when it began
		{"++--", false, Lost, 2, 0},
		{"++-+-", false, Lost, 2, 0},
		{"", true, Kept, 0, 0},
	} {
		fate, missed, blackout := Judge(probes(c.marks), c.back)
		if fate != c.fate || missed != c.missed || blackout != c.blackout {
			t.Errorf("%s: %s, %d missed, %s; want %s, %d, %s", c.marks, fate, missed, blackout, c.fate, c.missed, c.blackout)
		}
	}
	// A sender that was held up is no blackout.
	if fate, _, blackout := Judge([]Probe{{0, true}, {time.Second, true}}, true); fate != Kept || blackout != 0 {
		t.Errorf("without a lost probe: %s, %s", fate, blackout)
	}
}

func TestTally(t *testing.T) {
	got := NewTally(Pair{From: "a", To: "b"}, probes("++-+--+-"), 3)
	want := Tally{From: "a", To: "b", Sent: 8, Lost: 3, Missed: 4, Blackout: 30 * time.Millisecond, Took: 70 * time.Millisecond}
	if got != want || math.Round(got.Rate()) != 100 {
		t.Errorf("%+v, %g a second; want %+v, 100", got, got.Rate(), want)
	}
}

func TestPercentilesAreNearestRanks(t *testing.T) {
	var hundred []float64
	for i := range 100 {
		hundred = append(hundred, float64(i+1))
	}
	for _, c := range []struct {
		of            []float64
		percent, want float64
	}{
		{hundred, 50, 50}, {hundred, 99, 99}, {hundred, 100, 100}, {hundred[:1], 50, 1}, {hundred[:2], 50, 1}, {hundred[:3], 50, 2}, {hundred[:10], 99, 10},
	} {
		if got := percentile(c.of, c.percent); *got != c.want {
			t.Errorf("%g %% of %d values: %g, want %g", c.percent, len(c.of), *got, c.want)
		}
	}
}

// some is a report of two pairs and three runs.
func some() *Report {
	r := &Report{Lab: "acme", Drill: GatewayLoss, Period: 10, Pairs: []Pair{
		{From: "euw1", To: "use1", Source: netip.MustParseAddr("10.20.0.1"), Destination: netip.MustParseAddr("10.10.0.1"), Service: "icmp"},
		{From: "use1", To: "euw1", Source: netip.MustParseAddr("10.10.0.1"), Destination: netip.MustParseAddr("10.20.0.1"), Service: "udp/7"},
	}}
	for i, marks := range [][2]string{{"++++", "+----+"}, {"+-----------------+", "+---"}, {"++--++", "++"}} {
		var results []Result
		for k, m := range marks {
			survives := i != 1 || k != 1
			results = append(results, NewResult(r.Pairs[k], survives, "", probes(m), m[len(m)-1] == '+'))
		}
		r.Add(fmt.Sprintf("gateway g<%d>", i), results)
	}
	return r
}

func TestAReportSumsUp(t *testing.T) {
	r := some()
	number := func(f float64) *float64 { return &f }
	if diff := cmp.Diff(Summary{Kept: 2, Recovered: 3, Lost: 1, P50: number(50), P99: number(180), Max: number(180)}, r.Summary); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(Summary{Kept: 1, Recovered: 1, Lost: 1, P50: number(50), P99: number(50), Max: number(50)}, r.Pairs[1].Summary); diff != "" {
		t.Error(diff)
	}
	if !r.OK || !r.Runs[1].Agree {
		t.Errorf("all did as predicted: %+v", r)
	}
	wrong := NewResult(r.Pairs[0], false, "no way", probes("+-+"), true)
	r.Add("gateway g", []Result{wrong, NewResult(r.Pairs[1], true, "", probes("++"), true)})
	if r.OK || r.Pairs[0].Agree || !r.Pairs[1].Agree || r.Runs[3].Agree {
		t.Errorf("a pair came back that should not have, and the report says %+v", r)
	}
}

func TestChart(t *testing.T) {
	got := Chart(some())
	const golden = "testdata/chart.svg"
	if *update {
		if err := os.WriteFile(golden, got, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Error(diff)
	}
}

func TestAxis(t *testing.T) {
	for _, c := range []struct{ longest, top, step float64 }{{1, 100, 10}, {100, 100, 10}, {101, 120, 20}, {350, 350, 50}, {987, 1000, 100}, {4200, 4500, 500}} {
		if top, step := axis(&c.longest); top != c.top || step != c.step {
			t.Errorf("up to %g: an axis to %g in steps of %g, want %g and %g", c.longest, top, step, c.top, c.step)
		}
	}
}
