package agent

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"ropeway/internal/bgp"
	"ropeway/internal/fabric"
	"ropeway/internal/plan"
)

// A daemonLog is daemons that run nothing and write down what they are told.
type daemonLog struct{ lines []string }

type loggedDaemon struct {
	log     *daemonLog
	name    string
	running *bgp.Config // nil: it does not run
	refuses error
	silent  error // why it does not answer
	brings  []int // prefixes that its first neighbour brings when it is asked, once after the other, the last ever after
}

func (d *loggedDaemon) say(what string, c *bgp.Config) {
	for _, n := range c.Neighbors {
		what += " " + n.Name
		if n.MaxPrefixes > 0 {
			what += fmt.Sprintf("<%d", n.MaxPrefixes)
		}
	}
	if c.Drained {
		what += " drained"
	}
	d.log.lines = append(d.log.lines, d.name+": "+what)
}

func (d *loggedDaemon) Apply(ctx context.Context, want *bgp.Config) ([]string, error) {
	changes, err := d.Plan(ctx, want)
	if err == nil && len(changes) > 0 {
		d.running = want
		d.say("apply", want)
	}
	return changes, err
}

func (d *loggedDaemon) Plan(ctx context.Context, want *bgp.Config) ([]string, error) {
	if err := errors.Join(ctx.Err(), d.refuses); err != nil {
		return nil, err
	}
	if string(want.Daemon) != d.name {
		return nil, errors.New("this is for another daemon")
	}
	if d.running != nil && cmp.Equal(d.running, want, cmp.Comparer(func(a, b netip.Addr) bool { return a == b }), cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })) {
		return nil, nil
	}
	return []string{"configure " + d.name}, nil
}

func (d *loggedDaemon) Watched(context.Context) (map[netip.Addr]string, error) { return nil, nil }

func (d *loggedDaemon) Observe(context.Context) (*bgp.State, error) {
	state := &bgp.State{Running: d.running != nil}
	if len(d.brings) > 0 {
		state.Neighbors = []bgp.Neighbor{{Address: d.running.Neighbors[0].Address, Up: true, Received: d.brings[0]}}
		d.brings = d.brings[min(1, len(d.brings)-1):]
	}
	return state, d.silent
}

func (d *loggedDaemon) Stop(context.Context) error {
	d.log.lines = append(d.log.lines, d.name+": stop")
	d.running, d.silent = nil, nil
	return nil
}

func (l *daemonLog) said() string {
	defer func() { l.lines = nil }()
	return strings.Join(l.lines, "; ")
}

func neighborOf(name, address string) *plan.Neighbor {
	return &plan.Neighbor{Name: name, Device: "rw" + name, Address: netip.MustParseAddr(address), ASN: 64512}
}

func newTestSpeaker() (s *speaker, log *daemonLog, frr, bird *loggedDaemon) {
	log = &daemonLog{}
	frr, bird = &loggedDaemon{log: log, name: "frr"}, &loggedDaemon{log: log, name: "bird"}
	s = &speaker{daemons: map[fabric.Daemon]bgp.Daemon{fabric.FRR: frr, fabric.BIRD: bird}, drained: func() bool { return false },
		password: func(name string) (string, error) {
			if name == "known" {
				return "hunter2", nil
			}
			return "", errors.New("keys/" + name + ".password is not there")
		}}
	return s, log, frr, bird
}

func TestTheDaemonOfThePlanRunsAndNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // handing over takes time
		s, log, frr, _ := newTestSpeaker()
		a, b := neighborOf("a", "192.0.2.1"), neighborOf("b", "192.0.2.2")
		expect := func(when string, want *plan.BGP, changes []string, said string) {
			t.Helper()
			planned, errPlan := s.plan(t.Context(), want)
			got, err := s.apply(t.Context(), want)
			if errPlan != nil || err != nil {
				t.Errorf("%s: %v, %v", when, errPlan, err)
			}
			if diff := cmp.Diff(changes, got); diff != "" {
				t.Errorf("%s, changes -want +got:\n%s", when, diff)
			}
			if diff := cmp.Diff(got, planned); diff != "" {
				t.Errorf("%s, what was foreseen -made +foreseen:\n%s", when, diff)
			}
			if text := log.said(); text != said {
				t.Errorf("%s: %q, want %q", when, text, said)
			}
		}
		speaks := func(d fabric.Daemon, n ...*plan.Neighbor) *plan.BGP { return &plan.BGP{Daemon: d, Neighbors: n} }

		expect("static from the beginning: what a predecessor left is taken away", nil, nil, "frr: stop; bird: stop")
		expect("static still", nil, nil, "")
		expect("bgp", speaks(fabric.FRR, a, b), []string{"configure frr"}, "frr: apply a b")
		expect("nothing new", speaks(fabric.FRR, a, b), nil, "")
		frr.running = nil
		expect("it died", speaks(fabric.FRR, a, b), []string{"configure frr"}, "frr: apply a b")
		begun := time.Now()
		expect("the other daemon", speaks(fabric.BIRD, a), []string{"stop frr", "configure bird"}, "frr: apply a drained; frr: stop; bird: apply a")
		if took := time.Since(begun); took != handOver {
			t.Errorf("neighbours had %s to move away, want %s", took, handOver)
		}
		expect("the other daemon still", speaks(fabric.BIRD, a), nil, "")
		expect("static again", nil, []string{"stop bird"}, "bird: stop")
		expect("static still", nil, nil, "")
	})
}

