package controller

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	ropewayv1 "ropeway/api/ropeway/v1"
	"ropeway/internal/diag"
	"ropeway/internal/rollout"
	"ropeway/internal/store"
)

// rolling is what the loop that takes the steps of rollouts knows. Every controller has one, and each may take a step: what it is fenced by makes
// one of several that do so at once come first, and the others look again.
type rolling struct {
	waves Waves
	begun time.Time
	wake  chan struct{}

	mu    sync.Mutex
	now   *present
	since time.Time                // when its step was heard of here
	seen  map[string]rollout.Sight // of everybody whom the rollout concerns
}

func newRolling(w Waves) *rolling {
	return &rolling{waves: w.or(Waves{usualSoak, usualTimeout}), begun: time.Now(), wake: make(chan struct{}, 1), now: &present{newest: &fabric{}}}
}

// poke has the loop look.
func (r *rolling) poke() {
	select {
	case r.wake <- struct{}{}:
	default: // one is waiting already
	}
}

// turnTo tells the loop of what stands in the store.
func (r *rolling) turnTo(now *present) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if now.step() != r.now.step() {
		r.since, r.seen = time.Now(), nil
	}
	r.now = now
	r.poke()
}

// view returns what there is to judge, since when, and what was seen of it last.
func (r *rolling) view() (now *present, since time.Time, seen map[string]rollout.Sight) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.now, r.since, r.seen
}

func (r *rolling) note(now *present, seen map[string]rollout.Sight) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.now == now {
		r.seen = seen
	}
}

// How often the loop looks while a rollout runs, if nothing wakes it, and how long it lets what wakes it gather.
const (
	lookEvery = 500 * time.Millisecond
	gather    = 50 * time.Millisecond
)

// roll takes steps of the active rollout until ctx ends.
func (c *Controller) roll(ctx context.Context) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	l := &lookout{Controller: c}
	for {
		select {
		case <-ctx.Done():
			return
		case <-c.rolling.wake:
			time.Sleep(gather)
		case <-tick.C:
		}
		if now, _, _ := c.rolling.view(); now.active() {
			if err := l.look(ctx); err != nil && ctx.Err() == nil {
				c.log.Error("a rollout waits", "revision", now.rollout.Revision, "error", err)
			}
		}
	}
}

// A lookout is what the loop remembers from one look to the next.
type lookout struct {
	*Controller
	wellFor   int64     // the step at which everybody is well
	wellSince time.Time // and since when
}

// look judges the active rollout, and takes the step that is due.
func (l *lookout) look(ctx context.Context) error {
	now, since, _ := l.rolling.view()
	seen := l.sights(now)
	l.rolling.note(now, seen)
	given := map[string]rollout.Sight{}
	for name, s := range seen {
		if now.rollout.Admits(name) {
			given[name] = s
		}
	}
	verdict := now.rollout.Judge(l.age(now.rollout, since), given)
	if !verdict.Passed || l.wellFor != now.step() {
		l.wellFor, l.wellSince = 0, time.Time{}
	}
	switch {
	case verdict.Failed != "":
		return l.fail(ctx, now, verdict.Failed)
	case verdict.Passed && l.wellFor == 0:
		l.wellFor, l.wellSince = now.step(), time.Now()
	}
	if verdict.Passed && time.Since(l.wellSince) >= l.pace(now.rollout).Soak {
		return l.admit(ctx, now, seen)
	}
	return nil
}

func (l *lookout) pace(r *store.Rollout) Waves { return Waves{r.Soak, r.Timeout}.or(l.rolling.waves) }

// age tells how long a wave has been out there: as long as this controller knows, whatever clocks say.
func (l *lookout) age(r *store.Rollout, since time.Time) rollout.Age {
	timeout := l.pace(r).Timeout
	switch age := time.Since(since); {
	case age >= timeout:
		return rollout.Old
	case age >= min(grownAfter, timeout):
		return rollout.Grown
	case age >= min(settledAfter, timeout) && time.Since(l.rolling.begun) >= min(comingBack, timeout):
		return rollout.Settled
	}
	return rollout.Young
}

// sights is what is known of everybody whom the rollout concerns.
func (c *Controller) sights(now *present) map[string]rollout.Sight {
	all := make(map[string]rollout.Sight, len(now.touched))
	for name := range now.touched {
		all[name] = c.sight(now, name)
	}
	return all
}

