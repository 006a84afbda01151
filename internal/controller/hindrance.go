package controller

import (
	"fmt"

	ropewayv1 "ropeway/api/ropeway/v1"
	"ropeway/internal/diag"
)

// codeKeptBack is of a plan that a gateway would not understand.
const codeKeptBack diag.Code = "RW7307"

// formatOf is the last format of plans that a gateway understands, as it says. Those who say nothing are from before formats were numbered.
func formatOf(said uint32) uint32 { return max(said, 1) }

// hindrance says what keeps a gateway from following what it should, "" where nothing but time does: it does not understand the plan, or went back from
// it by itself.
func (c *Controller) hindrance(gateway string, said *ropewayv1.ReportRequest) string {
	if p := c.outbox.look(gateway); p != nil && said.RevertedEpoch >= p.epoch {
		return said.Message
	}
	return c.unreadable(gateway, said)
}

// unreadable says why a gateway does not understand the plan that it should follow, "" where it does. One that it would not understand is kept back. One
// that says itself that it does not was sent it all the same: it refuses what its controllers take for readable.
func (c *Controller) unreadable(gateway string, said *ropewayv1.ReportRequest) string {
	p := c.outbox.look(gateway)
	switch {
	case p == nil:
		return ""
	case p.format > formatOf(said.PlanFormat):
		return fmt.Sprintf("%s the plan of revision %d is kept back: its format is %d, and the gateway's agent understands %d at most", codeKeptBack, p.epoch, p.format, formatOf(said.PlanFormat))
	case said.UnreadEpoch >= p.epoch:
		return said.Message
	}
	return ""
}
