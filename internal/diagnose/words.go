package diagnose

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

func count(n int, noun string) string { return fmt.Sprintf("%d %s", n, plural(n, noun, noun+"s")) }

func plural(n int, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}

// some lists at most eight names.
func some(names []string) string {
	const most = 8
	if len(names) > most {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
	}
	return strings.Join(names, ", ")
}

func sorted(set map[string]bool) []string { return slices.Sorted(maps.Keys(set)) }

func names(gateways []*Gateway) []string {
	out := make([]string, len(gateways))
	for i, g := range gateways {
		out[i] = g.Name
	}
	return out
}
