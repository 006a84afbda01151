package agent

import (
	"context"
	"errors"
	"runtime"
	"time"

	"ropeway/internal/diag"
	"ropeway/internal/logs"
)

// How often the machine is looked at.
const (
	pollEvery = time.Second           // where no event tells of a change; repairs are promised within 2 s
	settle    = 50 * time.Millisecond // events come in bursts: a pass waits for the end of one
	restMost  = time.Second / 2       // a plan waits for this at most
	restRatio = 4                     // looking for nothing takes a fifth of a processor at most, however large the plan
	applyMost = 30 * time.Second      // a pass that takes longer is given up; the next goes on from there
)

// loop passes over the machine until ctx ends: at once where the plan is another one, soon where something else wakes it, else once in pollEvery. A pass
// that has begun is finished even then, so that an agent that is stopped does not leave half a plan.
func (a *Agent) loop(ctx context.Context, events *events) {
	sweep(a.source.kept)
	if err := a.source.restore(); err != nil {
		a.log.Error("the last good plan is of no use", "error", err)
	}
	defer notify("STOPPING=1")
	var idle time.Duration // what a pass takes that finds nothing to do
	for {
		begun := time.Now()
		calm := a.pass(context.WithoutCancel(ctx))
		notify("READY=1\nWATCHDOG=1")
		took := time.Since(begun)
		if calm {
			idle = took
		}
		rest := min(took, restMost) // a storm of events does not take all of a processor
		if !sleep(ctx, rest) || !events.wait(ctx, max(pollEvery, idle*restRatio)-rest) {
			return
		}
	}
}

// events are what wakes the loop. In each one that waits stands for any number.
type events struct {
	plan    chan struct{} // the plan file may be another one
	machine chan struct{} // something else may be
}

func newEvents() *events { return &events{make(chan struct{}, 1), make(chan struct{}, 1)} }

// wait returns at once where the plan may be another one, at the end of a burst where anything else may be, and after poll where nothing was. It reports
// false where ctx ended first.
func (e *events) wait(ctx context.Context, poll time.Duration) bool {
	limit := time.NewTimer(poll)
	defer limit.Stop()
	if planned, ok := e.quiet(ctx); planned || !ok { // what the last pass did itself is a burst, too
		return ok
	}
	select {
	case <-ctx.Done():
		return false
	case <-e.plan:
		return true
	case <-limit.C:
		return true
	case <-e.machine:
	}
	_, ok := e.quiet(ctx)
	empty(e.machine)
	return ok
}

// quiet waits for the end of a burst, or until the plan may be another one.
func (e *events) quiet(ctx context.Context) (planned, ok bool) {
	t := time.NewTimer(settle)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false, false
	case <-e.plan:
		return true, true
	case <-t.C:
		return false, true
	}
}

// pass reads the plan if it changed and makes the machine so. It reports whether there was nothing to do, and nothing wrong: how long a pass took that failed,
// waiting for something that did not come, says nothing of how long to wait for the next.
func (a *Agent) pass(ctx context.Context) (calm bool) {
	ctx, cancel := context.WithTimeout(ctx, applyMost)
	defer cancel()
	want, isNew, refused := a.source.poll()
	if refused != nil && !a.refusedAlready(refused) && sleep(ctx, settle) { // it may be half written
		want, isNew, refused = a.source.poll()
	}
	a.noteRefusal(refused)
	a.update(func(r *record) { r.wanted = want })
	if want == nil {
		a.update(func(r *record) { r.lastPass = time.Now() })
		return true
	}
	if isNew {
		a.log.Info("a new plan is in force", "gateway", want.Gateway.Name, "revision", want.Revision)
		if why := hasty(&want.Gateway, runtime.NumCPU()); why != "" {
			a.log.Warn(why)
		}
	}
	settled, failed := a.lastTime(want.Revision)
	begun := time.Now()
	out := a.machine.apply(ctx, &want.Gateway, settled && !failed)
	a.logChanges(out, settled)
	a.update(func(r *record) {
		r.note(want, out, settled, begun)
		r.drained = a.machine.speaker.told()
	})
	return !isNew && len(out.changes) == 0 && len(out.errs) == 0
}

// refreshEvery is how often sessions that stopped working are given their endpoint again: a DNS name may point elsewhere by now.
const refreshEvery = 30 * time.Second

func (a *Agent) refresh(ctx context.Context) {
	for sleep(ctx, refreshEvery) {
		a.mu.Lock()
		want := a.record.wanted
		a.mu.Unlock()
		if want == nil {
			continue
		}
		changes, err := a.machine.devices.Refresh(ctx, want.Gateway.Devices)
		for _, c := range changes {
			a.log.Info("endpoint renewed", "change", c.String())
		}
		if err != nil && ctx.Err() == nil {
			a.log.Warn("endpoints of stale peers cannot be renewed", "error", err)
		}
	}
}

// lastTime reports whether the machine once was as this revision says and nobody has asked for more since, so that what differs now is drift, and whether the
// last pass failed.
func (a *Agent) lastTime(revision string) (settled, failed bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	asked := a.record.asked
	a.record.asked = false
	return a.record.applied == revision && !asked, a.record.lastError != nil
}

func (a *Agent) update(change func(*record)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	change(&a.record)
}

// refusedAlready reports whether that is why the plan file was refused last.
func (a *Agent) refusedAlready(err error) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.record.refused != nil && a.record.refused.Message == logs.Printable(err.Error())
}

// noteRefusal keeps why the plan file is refused, and says it once.
func (a *Agent) noteRefusal(err error) {
	var last, now string
	if err != nil {
		now = logs.Printable(err.Error())
	}
	a.update(func(r *record) {
		if r.refused != nil {
			last = r.refused.Message
		}
		if now == last {
			return
		}
		r.refused = nil
		if err != nil {
			r.refused = &Refusal{Code: codeOf(err), Message: now, Since: time.Now()}
			r.refusals++
		}
	})
	switch {
	case now == last:
	case err == nil:
		a.log.Info("the plan file is good again")
	default:
		a.log.Error("the plan file is refused, the last good plan stays in force", "error", err)
	}
}

// codeOf returns the code of the first problem in an error.
func codeOf(err error) diag.Code {
	var p diag.Problem
	if errors.As(err, &p) {
		return p.Code
	}
	return ""
}

// maxLogged bounds the lines that one step of one pass logs.
const maxLogged = 20

func (a *Agent) logChanges(out *outcome, drift bool) {
	message := "changed"
	if drift {
		message = "repaired"
	}
	for _, name := range StepNames() {
		changes := out.changes[name]
		for i, c := range changes {
			if i == maxLogged {
				a.log.Info(message, "step", name, "more", len(changes)-maxLogged)
				break
			}
			a.log.Info(message, "step", name, "change", c)
		}
	}
	err := out.err()
	a.mu.Lock()
	last := a.record.lastError
	a.mu.Unlock()
	switch {
	case err == nil && last != nil:
		a.log.Info("the machine is as the plan says again")
	case err != nil && (last == nil || last.Error() != err.Error()):
		a.log.Error("the machine is not as the plan says", "error", err)
	}
}

// sleep waits, and reports false where ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

func empty(c <-chan struct{}) {
	select {
	case <-c:
	default:
	}
}
