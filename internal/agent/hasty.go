package agent

import (
	"fmt"

	"ropeway/internal/plan"
)

// Below fewCPUs a machine that fills its tunnels may not send its packets of BFD in time: on two, three missed every 100 ms were enough to lose neighbours that were there,
// and three missed every 300 ms were not. The file's author is warned as well (RW1506), but only the agent knows the machine.
const (
	fewCPUs    = 4
	steadyBeat = 300 // milliseconds
)

// hasty returns what there is to say of a plan whose BFD is too quick for a machine with so many CPUs; "": nothing.
func hasty(g *plan.Gateway, cpus int) string {
	if g.BGP == nil || cpus >= fewCPUs {
		return ""
	}
	quickest := steadyBeat
	for _, n := range g.BGP.Neighbors {
		if n.BFD != nil {
			quickest = min(quickest, n.BFD.Interval)
		}
	}
	if quickest == steadyBeat {
		return ""
	}
	return fmt.Sprintf("BFD every %d ms may lose neighbours that are there when tunnels are full: this machine has fewer than %d CPUs; %d ms would be safe", quickest, fewCPUs, steadyBeat)
}
