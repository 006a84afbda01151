package agent

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"ropeway/internal/diag"
	"ropeway/internal/logs"
	"ropeway/internal/plan"
	"ropeway/internal/route"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// known is some public key.

func TestStillWanted(t *testing.T) {
	p := netip.MustParsePrefix
	have := route.State{
		Nexthops: []route.Nexthop{{ID: 1, Device: "rw0"}, {ID: 2, Device: "rw1"}},
		Routes: []route.Route{{Prefix: p("10.1.0.0/16"), Nexthop: 1, MTU: 1440}, {Prefix: p("10.2.0.0/16"), Nexthop: 2, MTU: 1400},
			{Prefix: p("10.3.0.0/16"), Nexthop: 1, MTU: 1440}, {Prefix: p("10.4.0.0/16"), Nexthop: 0, MTU: 1440}},
	}
	want := func(prefixes ...string) []*plan.Route {
		r := &plan.Route{Device: "rw9", MTU: 1}
		for _, s := range prefixes {
			r.Prefixes = append(r.Prefixes, p(s))
		}
		return []*plan.Route{r}
	}
	if _, all := stillWanted(want("10.1.0.0/16", "10.2.0.0/16", "10.3.0.0/16", "10.4.0.0/16", "10.9.0.0/16"), have); !all {
		t.Error("every prefix is wanted, and something is to be withdrawn")
	}
	kept, all := stillWanted(want("10.1.0.0/16", "10.2.0.0/16", "10.4.0.0/16"), have)
	if all {
		t.Error("10.3.0.0/16 is not wanted, and nothing is to be withdrawn")
	}
	expected := []*plan.Route{ // as they are: moving them is a later step's work
		{Device: "rw0", MTU: 1440, Prefixes: []netip.Prefix{p("10.1.0.0/16")}},
		{Device: "rw1", MTU: 1400, Prefixes: []netip.Prefix{p("10.2.0.0/16")}},
	}
	if diff := cmp.Diff(expected, kept, cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); diff != "" {
		t.Error(diff)
	}
}

func TestRecordTellsRepairsFromPlans(t *testing.T) {
	var r record
	doc := &plan.Document{Revision: "r1"}
	did := func(n int, err error) *outcome {
		out := &outcome{changes: map[string][]string{"routes": make([]string, n)}, errs: map[string]error{}}
		if err != nil {
			out.errs["devices"] = err
		}
		return out
	}
	r.note(doc, did(5, errors.New("half")), false, time.Now())
	if r.applied != "" || r.lastError == nil || r.repairs["routes"] != 0 || r.failures["devices"] != 1 {
		t.Errorf("a failed first pass: %+v", r)
	}
	r.note(doc, did(3, nil), false, time.Now())
	if r.applied != "r1" || r.lastError != nil || r.repairs["routes"] != 0 || r.lastApply.Changes != 3 || r.applies != 2 {
		t.Errorf("a pass that succeeded: %+v", r)
	}
	before := r.lastApply
	r.note(doc, did(0, nil), true, time.Now())
	if r.lastApply != before || r.applies != 2 {
		t.Errorf("a pass without changes is not an apply: %+v", r)
	}
	r.note(doc, did(2, nil), true, time.Now())
	if r.repairs["routes"] != 2 || r.lastApply.Changes != 2 {
		t.Errorf("a repair: %+v", r)
	}
}

// TestExposition: Prometheus' parser reads it, and hostile values stay values.

// TestStatusHoldsNoSecret: every type that a status is made of marshals, which a private key refuses to do, and comes back.

