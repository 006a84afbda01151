package agent

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"ropeway/internal/bgp"
	"ropeway/internal/fabric"
	"ropeway/internal/plan"
)

// Times of a speaker.
const (
	handOver     = 2 * time.Second // what the fabric has to move its traffic away before one daemon takes another's place
	withdrawMost = 5 * time.Second // a daemon that hangs does not keep devices from losing their peers for longer
)

// A speaker is the routing daemons of a machine: where the plan has BGP one of them runs, elsewhere none. One goroutine uses it, Observe apart.
type speaker struct {
	daemons  map[fabric.Daemon]bgp.Daemon
	password func(name string) (string, error)
	drained  func() bool

	last  *bgp.Config            // what was applied last; nil: nothing since this process began
	clean map[fabric.Daemon]bool // what was stopped since this process began, so that nothing is left of it
}

// names are the daemons that there can be, in the order in which they are looked at.
func (s *speaker) names() []fabric.Daemon {
	return slices.DeleteFunc([]fabric.Daemon{fabric.FRR, fabric.BIRD}, func(name fabric.Daemon) bool { return s.daemons[name] == nil })
}

// apply makes the daemon that the plan names run as it says, and no other of ours. What can be done is done: a neighbour whose password cannot be
// read is left out until it can.
func (s *speaker) apply(ctx context.Context, want *plan.BGP) ([]string, error) {
	if want == nil {
		return s.silence(ctx)
	}
	daemon, config, err := s.wanted(want)
	if daemon == nil {
		return nil, err
	}
	changes, errOther := s.takeOver(ctx, daemon, config)
	if errOther != nil {
		return changes, errors.Join(err, errOther)
	}
	eased, errApply := s.ease(ctx, daemon, config)
	if changes = append(changes, eased...); errApply != nil {
		return changes, errors.Join(err, errApply)
	}
	made, errApply := daemon.Apply(ctx, config)
	if errApply == nil {
		s.last = config
		delete(s.clean, want.Daemon)
	}
	return append(changes, made...), errors.Join(err, errApply)
}

// wanted returns the daemon that the plan names and what it has to be. With an error it may return both all the same: without some neighbours.
func (s *speaker) wanted(want *plan.BGP) (bgp.Daemon, *bgp.Config, error) {
	daemon := s.daemons[want.Daemon]
	if daemon == nil {
		return nil, nil, fmt.Errorf("the plan wants the routing daemon %s, which this agent cannot run", want.Daemon)
	}
	spoken := *want
	spoken.Neighbors = nil
	config := &bgp.Config{BGP: &spoken, Drained: s.drained(), Passwords: map[string]string{}}
	var errs []error
	for _, n := range want.Neighbors {
		if n.Password != "" {
			password, err := s.password(n.Password)
			if err != nil {
				errs = append(errs, fmt.Errorf("neighbor %s: %w", n.Name, err))
				continue
			}
			config.Passwords[n.Password] = password
		}
		spoken.Neighbors = append(spoken.Neighbors, n)
	}
	return daemon, config, errors.Join(errs...)
}

// takeOver stops every daemon of ours but the one that is wanted. Two cannot run at once, since both listen on port 179 and their neighbours know them by one
// address. So the order is the one that loses least: what is wanted is tried for as far as that goes without running it; the one that runs is drained, and
// traffic moves to the place's other gateways; then it ends, and the other begins.
func (s *speaker) takeOver(ctx context.Context, wanted bgp.Daemon, config *bgp.Config) ([]string, error) {
	var changes []string
	for _, name := range s.names() {
		if name == config.Daemon {
			continue
		}
		runs, _ := s.runs(ctx, name)
		if runs {
			if _, err := wanted.Plan(ctx, config); err != nil {
				return changes, fmt.Errorf("%s runs on: %w", name, err)
			}
			s.yield(ctx, name, config)
		}
		did, err := s.stop(ctx, name, runs)
		changes = append(changes, did...)
		if err != nil {
			return changes, err
		}
	}
	return changes, nil
}

// yield has a daemon that is about to end tell its neighbours to use others, and waits until they do. That it cannot is no reason to keep it.
func (s *speaker) yield(ctx context.Context, name fabric.Daemon, config *bgp.Config) {
	spoken := *config.BGP
	spoken.Daemon = name
	if _, err := s.daemons[name].Apply(ctx, &bgp.Config{BGP: &spoken, Drained: true, Passwords: config.Passwords}); err == nil {
		sleep(ctx, handOver)
	}
}

