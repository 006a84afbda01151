package agent

import (
	"maps"
	"slices"
	"time"

	"ropeway/internal/plan"
)

// A record is what the loop leaves for those who ask.
type record struct {
	wanted    *plan.Document // the plan in force; nil: none yet
	applied   string         // the revision that the machine was last found to be in full
	lastError error          // what the last pass could not do; nil: the machine is as wanted
	lastPass  time.Time      // when it ended
	changed   time.Time      // when the last pass that changed something ended
	lastApply *Applied       // the last pass that changed something, or met a new plan
	refused   *Refusal       // why the plan file is not what is wanted
	refusals  int
	asked     bool // somebody asked for something that the plan does not say, and no pass has begun since: what that changes is no drift
	drained   bool // neighbours have been told that the gateway is
	applies   int
	failures  map[string]int // by step
	repairs   map[string]int // changes without a new plan, by step
	drift     []Drift        // the newest of them, and what stands, the newest first
	speaking  *Speaking      // how routing was, for controllers; nil: it is static, or nobody looked yet
}

// Applied tells of one pass.
type Applied struct {
	At       time.Time `json:"at"`
	Duration float64   `json:"durationSeconds"`
	Changes  int       `json:"changes"`
}

// clone returns a record that shares nothing that changes.
func (r *record) clone() record {
	out := *r
	out.failures, out.repairs, out.drift = maps.Clone(r.failures), maps.Clone(r.repairs), slices.Clone(r.drift)
	return out
}

// note writes down what a pass did. A pass over a machine that was settled on this plan already repairs what it changes.
func (r *record) note(want *plan.Document, out *outcome, settled bool, begun time.Time) {
	now := time.Now()
	changes := 0
	for name, l := range out.changes {
		changes += len(l)
		if settled {
			r.repairs = count(r.repairs, name, len(l))
		}
	}
	for name := range out.errs {
		r.failures = count(r.failures, name, 1)
	}
	if settled {
		r.drifted(driftOf(out, now))
	} else {
		r.drifted(nil) // of another plan nothing stands
	}
	if changes > 0 {
		r.changed = now
	}
	if changes > 0 || !settled {
		r.lastApply = &Applied{At: begun, Duration: now.Sub(begun).Seconds(), Changes: changes}
		r.applies++
	}
	r.lastPass, r.lastError = now, out.err()
	if r.lastError == nil {
		r.applied = want.Revision
	}
}

func count(counts map[string]int, name string, n int) map[string]int {
	if counts == nil {
		counts = map[string]int{}
	}
	counts[name] += n
	return counts
}
