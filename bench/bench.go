// Package bench compares two ways of doing one thing, in one run, turn by turn.
//
// Benchmarks stand beside the code that they measure and use Compare, so that a busy machine slows both sides alike; what counts is the ratio of the
// medians. They need root, as they make network namespaces. All of them:
//
//	go test -run '^$' -bench . -benchtime 1x ./internal/...
//
// The number of rounds is part of each benchmark, so -benchtime 1x is enough. The metrics are ours-ms and theirs-ms (medians, in milliseconds) and
// ratio (theirs by ours: how many times faster). Where a benchmark has a bar it fails below it, unless ROPEWAY_BENCH_LENIENT is set.
package bench

import (
	"os"
	"slices"
	"testing"
	"time"
)

// Median returns the middle of some durations; it sorts them.
func Median(list []time.Duration) time.Duration {
	slices.Sort(list)
	return list[len(list)/2]
}

// Percentile returns the smallest of some durations that so many percent of them do not exceed (nearest rank); it sorts them. Of fewer than 100, the 99th is the longest.
func Percentile(list []time.Duration, percent int) time.Duration {
	slices.Sort(list)
	return list[max((percent*len(list)+99)/100, 1)-1]
}

// Compare runs two functions in turn, rounds times each, and returns the medians of how long they took. Each function returns how long the part took
// that counts, so that it can prepare and check outside of it.
func Compare(tb testing.TB, rounds int, ours, theirs func() (time.Duration, error)) (a, b time.Duration) {
	tb.Helper()
	var as, bs []time.Duration
	for i := range rounds {
		for _, side := range []struct {
			run  func() (time.Duration, error)
			into *[]time.Duration
		}{{ours, &as}, {theirs, &bs}} {
			took, err := side.run()
			if err != nil {
				tb.Fatalf("round %d: %v", i+1, err)
			}
			*side.into = append(*side.into, took)
		}
	}
	return Median(as), Median(bs)
}

// Report adds the medians and their ratio to a benchmark, and holds them against the bars: the most time that ours may take (0: any) and the least
// ratio.
func Report(b *testing.B, ours, theirs, most time.Duration, ratio float64) {
	b.Helper()
	b.ReportMetric(0, "ns/op") // of the whole benchmark: says nothing
	b.ReportMetric(ms(ours), "ours-ms")
	b.ReportMetric(ms(theirs), "theirs-ms")
	got := float64(theirs) / float64(ours)
	b.ReportMetric(got, "ratio")
	b.Logf("ours %s, theirs %s, ratio %.1f", ours, theirs, got) // a benchmark that fails prints no metrics
	if most > 0 && ours > most {
		Miss(b, "took %s, want at most %s", ours, most)
	}
	if got < ratio {
		Miss(b, "%.1f times faster, want at least %.1f", got, ratio)
	}
}

// Within reports the median of what some rounds took, and holds it against a bar.
func Within(b *testing.B, rounds []time.Duration, most time.Duration) {
	b.Helper()
	got := Median(rounds)
	b.ReportMetric(ms(got), "p50-ms")
	if got > most {
		Miss(b, "took %s, want at most %s", got, most)
	}
}

// Miss fails a benchmark that does not reach its bar, or only says so where ROPEWAY_BENCH_LENIENT is set.
func Miss(b *testing.B, format string, args ...any) {
	b.Helper()
	if os.Getenv("ROPEWAY_BENCH_LENIENT") != "" {
		b.Logf("bar missed: "+format, args...)
		return
	}
	b.Errorf("bar missed: "+format, args...)
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
