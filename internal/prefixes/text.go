package prefixes

import (
	"fmt"
	"net/netip"
	"strings"
)

// Few writes a list in one short line: at most so many prefixes, and how many more there are. A single address stands without its length.
func Few(list []netip.Prefix, most int) string {
	if len(list) == 0 {
		return "nothing"
	}
	shown := list
	if len(list) > most+1 { // "and 1 more" is no shorter than the one
		shown = list[:most]
	}
	out := make([]string, len(shown))
	for i, p := range shown {
		out[i] = p.String()
		if p.IsSingleIP() {
			out[i] = p.Addr().String()
		}
	}
	s := strings.Join(out, ", ")
	if rest := len(list) - len(shown); rest > 0 {
		s += fmt.Sprintf(" and %d more", rest)
	}
	return s
}
