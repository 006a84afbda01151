package agent

import (
	"fmt"
	"time"

	"ropeway/internal/logs"
)

// A Contact is what is known of the controllers that plans come from.
type Contact struct {
	Heard    *time.Time `json:"heard,omitempty"`        // when one was heard last
	Stale    bool       `json:"stale"`                  // for so long none was that somebody should look
	Epoch    uint64     `json:"epoch"`                  // of the plan that came last: the revision of the fabric
	OnTrial  bool       `json:"onTrial"`                // no controller has confirmed that plan yet
	Reverted uint64     `json:"revertedFrom,omitempty"` // the epoch that the gateway went back from by itself
	Unread   string     `json:"unread,omitempty"`       // why it cannot follow the plan that it was sent last
	Warnings []string   `json:"warnings,omitempty"`     // what of this somebody should know
}

// warn says what somebody should know. None of it makes a gateway unhealthy: it forwards.
func (c *Contact) warn(now time.Time) *Contact {
	if c == nil {
		return nil
	}
	if c.Reverted > 0 {
		c.Warnings = append(c.Warnings, fmt.Sprintf("%s went back from revision %d: with its plan it found no controller", codeWentBack, c.Reverted))
	}
	if c.Unread != "" {
		c.Warnings = append(c.Warnings, logs.Printable(c.Unread))
	}
	if c.Stale && c.Heard != nil {
		c.Warnings = append(c.Warnings, fmt.Sprintf("%s no controller was heard for %s: what this gateway follows may be out of date", codeStale, now.Sub(*c.Heard).Round(time.Second)))
	}
	return c
}

func (c *Contact) expose(gauge func(name, help string, value float64)) {
	if c == nil {
		return
	}
	if c.Heard != nil {
		gauge("ropeway_controller_heard_time_seconds", "When a controller was heard last, in seconds since the epoch.", seconds(*c.Heard))
	}
	gauge("ropeway_controller_stale", "1 where no controller was heard for so long that somebody should look.", truth(c.Stale))
	gauge("ropeway_plan_epoch", "Revision of the fabric that the plan in force is of.", float64(c.Epoch))
	gauge("ropeway_plan_on_trial", "1 where no controller has confirmed the plan yet.", truth(c.OnTrial))
	gauge("ropeway_plan_unread", "1 where the gateway was sent a plan that it cannot read, and goes on with the one that it has.", truth(c.Unread != ""))
	gauge("ropeway_plan_reverted_epoch", "Revision that the gateway went back from by itself; 0 for none.", float64(c.Reverted))
}
