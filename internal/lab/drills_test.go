package lab

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"ropeway/internal/diag"
	"ropeway/internal/lab/drill"
	"ropeway/internal/verify"
)

func TestWhatADrillLoses(t *testing.T) {
	l := drawn(t, threeRegions)
	for _, c := range []struct {
		opts DrillOptions
		want []string
	}{
		{DrillOptions{Kind: drill.RegionLoss}, []string{"region use1", "region euw1", "region apse1", "site hq"}},
		{DrillOptions{Kind: drill.GatewayLoss, Names: []string{"use1-b", "hq-1"}}, []string{"gateway use1-b", "gateway hq-1"}},
		{DrillOptions{Kind: drill.GatewayFreeze, Names: []string{"use1-b"}}, []string{"gateway use1-b"}},
		{DrillOptions{Kind: drill.LinkLoss, Names: []string{"use1-a,euw1-a", "euw1-a,use1-b"}}, []string{"link euw1-a use1-a", "link euw1-a use1-b"}},
	} {
		losses, err := l.losses(c.opts)
		var got []string
		for _, k := range losses {
			got = append(got, k.name)
			if err := l.sensible(k.Fault); err != nil {
				t.Errorf("%s: %v", k.name, err)
			}
		}
		if err != nil || len(got) != len(c.want) {
			t.Fatalf("%+v: %v, %v; want %v", c.opts, got, err, c.want)
		}
		for _, name := range c.want {
			if !slices.Contains(got, name) {
				t.Errorf("%+v: %v; want %v", c.opts, got, c.want)
			}
		}
	}
	var p diag.Problem
	for _, names := range [][]string{{"use1"}, {"use1-a,use1-b"}, {""}} {
		if _, err := l.losses(DrillOptions{Kind: drill.GatewayLoss, Names: names}); !errors.As(err, &p) || p.Code != "RW5009" {
			t.Errorf("lose gateway %q: %v, want RW5009", names, err)
		}
	}
}

func TestADrillThinsItsPairsEvenly(t *testing.T) {
	var many []int
	for i := range 100 {
		many = append(many, i)
	}
	if got := fmt.Sprint(thin(many, 4), thin(many[:3], 4)); got != "[0 25 50 75] [0 1 2]" {
		t.Error(got)
	}
}

func TestADrillTakesTheFirstPairThatMayTalk(t *testing.T) {
	l := drawn(t, policed)
	d := &rehearsal{Lab: l, report: &drill.Report{}}
	if err := d.choosePairs(); err != nil {
		t.Fatal(err)
	}
	if len(d.flows) != 1 || d.report.Silent != 1 || d.flows[0].Service.String() != "icmp" || d.report.Pairs[0].From != "a" || d.report.Pairs[0].To != "b" {
		t.Errorf("pairs %+v, flows %v, %d of which nothing can be probed; want a → b by ICMP, and b may not ask a", d.report.Pairs, d.flows, d.report.Silent)
	}
	model := verify.New(l.record.Plan, verify.Facts{Down: []string{"b-1"}})
	if f := predict(model, d.flows[0]); f.Outcome == Reachable {
		t.Error("with its gateway dead, b is said to answer")
	}
}

// Where routing is static, a pair that crossed what is lost is lost until it is back, and every other one notices nothing.
func TestADrillAgreesWithTheProver(t *testing.T) {
	l := up(t, policed)
	r, err := l.Drill(t.Context(), DrillOptions{Kind: drill.GatewayLoss, Names: []string{"a-1"}, Runs: 2, Progress: func(s string) { t.Log(s) }})
	if err != nil {
		t.Fatal(err)
	}
	if !r.OK || len(r.Runs) != 2 || r.Lost != 2 || r.Kept+r.Recovered != 0 || r.P50 != nil {
		t.Errorf("report %+v", r)
	}
	if f := l.Faults(); len(f) != 0 {
		t.Errorf("faults are left: %v", f)
	}
	agrees(t, l)
}

// A watch misses what a fault swallows, and nothing else; and others can work on the lab meanwhile.
func TestAWatchCountsWhatIsLost(t *testing.T) {
	l := up(t, policed)
	for _, cut := range []bool{false, true} {
		w, err := l.Watch(t.Context(), time.Millisecond)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(300 * time.Millisecond)
		if cut {
			if _, err := l.Break(t.Context(), Fault{Kind: LinkCut, A: "a-1", B: "b-1"}); err != nil {
				t.Error(err)
			}
			time.Sleep(300 * time.Millisecond)
			if _, err := l.Mend(t.Context()); err != nil {
				t.Error(err)
			}
			time.Sleep(100 * time.Millisecond)
		}
		tallies, err := w.Close()
		if err != nil || len(tallies) != 1 {
			t.Fatalf("%v, %v", tallies, err)
		}
		got := tallies[0]
		t.Logf("%+v, %.0f a second", got, got.Rate())
		if got.From != "a" || got.Sent < 250 || (got.Missed > 0) != cut || (got.Lost > 0) != cut || got.Lost > got.Missed || (got.Blackout >= 250*time.Millisecond) != cut || got.Rate() < 900 {
			t.Errorf("cut %t: %+v", cut, got)
		}
	}
}
