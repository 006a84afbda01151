package reach

import (
	"fmt"
	"strings"

	"ropeway/internal/prefixes"
)

// How many changes Text writes, and prefixes of each side of one, before it counts the rest.
const (
	mostLines = 200
	mostShown = 4
)

// Text writes the changes for a person, a line each, with its mark: the first 200, and how many more there are.
func (d *Diff) Text() string {
	var b strings.Builder
	for i, c := range d.Changes {
		if i == mostLines {
			b.WriteString(d.rest())
			break
		}
		fmt.Fprintf(&b, "%s %s → %s, %s: %s → %s", c.Action.Mark(), c.From, c.To, strings.Join(c.Services, ", "), prefixes.Few(c.Sources, mostShown), prefixes.Few(c.Destinations, mostShown))
		switch {
		case c.Before == nil:
			fmt.Fprintf(&b, " by %s\n", c.After)
		case c.After == nil:
			fmt.Fprintf(&b, " (was by %s)\n", c.Before)
		default:
			fmt.Fprintf(&b, " by %s (was by %s)\n", c.After, c.Before)
		}
	}
	if d.Partial {
		b.WriteString("  (the fabric is large: where access stays as it was, one prefix of each place stands for all of them)\n")
	}
	return b.String()
}

// rest counts the changes that Text does not write.
func (d *Diff) rest() string {
	more, where := len(d.Changes)-mostLines, "has them all"
	for _, n := range d.Omitted {
		more += n
		where = fmt.Sprintf("has %d of a kind", mostListed)
	}
	return fmt.Sprintf("… and %d more (-o json %s)\n", more, where)
}

// String returns "use1-a → euw1-b, MTU 1440, and back"; the way back is spelt out where it differs.
func (w *Way) String() string {
	there := fmt.Sprintf("%s, MTU %d", strings.Join(w.Forward, " → "), w.MTU)
	switch {
	case w.ReturnMTU == 0:
		return there + ", no way back"
	case reversed(w.Forward, w.Return) && w.MTU == w.ReturnMTU:
		return there + ", and back"
	}
	return there + fmt.Sprintf(", back by %s, MTU %d", strings.Join(w.Return, " → "), w.ReturnMTU)
}

func reversed(a, b []string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[len(b)-1-i] {
			return false
		}
	}
	return true
}