// sight is what is known of a gateway, by whichever controller it speaks with. It has what the rollout brings where its epoch has come to the
// revision of that: what came on top of it meanwhile is a key.
func (c *Controller) sight(now *present, name string) rollout.Sight {
	said, connected := c.heard(name)
	c.mu.Lock()
	refused := c.refused[name]
	c.mu.Unlock()
	want := now.rollout.Revision
	switch {
	case refused >= want && now.rollout.Admits(name):
		return rollout.Sight{Condition: rollout.Reverted, Why: "with this plan it found no controller"}
	case !connected:
		return rollout.Sight{}
	case said != nil && now.rollout.Admits(name) && c.unreadable(name, said) != "":
		return rollout.Sight{Condition: rollout.Broken, Why: c.unreadable(name, said)}
	case said == nil || said.KeptEpoch < want:
		return rollout.Sight{Condition: rollout.Waiting, Why: "it does not have the plan yet"}
	case !said.Healthy:
		return rollout.Sight{Condition: rollout.Broken, Why: "is not as the plan says: " + said.Message}
	case said.AppliedEpoch < want:
		return rollout.Sight{Condition: rollout.Waiting, Why: "it is becoming what the plan says"}
	case said.ProbedEpoch != nil && *said.ProbedEpoch < want:
		return rollout.Sight{Condition: rollout.Waiting, Why: "it looks whom it still reaches"}
	}
	for _, lost := range said.Lost {
		if now.joined(name, lost) && c.connected(lost) {
			return rollout.Sight{Condition: rollout.Broken, Why: fmt.Sprintf("no longer reaches gateway %s through its tunnel", lost)}
		}
	}
	return rollout.Sight{Condition: rollout.Ready}
}

// heard returns what a gateway said last, nil for nothing, and whether it is connected: to this controller, or to another one that told of it.
func (c *Controller) heard(gateway string) (said *ropewayv1.ReportRequest, connected bool) {
	if c.outbox.connected(gateway) {
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.reported[gateway].ReportRequest, true
	}
	r, elsewhere := c.elsewhere.get(gateway)
	return r.ReportRequest, elsewhere
}

// connected reports whether a gateway is connected to a controller.
func (c *Controller) connected(gateway string) bool {
	_, connected := c.heard(gateway)
	return connected
}

// admit lets the next wave begin, or ends the rollout.
func (l *lookout) admit(ctx context.Context, now *present, seen map[string]rollout.Sight) error {
	var away []string
	for name, s := range seen {
		if s.Condition == rollout.Unseen && now.rollout.WaveOf(name) == now.rollout.Wave+1 {
			away = append(away, name)
		}
	}
	slices.Sort(away)
	next, err := now.rollout.Next(away)
	if err != nil {
		return err
	}
	step := now.rollout.Take(next, l.self(), l.opts.Now())
	if err := l.opts.Store.StepRollout(ctx, now.step(), step); err != nil {
		return others(err)
	}
	l.log.Info("a rollout goes on", "revision", next.Revision, "state", next.State, "wave", next.Wave+1, "of", next.Total())
	return nil
}

// fail has the fabric go back.
func (l *lookout) fail(ctx context.Context, now *present, why string) error {
	b := back{author: l.self(), as: rollout.Failed, why: fmt.Sprintf("the rollout of revision %d failed: %s", now.rollout.Revision, why), at: l.opts.Now()}
	number, err := l.desk.goBack(ctx, now.step(), b)
	if stuck := new(diag.Problem); errors.As(err, stuck) {
		return l.hold(ctx, now, why, stuck)
	}
	if err != nil {
		return others(err)
	}
	l.log.Error("a rollout failed", "revision", now.rollout.Revision, "back", number, "why", why)
	return nil
}

// hold pauses a rollout that failed, and cannot go back before somebody signs that.
func (l *lookout) hold(ctx context.Context, now *present, why string, stuck *diag.Problem) error {
	next, err := now.rollout.Hold(fmt.Sprintf("it failed: %s; %s (%s)", why, stuck.Message, stuck.Hint))
	if err != nil {
		return err
	}
	if err := l.opts.Store.StepRollout(ctx, now.step(), now.rollout.Take(next, l.self(), l.opts.Now())); err != nil {
		return others(err)
	}
	l.log.Error("a rollout failed, and waits for somebody who signs", "revision", now.rollout.Revision, "code", stuck.Code, "why", why)
	return nil
}

// others leaves out that somebody else took the step.
func others(err error) error {
	if errors.Is(err, store.ErrStep) {
		return nil
	}
	return err
}

// self is who takes steps that no person asks for.
func (c *Controller) self() string { return "controller/" + c.opts.Name }
