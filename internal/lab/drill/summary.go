package drill

import (
	"math"
	"slices"
)

func summarize(results []Result) Summary {
	var s Summary
	var blackouts []float64
	for _, r := range results {
		switch r.Fate {
		case Kept:
			s.Kept++
		case Lost:
			s.Lost++
		case Recovered:
			s.Recovered++
			blackouts = append(blackouts, *r.Blackout)
		}
	}
	if len(blackouts) == 0 {
		return s
	}
	slices.Sort(blackouts)
	s.P50, s.P99, s.Max = percentile(blackouts, 50), percentile(blackouts, 99), percentile(blackouts, 100)
	return s
}

// percentile returns the smallest of some sorted values that so many percent of them do not exceed (nearest rank).
func percentile(sorted []float64, percent float64) *float64 {
	rank := int(math.Ceil(percent / 100 * float64(len(sorted))))
	v := sorted[max(rank, 1)-1]
	return &v
}
