package agent

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

// Who went back from a plan, or has heard no controller for long, says so, and is as healthy as before.
func TestContact(t *testing.T) {
	heard := time.Unix(1_000_000, 0)
	c := (&Contact{Heard: &heard, Stale: true, Epoch: 7, OnTrial: true, Reverted: 9, Unread: "RW4022 it cannot read it"}).warn(heard.Add(25 * time.Hour))
	if len(c.Warnings) != 3 || !strings.Contains(c.Warnings[0], "RW4020 went back from revision 9") || c.Warnings[1] != "RW4022 it cannot read it" || !strings.Contains(c.Warnings[2], "RW4021 no controller was heard for 25h0m0s") {
		t.Errorf("it warns: %q", c.Warnings)
	}
	text := exposition(Status{Healthy: true, Controller: c})
	for _, line := range []string{"ropeway_healthy 1", "ropeway_controller_heard_time_seconds 1000000", "ropeway_controller_stale 1", "ropeway_plan_epoch 7", "ropeway_plan_on_trial 1", "ropeway_plan_reverted_epoch 9", "ropeway_plan_unread 1"} {
		if !bytes.Contains(text, []byte("\n"+line+"\n")) {
			t.Errorf("the exposition lacks %s:\n%s", line, text)
		}
	}
	if text := exposition(Status{}); bytes.Contains(text, []byte("ropeway_controller")) {
		t.Error("without a controller there is something to say of one")
	}
	if c := (&Contact{Heard: &heard, Epoch: 7}).warn(heard); len(c.Warnings) > 0 {
		t.Errorf("all is well, and it warns: %q", c.Warnings)
	}
}
