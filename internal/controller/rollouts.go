package controller

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"google.golang.org/protobuf/types/known/timestamppb"

	ropewayv1 "ropeway/api/ropeway/v1"
	"ropeway/internal/logs"
	"ropeway/internal/rollout"
	"ropeway/internal/store"
)

// rolloutService is what people ask about the rollout that runs.
type rolloutService struct{ *Controller }

// GetRollout implements ropewayv1connect.RolloutServiceHandler.
func (s rolloutService) GetRollout(ctx context.Context, _ *ropewayv1.GetRolloutRequest) (*ropewayv1.GetRolloutResponse, error) {
	out, err := s.last(ctx)
	if places := callerOf(ctx).places; err == nil && out != nil && len(places) > 0 {
		err = s.bound(ctx, out, places)
	}
	return &ropewayv1.GetRolloutResponse{Rollout: out}, err
}

// bound leaves out of what is told of a rollout whatever belongs to other places.
func (s rolloutService) bound(ctx context.Context, r *ropewayv1.Rollout, places []string) error {
	now, err := s.desk.current(ctx)
	if err != nil {
		return asked(err)
	}
	foreign := func(name string) bool {
		g := now.gateway(name)
		return g == nil || !slices.Contains(places, g.Place)
	}
	r.Away = slices.DeleteFunc(slices.Clone(r.Away), foreign)
	for _, w := range r.Waves {
		w.Gateways = slices.DeleteFunc(slices.Clone(w.Gateways), foreign)
		w.Waiting = slices.DeleteFunc(w.Waiting, func(x *ropewayv1.Waiting) bool { return foreign(x.Gateway) })
	}
	if r.Why != "" {
		r.Why = "somebody who is bound to no place can see why"
	}
	return nil
}

// PauseRollout implements ropewayv1connect.RolloutServiceHandler.
func (s rolloutService) PauseRollout(ctx context.Context, req *ropewayv1.PauseRolloutRequest) (*ropewayv1.PauseRolloutResponse, error) {
	out, err := s.turn(ctx, req.Revision, rollout.Rollout.Pause)
	return &ropewayv1.PauseRolloutResponse{Rollout: out}, err
}

// ResumeRollout implements ropewayv1connect.RolloutServiceHandler.
func (s rolloutService) ResumeRollout(ctx context.Context, req *ropewayv1.ResumeRolloutRequest) (*ropewayv1.ResumeRolloutResponse, error) {
	out, err := s.turn(ctx, req.Revision, rollout.Rollout.Resume)
	return &ropewayv1.ResumeRolloutResponse{Rollout: out}, err
}

// stepAttempts bounds how often somebody's step is tried while controllers take theirs.
const stepAttempts = 8

// turn takes a step that somebody asked for.
func (s rolloutService) turn(ctx context.Context, revision uint64, to func(rollout.Rollout) (rollout.Rollout, error)) (*ropewayv1.Rollout, error) {
	who := callerOf(ctx).String()
	for range stepAttempts {
		r, err := s.active(ctx, revision)
		if err != nil {
			return nil, asked(err)
		}
		next, err := to(r.Rollout)
		if err != nil {
			return nil, asked(refusal("RW7303", fmt.Sprintf("rollout of revision %d", r.Revision), err.Error(), "ropeway rollout status shows how it is"))
		}
		err = s.opts.Store.StepRollout(ctx, r.Step, r.Take(next, who, s.opts.Now()))
		if errors.Is(err, store.ErrStep) {
			continue
		}
		if err != nil {
			return nil, asked(err)
		}
		s.log.Info("a rollout was turned", "revision", next.Revision, "state", next.State, "author", who)
		return s.last(ctx)
	}
	return nil, asked(fmt.Errorf("take a step of the rollout: %w", store.ErrStep))
}