func TestADaemonThatCannotTakeOverDoesNotEndTheOther(t *testing.T) {
	s, log, frr, bird := newTestSpeaker()
	frr.running = &bgp.Config{BGP: &plan.BGP{Daemon: fabric.FRR}}
	bird.refuses = errors.New("no such program")
	changes, err := s.apply(t.Context(), &plan.BGP{Daemon: fabric.BIRD})
	if err == nil || len(changes) > 0 || log.said() != "" || frr.running == nil {
		t.Errorf("%v, %v", changes, err)
	}
	bird.refuses, frr.silent = nil, errors.New("it hangs")
	synctest.Test(t, func(t *testing.T) {
		if _, err := s.apply(t.Context(), &plan.BGP{Daemon: fabric.BIRD}); err != nil || frr.running != nil || bird.running == nil {
			t.Errorf("one that hangs stayed: %v", err)
		}
	})
	if _, err := s.apply(t.Context(), &plan.BGP{Daemon: "openbgpd"}); err == nil || !strings.Contains(err.Error(), "openbgpd") || bird.running == nil {
		t.Errorf("a daemon that nobody knows: %v", err)
	}
}

func TestSessionsEndBeforeTheirDevices(t *testing.T) {
	s, log, frr, _ := newTestSpeaker()
	a, b, c := neighborOf("a", "192.0.2.1"), neighborOf("b", "192.0.2.2"), neighborOf("c", "192.0.2.3")
	first := &plan.BGP{Daemon: fabric.FRR, Neighbors: []*plan.Neighbor{a, b}}
	if did, err := s.withdraw(t.Context(), first); did != nil || err != nil {
		t.Errorf("a process that has applied nothing knows nothing to withdraw: %v, %v", did, err)
	}
	_, err := s.apply(t.Context(), first)
	must(t, err)
	log.said()

	next := &plan.BGP{Daemon: fabric.FRR, ASN: 7, Neighbors: []*plan.Neighbor{b, c}}
	did, err := s.withdraw(t.Context(), next)
	must(t, err)
	if said := log.said(); said != "frr: apply b" || len(did) != 1 || frr.running.ASN == 7 {
		t.Errorf("%q, %v: want the session with a ended and nothing new", said, did)
	}
	if did, err := s.withdraw(t.Context(), next); did != nil || err != nil {
		t.Errorf("a second time: %v, %v", did, err)
	}
	_, err = s.apply(t.Context(), next)
	must(t, err)
	if said := log.said(); said != "frr: apply b c" {
		t.Errorf("%q", said)
	}
	if did, err := s.withdraw(t.Context(), nil); !slices.Equal(did, []string{"stop frr"}) || err != nil {
		t.Errorf("no BGP any more: %v, %v", did, err)
	}
}

func TestANeighborWithoutItsPasswordIsLeftOut(t *testing.T) {
	s, log, frr, _ := newTestSpeaker()
	a, b, c := neighborOf("a", "192.0.2.1"), neighborOf("b", "192.0.2.2"), neighborOf("c", "192.0.2.3")
	b.Password, c.Password = "known", "lost"
	want := &plan.BGP{Daemon: fabric.FRR, Neighbors: []*plan.Neighbor{a, b, c}}
	_, err := s.apply(t.Context(), want)
	if err == nil || !strings.Contains(err.Error(), "lost.password") || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("%v: want the name of the missing file, and no password", err)
	}
	if said := log.said(); said != "bird: stop; frr: apply a b" || frr.running.Passwords["known"] != "hunter2" {
		t.Errorf("%q with %d passwords", said, len(frr.running.Passwords))
	}
	if len(want.Neighbors) != 3 {
		t.Error("the plan was changed")
	}
}

// Whoever drains a gateway while a pass goes on has another begin, and has not made this one fail.
func TestAPassIsComparedWithWhatItSet(t *testing.T) {
	s, _, frr, _ := newTestSpeaker()
	drained := false
	s.drained = func() bool { return drained }
	want := &plan.BGP{Daemon: fabric.FRR, Neighbors: []*plan.Neighbor{neighborOf("a", "192.0.2.1")}}
	_, err := s.apply(t.Context(), want)
	must(t, err)
	drained = true
	if changes, err := s.plan(t.Context(), want); err != nil || len(changes) > 0 {
		t.Errorf("it is not as it was set: %v, %v", changes, err)
	}
	_, err = s.apply(t.Context(), want)
	must(t, err)
	if !frr.running.Drained {
		t.Error("the next pass does not drain it")
	}
}

// A neighbour that is believed to bring more than the plan lets it bring from now on is not sent away for what it brought before.
func TestALimitFallsWhenWhatIsAboveItHasGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, log, frr, _ := newTestSpeaker()
		expect := func(most int, said string, wait time.Duration, brings ...int) {
			t.Helper()
			n := neighborOf("a", "192.0.2.1")
			n.MaxPrefixes, frr.brings = most, brings
			begun := time.Now()
			if _, err := s.apply(t.Context(), &plan.BGP{Daemon: fabric.FRR, Neighbors: []*plan.Neighbor{n}}); err != nil {
				t.Error(err)
			}
			if text, took := log.said(), time.Since(begun); text != said || took != wait {
				t.Errorf("limit %d: %q after %s, want %q after %s", most, text, took, said, wait)
			}
		}
		expect(100, "bird: stop; frr: apply a<100", 0)
		expect(200, "frr: apply a<200", 0, 90)
		expect(90, "frr: apply a<90", 0, 90)
		expect(10, "frr: apply a<80; frr: apply a<10", 2*limitPoll, 80, 80, 5)
		s.last = nil // another agent
		expect(4, "frr: apply a<5; frr: apply a<4", limitMost, 5)
		s.last, frr.silent = nil, errors.New("it hangs")
		expect(3, "frr: apply a<3", 0)
	})
}