func TestTheLock(t *testing.T) {
	state, run := filepath.Join(t.TempDir(), "state"), filepath.Join(t.TempDir(), "run")
	release, err := claim(state, run)
	must(t, err)
	_, err = claim(state, run)
	var p diag.Problem
	if !errors.As(err, &p) || p.Code != codeRunning || p.Hint == "" {
		t.Errorf("a second claim: %v, want %s", err, codeRunning)
	}
	release()
	release, err = claim(state, run)
	must(t, err)
	release()
	must(t, os.Chmod(state, 0o777))
	if _, err := claim(state, run); !errors.As(err, &p) || p.Code != codeUnusable {
		t.Errorf("a state directory that everybody may write: %v, want %s", err, codeUnusable)
	}
}

// TestTheSocketIsForItsUserAndRoot: the socket has its mode from the moment it has its name, and others are turned away.

// TestRefusalsAreSaidOnce: a plan file that stays bad is one refusal and one line of the log, however often it is looked at.

func TestRefusalsAreSaidOnce(t *testing.T) {
	var b bytes.Buffer
	log, err := logs.New(&b, logs.Text)
	must(t, err)
	a := &Agent{log: log}
	for range 5 {
		a.noteRefusal(errors.New("bad\u202e"))
	}
	a.noteRefusal(errors.New("worse"))
	a.noteRefusal(nil)
	a.noteRefusal(nil)
	if a.record.refusals != 2 || a.record.refused != nil || strings.Count(b.String(), "\n") != 3 {
		t.Errorf("%d refusals, log:\n%s", a.record.refusals, b.String())
	}
}

// TestThePollNeedsNoEvent: without any event the loop looks about once a second; time is the test's.

func TestThePollNeedsNoEvent(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		a := &Agent{log: slog.New(slog.DiscardHandler), source: &source{file: filepath.Join(dir, "none"), kept: filepath.Join(dir, "kept")}}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { defer close(ended); a.loop(ctx, newEvents()) }()
		var last time.Time
		for range 5 {
			time.Sleep(2 * time.Second)
			a.mu.Lock()
			now := a.record.lastPass
			a.mu.Unlock()
			if age := time.Since(now); age > 2*time.Second || !now.After(last) {
				t.Errorf("the last look is %v old", age)
			}
			last = now
		}
		cancel()
		<-ended
	})
}

// TestAPlanDoesNotWaitForABurst: another plan is looked at in the very moment, everything else when it has been quiet for a while.
func TestAPlanDoesNotWaitForABurst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		took := func(told func(*events)) time.Duration {
			e, begun := newEvents(), time.Now()
			told(e)
			if !e.wait(t.Context(), pollEvery) {
				t.Fatal("it ended")
			}
			return time.Since(begun)
		}
		later := func(e *events) { time.Sleep(4 * settle); poke(e.plan) }
		for what, c := range map[string]struct {
			told func(*events)
			want time.Duration
		}{
			"a plan":               {func(e *events) { poke(e.plan) }, 0},
			"a plan, later":        {func(e *events) { go later(e) }, 4 * settle},
			"a plan after a burst": {func(e *events) { poke(e.machine); go func() { time.Sleep(settle + settle/2); poke(e.plan) }() }, settle + settle/2},
			"the machine":          {func(e *events) { poke(e.machine) }, 2 * settle},
			"nothing":              {func(*events) {}, pollEvery},
		} {
			if got := took(c.told); got != c.want {
				t.Errorf("%s: after %s, want %s", what, got, c.want)
			}
		}
	})
}

// TestAPlanThatIsBeingWritten: what is read while somebody writes it is not refused; what stays so is.
func TestAPlanThatIsBeingWritten(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		file := filepath.Join(dir, "plan.json")
		a := &Agent{log: slog.New(slog.DiscardHandler), source: &source{file: file, kept: filepath.Join(dir, "kept")}}
		must(t, os.WriteFile(file, []byte("{"), 0o600))
		go func() {
			time.Sleep(settle / 2)
			must(t, os.Remove(file))
		}()
		a.pass(t.Context())
		if a.record.refusals != 1 || a.record.refused.Code != codePlanUnread { // not what it was in the first moment
			t.Errorf("%d refusals, the last %+v", a.record.refusals, a.record.refused)
		}
	})
}
