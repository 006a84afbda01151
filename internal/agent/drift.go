package agent

import (
	"slices"
	"time"

	"ropeway/internal/logs"
)

// A Drift is something that nobody asked for: found on a machine that was as its plan says, and undone, or standing.
type Drift struct {
	Step   string    `json:"step"`
	What   string    `json:"what"`   // what was done about it, or why nothing could be; one line
	Stands bool      `json:"stands"` // it could not be undone yet
	Times  int       `json:"times"`
	First  time.Time `json:"first"`
	Last   time.Time `json:"last"`
}

// Bounds on what is remembered of drift.
const (
	mostDrift    = 32 // in all, the newest
	mostOfAPass  = 8  // of one step of one pass: somebody may have flushed a table of thousands
	mostDriftLen = 200
)

// driftOf returns what a pass over a settled machine says of drift: what it undid, and what it could not undo.
func driftOf(out *outcome, now time.Time) []Drift {
	var found []Drift
	add := func(step, what string, stands bool) {
		what = logs.Printable(what)
		found = append(found, Drift{Step: step, What: what[:min(len(what), mostDriftLen)], Stands: stands, Times: 1, First: now, Last: now})
	}
	for _, name := range StepNames() {
		changes := out.changes[name]
		for _, c := range changes[:min(len(changes), mostOfAPass)] {
			add(name, c, false)
		}
		if err := out.errs[name]; err != nil {
			add(name, err.Error(), true)
		}
	}
	return found
}

// drifted notes what a pass found. What was found before is not noted twice: it counts. What stood and was not met again stands no more.
func (r *record) drifted(found []Drift) {
	for i := range r.drift {
		r.drift[i].Stands = false
	}
	for _, d := range found {
		i := slices.IndexFunc(r.drift, func(o Drift) bool { return o.Step == d.Step && o.What == d.What })
		if i >= 0 {
			d.Times, d.First = r.drift[i].Times+1, r.drift[i].First
			r.drift = slices.Delete(r.drift, i, i+1)
		}
		r.drift = slices.Insert(r.drift, 0, d)
	}
	r.drift = r.drift[:min(len(r.drift), mostDrift)]
}

// Drift returns what was not as the plan said since the agent began, the newest first.
func (a *Agent) Drift() []Drift {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.record.drift)
}
