package diag

import (
	"fmt"
	"slices"
	"strings"
)

// DidYouMean returns a hint with the known word nearest to a wrong one, or with all of them.
func DidYouMean(wrong string, known []string) string {
	best, least := "", 3 // further off than two letters is no typing error
	for _, k := range known {
		if n := distance(strings.ToLower(wrong), strings.ToLower(k), least); n < least {
			best, least = k, n
		}
	}
	if best != "" {
		return fmt.Sprintf("did you mean %s?", best)
	}
	if len(known) == 0 {
		return "there are none"
	}
	if len(known) > 10 {
		known = append(slices.Clone(known[:10]), "…")
	}
	return "known here: " + strings.Join(known, ", ")
}

// distance returns the edits (Levenshtein) from a to b, or limit where they are at least as many.
func distance(a, b string, limit int) int {
	if len(a)-len(b) >= limit || len(b)-len(a) >= limit {
		return limit
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return min(row[len(b)], limit)
}
