// Package rollout is the thought behind bringing a new revision to the gateways of a fabric in waves: who is to have it when, what a wave waits
// for, and what comes next.
//
// One gateway goes first, the canary; then one of each place; then the rest. A wave is admitted when all of those before it are well with what they
// got. Who is in no named wave is in the last one: so a thousand names need not be remembered, and a gateway that comes to the fabric meanwhile
// has its place. While a rollout is active, gateways that were admitted follow the newest revision and all others the base, the one that was the
// newest before. That is all of the rule, and it holds for a gateway that was away, that comes back or that is enrolled anew. What a gateway brings
// meanwhile (its key) makes a revision on top of the one that is being rolled out, and goes on with it.
//
// What goes wrong ends the rollout as failed, in the same step as a revision that says again what the base said: it is the newest then, everybody
// follows it, and those who never got another have nothing to do.
//
// Nothing here knows a clock or a store. A Rollout is a value; each step makes the next one, and whoever keeps it fences the step by the one before.
package rollout

import (
	"errors"
	"fmt"
	"slices"
)

// A State says how a rollout is.
type State string

// The states. The last three are ends.
const (
	Running State = "running"
	Paused  State = "paused"  // nothing is admitted and nothing judged until somebody says so
	Done    State = "done"    // everybody may have it
	Failed  State = "failed"  // it went back by itself
	Aborted State = "aborted" // somebody had it go back
)

// A Rollout is how a revision comes to gateways.
type Rollout struct {
	Revision uint64     `json:"revision"`         // that it brings
	Base     uint64     `json:"base"`             // the newest one before it; 0: there was none
	State    State      `json:"state"`            //
	AtOnce   bool       `json:"atOnce,omitempty"` // without waves: everybody got it, and nobody waited
	Waves    [][]string `json:"waves,omitempty"`  // the named ones, names sorted
	Rest     int        `json:"rest,omitempty"`   // how many gateways it concerned, when it began, that no wave names; where there are any they are the last wave
	Wave     int        `json:"wave"`             // the last one that was admitted, from 0
	Away     []string   `json:"away,omitempty"`   // gateways that nobody heard of when their wave was admitted
	Why      string     `json:"why,omitempty"`    // why it went back, or should have
	Back     uint64     `json:"back,omitempty"`   // the revision by which it went back
}

// ErrState is returned for a step that a rollout in its state cannot take. Test with errors.Is.
var ErrState = errors.New("the rollout is not in a state for it")

// Active reports whether some gateways may have to wait still.
func (r *Rollout) Active() bool { return r.State == Running || r.State == Paused }

// Total is the number of waves.
func (r *Rollout) Total() int {
	if r.Rest > 0 {
		return len(r.Waves) + 1
	}
	return len(r.Waves)
}

// WaveOf returns the wave that a gateway is in, from 0: the last one where none names it.
func (r *Rollout) WaveOf(gateway string) int {
	for i, names := range r.Waves {
		if _, named := slices.BinarySearch(names, gateway); named {
			return i
		}
	}
	return max(0, r.Total()-1)
}

// Admits reports whether a gateway may have the newest revision.
func (r *Rollout) Admits(gateway string) bool { return !r.Active() || r.WaveOf(gateway) <= r.Wave }

// Check refuses what no function of this package makes.
func (r *Rollout) Check() error {
	switch {
	case !slices.Contains([]State{Running, Paused, Done, Failed, Aborted}, r.State):
		return errors.New("a rollout has a state")
	case r.Revision <= r.Base:
		return errors.New("a rollout brings a revision that is newer than its base")
	case r.Rest < 0 || r.Wave < 0 || r.Wave >= max(1, r.Total()):
		return errors.New("a rollout has the wave that it is at")
	case r.Active() && r.Base == 0:
		return errors.New("a rollout without a base has nobody who waits")
	case (r.State == Failed || r.State == Aborted) != (r.Back > 0) || r.Back > 0 && r.Back <= r.Revision:
		return errors.New("a rollout that went back did so by a revision, and no other did")
	}
	for _, names := range r.Waves {
		if len(names) == 0 || !slices.IsSorted(names) {
			return errors.New("a wave has names, and they are sorted")
		}
	}
	return nil
}

// Next admits the wave after this one, or is done where there is none. away are those of that wave of whom nobody hears.
func (r Rollout) Next(away []string) (Rollout, error) {
	if r.State != Running {
		return r, fmt.Errorf("%w: it is %s, and only a running one goes on", ErrState, r.State)
	}
	if r.Wave+1 >= r.Total() {
		r.State = Done
		return r, nil
	}
	r.Wave++
	r.Away = slices.Concat(r.Away, away)
	return r, nil
}

// Pause keeps the rollout where it is.
func (r Rollout) Pause() (Rollout, error) { return r.become(Paused, Running) }

// Resume lets it go on.
func (r Rollout) Resume() (Rollout, error) {
	next, err := r.become(Running, Paused)
	if err == nil {
		next.Why = ""
	}
	return next, err
}

// Hold pauses a rollout that should go back and cannot, and says why.
func (r Rollout) Hold(why string) (Rollout, error) {
	next, err := r.Pause()
	if err == nil {
		next.Why = why
	}
	return next, err
}

func (r Rollout) become(s, from State) (Rollout, error) {
	if r.State != from {
		return r, fmt.Errorf("%w: it is %s, and not %s", ErrState, r.State, from)
	}
	r.State = s
	return r, nil
}

// GoneBack ends the rollout by a revision that says what the base said: as failed, or as aborted by somebody.
func (r Rollout) GoneBack(as State, by uint64, why string) (Rollout, error) {
	if !r.Active() {
		return r, fmt.Errorf("%w: it is %s, and has come to its end", ErrState, r.State)
	}
	r.State, r.Back, r.Why = as, by, why
	return r, nil
}
