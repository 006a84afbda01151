package plan

import (
	"fmt"
	"strings"
)

// Text writes the difference for a person: a line per gateway or route table, and below it a line per change, each with its mark.
func (d *Diff) Text() string {
	var b strings.Builder
	section := func(kind string, all []Difference) {
		for _, x := range all {
			title := kind + " " + x.Name
			if x.Place != x.Name {
				title += " (" + x.Place + ")"
			}
			fmt.Fprintf(&b, "%s %s\n", x.Action.Mark(), title)
			for _, c := range x.Changes {
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