// AbortRollout implements ropewayv1connect.RolloutServiceHandler.
func (s rolloutService) AbortRollout(ctx context.Context, req *ropewayv1.AbortRolloutRequest) (*ropewayv1.AbortRolloutResponse, error) {
	who := callerOf(ctx).String()
	for range stepAttempts {
		r, err := s.active(ctx, req.Revision)
		if err != nil {
			return nil, asked(err)
		}
		why := fmt.Sprintf("the rollout of revision %d was aborted", r.Revision)
		if req.Reason != "" {
			why += ": " + logs.Printable(req.Reason[:min(len(req.Reason), longestMessage)])
		}
		number, err := s.desk.goBack(ctx, r.Step, back{author: who, as: rollout.Aborted, why: why, at: s.opts.Now()})
		if errors.Is(err, store.ErrStep) {
			continue
		}
		if err != nil {
			return nil, asked(err)
		}
		s.log.Info("a rollout was aborted", "revision", r.Revision, "back", number, "author", who)
		out, err := s.last(ctx)
		return &ropewayv1.AbortRolloutResponse{Rollout: out}, err
	}
	return nil, asked(fmt.Errorf("abort the rollout: %w", store.ErrStep))
}

// active returns the rollout that somebody means.
func (s rolloutService) active(ctx context.Context, revision uint64) (*store.Rollout, error) {
	_, r, err := s.opts.Store.Present(ctx)
	switch {
	case err != nil:
		return nil, err
	case r == nil || !r.Active():
		return nil, refusal("RW7302", "fabric", "no rollout is under way", "ropeway rollout status shows the last one")
	case revision != 0 && revision != r.Revision:
		return nil, refusal("RW7302", fmt.Sprintf("rollout of revision %d", revision), fmt.Sprintf("it is not under way: that of revision %d is", r.Revision), "ropeway rollout status shows it")
	}
	return r, nil
}

// last describes the last rollout; nil where there was none.
func (s rolloutService) last(ctx context.Context) (*ropewayv1.Rollout, error) {
	now, err := s.desk.present(ctx)
	if err != nil {
		return nil, asked(err)
	}
	r := now.rollout
	if r == nil {
		return nil, nil
	}
	out := &ropewayv1.Rollout{
		Revision: r.Revision, Base: r.Base, State: string(r.State), AtOnce: r.AtOnce, Away: r.Away, Why: r.Why, Back: r.Back, By: r.By, At: timestamppb.New(r.At),
	}
	if r.AtOnce || r.Total() == 0 {
		return out, nil
	}
	out.Wave = uint32(r.Wave) + 1
	for _, names := range r.Waves {
		out.Waves = append(out.Waves, &ropewayv1.Wave{Gateways: names, Size: uint32(len(names))})
	}
	if r.Rest > 0 {
		out.Waves = append(out.Waves, &ropewayv1.Wave{Size: uint32(r.Rest)})
	}
	s.progress(now, out.Waves)
	return out, nil
}

// mostNames bounds how many gateways an answer names of a wave.
const mostNames = 64

// progress says of each wave how far it is. Once a rollout is over nobody looks any more: the waves that were admitted were well, but for the last
// one of a rollout that went back.
func (s rolloutService) progress(now *present, waves []*ropewayv1.Wave) {
	r := now.rollout
	if !r.Active() {
		for i, w := range waves {
			if i < r.Wave || r.State == rollout.Done {
				w.Ready = w.Size
			}
		}
		return
	}
	last := waves[len(waves)-1]
	if r.Rest > 0 {
		last.Size = 0
	}
	seenOf, _, seen := s.rolling.view()
	for _, name := range slices.Sorted(maps.Keys(now.touched)) {
		w := waves[r.WaveOf(name)]
		if w == last && r.Rest > 0 {
			w.Size++
			if len(w.Gateways) < mostNames {
				w.Gateways = append(w.Gateways, name)
			}
		}
		sight := seen[name]
		switch {
		case !r.Admits(name) || seenOf.step() != r.Step:
		case sight.Condition == rollout.Ready:
			w.Ready++
		case len(w.Waiting) < mostNames:
			w.Waiting = append(w.Waiting, &ropewayv1.Waiting{Gateway: name, Condition: string(sight.Condition), Why: sight.Why})
		}
	}
}