// withdraw ends the sessions that the plan no longer wants, before the devices go that carry them: the other end hears of it rather than finds out. What this
// process has not applied itself it does not know, and then the loss of the device tells.
func (s *speaker) withdraw(ctx context.Context, want *plan.BGP) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, withdrawMost)
	defer cancel()
	if want == nil {
		return s.silence(ctx)
	}
	if s.last == nil || s.last.Daemon != want.Daemon {
		return nil, nil
	}
	kept := slices.DeleteFunc(slices.Clone(s.last.Neighbors), func(n *plan.Neighbor) bool { return !speaksTo(want, n) })
	if len(kept) == len(s.last.Neighbors) {
		return nil, nil
	}
	spoken := *s.last.BGP
	spoken.Neighbors = kept
	config := &bgp.Config{BGP: &spoken, Drained: s.last.Drained, Passwords: s.last.Passwords}
	changes, err := s.daemons[want.Daemon].Apply(ctx, config)
	if err == nil {
		s.last = config
	}
	return changes, err
}

// speaksTo reports whether a plan has that session.
func speaksTo(b *plan.BGP, n *plan.Neighbor) bool {
	return slices.ContainsFunc(b.Neighbors, func(o *plan.Neighbor) bool {
		return o.Name == n.Name && o.Device == n.Device && o.Address == n.Address && o.Local == n.Local && o.ASN == n.ASN
	})
}

// silence stops every daemon of ours.
func (s *speaker) silence(ctx context.Context) ([]string, error) {
	s.last = nil
	var changes []string
	var errs []error
	for _, name := range s.names() {
		runs, _ := s.runs(ctx, name)
		did, err := s.stop(ctx, name, runs)
		changes, errs = append(changes, did...), append(errs, err)
	}
	return changes, errors.Join(errs...)
}

// stop ends a daemon that runs, and takes away what one that does not run may have left: that once, since nothing comes back of itself.
func (s *speaker) stop(ctx context.Context, name fabric.Daemon, runs bool) ([]string, error) {
	if !runs && s.clean[name] {
		return nil, nil
	}
	if err := s.daemons[name].Stop(ctx); err != nil {
		return nil, fmt.Errorf("stop %s: %w", name, err)
	}
	if s.clean == nil {
		s.clean = map[fabric.Daemon]bool{}
	}
	s.clean[name] = true
	if !runs {
		return nil, nil
	}
	return []string{"stop " + string(name)}, nil
}

// runs reports whether a daemon of ours runs. One that does not answer does.
func (s *speaker) runs(ctx context.Context, name fabric.Daemon) (bool, error) {
	state, err := s.daemons[name].Observe(ctx)
	if err != nil {
		return true, fmt.Errorf("look for %s: %w", name, err)
	}
	return state.Running, nil
}

// plan returns what apply would change.
func (s *speaker) plan(ctx context.Context, want *plan.BGP) ([]string, error) {
	var changes []string
	var errs []error
	for _, name := range s.names() {
		if want != nil && name == want.Daemon {
			continue
		}
		runs, err := s.runs(ctx, name)
		if runs {
			changes = append(changes, "stop "+string(name))
		}
		errs = append(errs, err)
	}
	if want == nil {
		return changes, errors.Join(errs...)
	}
	daemon, config, err := s.wanted(want)
	if errs = append(errs, err); daemon == nil {
		return changes, errors.Join(errs...)
	}
	if s.last != nil && s.last.Daemon == want.Daemon {
		config.Drained = s.last.Drained // a pass is compared with what it set; who has drained the gateway meanwhile has another begin
	}
	made, err := daemon.Plan(ctx, config)
	return append(changes, made...), errors.Join(append(errs, err)...)
}

// told reports whether neighbours have been told that the gateway is drained.
func (s *speaker) told() bool { return s.last != nil && s.last.Drained }

// watched asks the daemon that the plan names whom it watches by BFD, and how they are.
func (s *speaker) watched(ctx context.Context, want *plan.BGP) (map[netip.Addr]string, error) {
	daemon := s.daemons[want.Daemon]
	if daemon == nil {
		return nil, fmt.Errorf("the plan wants the routing daemon %s, which this agent cannot run", want.Daemon)
	}
	return daemon.Watched(ctx)
}

// observe asks the daemon that the plan names what it knows.
func (s *speaker) observe(ctx context.Context, want *plan.BGP) (*bgp.State, error) {
	daemon := s.daemons[want.Daemon]
	if daemon == nil {
		return &bgp.State{}, nil
	}
	state, err := daemon.Observe(ctx)
	if err != nil {
		return nil, fmt.Errorf("ask %s: %w", want.Daemon, err)
	}
	return state, nil
}
