package plan

import (
	"fmt"
	"strings"
)

// mostLines is how many changes of one gateway or route table Text writes before it counts the rest.
const mostLines = 60

// Text writes the difference for a person: a line per gateway or route table, and below it a line per change, each with its mark.
// Of a gateway with more than 60 changes it writes the first and counts the rest; the JSON form has all.
func (d *Diff) Text() string {
	var b strings.Builder
	section := func(kind string, all []Difference) {
		for _, x := range all {
			title := kind + " " + x.Name
			if x.Place != x.Name {
				title += " (" + x.Place + ")"
			}
			fmt.Fprintf(&b, "%s %s\n", x.Action.Mark(), title)
			for i, c := range x.Changes {
				if i == mostLines {
					fmt.Fprintf(&b, "    … and %d more changes (-o json has them all)\n", len(x.Changes)-mostLines)
					break
				}
				fmt.Fprintf(&b, "    %s %s: %s\n", c.Action.Mark(), c.Object, c.Detail)
			}
		}
	}
	section("gateway", d.Gateways)
	section("router", d.Routers)
	return b.String()
}

// Count returns how many gateways are added, changed and removed.
func (d *Diff) Count() (added, changed, removed int) {
	for _, x := range d.Gateways {
		switch x.Action {
		case Add:
			added++
		case Alter:
			changed++
		case Remove:
			removed++
		}
	}
	return added, changed, removed
}
