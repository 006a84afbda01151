package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"ropeway/internal/diag"
)

// A Peer is a member of the cluster of etcds, as etcd knows it.
type Peer struct {
	ID      uint64
	Name    string // "" before it started for the first time
	URL     string // where the others reach it
	Learner bool   // it has no vote yet
}

// Embedded reports whether etcd runs in this process, so that this store is a member.
func (s *Store) Embedded() bool { return s.etcd != nil }

// Self returns the ID of the member that runs here, 0 where somebody else runs etcd.
func (s *Store) Self() uint64 {
	if s.etcd == nil {
		return 0
	}
	return uint64(s.etcd.Server.MemberID())
}

// Peers lists the members of the cluster by ID. Of an etcd that somebody else runs, too.
func (s *Store) Peers(ctx context.Context) ([]Peer, error) {
	var got *clientv3.MemberListResponse
	err := s.call(ctx, "list the members of the cluster", func(ctx context.Context) (err error) {
		got, err = s.client.MemberList(ctx)
		return err
	})
	if err != nil {
		return nil, err
	}
	out := make([]Peer, len(got.Members))
	for i, m := range got.Members {
		out[i] = Peer{ID: m.ID, Name: m.Name, Learner: m.IsLearner}
		if len(m.PeerURLs) > 0 {
			out[i].URL = m.PeerURLs[0]
		}
	}
	slices.SortFunc(out, func(a, b Peer) int { return cmp.Compare(a.ID, b.ID) })
	return out, nil
}

// Admit makes room in the cluster for a member at a URL, and returns it with all others: what the new one has to know to begin. It learns
// first and has no vote, so one that never comes costs the quorum nothing; it promotes itself when it has caught up. Admitting again one that
// has not come yet is admitting it once.
func (s *Store) Admit(ctx context.Context, peerURL string) (id uint64, all []Peer, err error) {
	if err := checkURL(peerURL, true); err != nil {
		return 0, nil, fmt.Errorf("admit a member at %s: %w: %w", diag.Quote(peerURL), ErrURL, err)
	}
	if all, err = s.room(ctx); err != nil {
		return 0, nil, fmt.Errorf("admit a member at %s: %w", peerURL, err)
	}
	for _, p := range all {
		switch {
		case p.URL == peerURL && p.Learner && p.Name == "":
			return p.ID, all, nil
		case p.URL == peerURL:
			return 0, nil, fmt.Errorf("admit a member at %s: %w: a member is there", peerURL, ErrExists)
		}
	}
	err = s.reconfigure(ctx, "admit a member at "+peerURL, func(ctx context.Context) error {
		got, err := s.client.MemberAddAsLearner(ctx, []string{peerURL})
		if errors.Is(err, rpctypes.ErrPeerURLExist) { // an earlier try, whose answer was lost
			return nil
		}
		if err == nil {
			id = got.Member.ID
		}
		return err
	})
	if err != nil {
		return 0, nil, err
	}
	if all, err = s.Peers(ctx); err != nil {
		return 0, nil, err
	}
	i := slices.IndexFunc(all, func(p Peer) bool { return p.URL == peerURL })
	if i < 0 {
		return 0, nil, fmt.Errorf("admit a member at %s: %w: it was removed meanwhile", peerURL, ErrNotFound)
	}
	return all[i].ID, all, nil
}

// turn is how long one waits for another that is joining, which usually takes a second or two.
const turn = 5 * time.Second

// room lists the members once nobody else is joining: one that has started, and has no vote yet. One that has never started may never come.
func (s *Store) room(ctx context.Context) ([]Peer, error) {
	limited, cancel := context.WithTimeout(ctx, turn)
	defer cancel()
	for {
		all, err := s.Peers(ctx)
		joining := slices.ContainsFunc(all, func(p Peer) bool { return p.Learner && p.Name != "" })
		if err != nil || !joining || !rest(limited) {
			return all, err
		}
	}
}

// Dismiss takes a member out of the cluster, for ever: whoever comes after it is another one. It is refused (ErrQuorum) where those that
// would be left could not go on. A member that is not there is dismissed already.
func (s *Store) Dismiss(ctx context.Context, id uint64) error {
	return s.reconfigure(ctx, "dismiss member "+strconv.FormatUint(id, 16), func(ctx context.Context) error {
		_, err := s.client.MemberRemove(ctx, id)
		if errors.Is(err, rpctypes.ErrMemberNotFound) {
			return nil
		}
		return err
	})
}

// reconfigure changes the members. Where etcd says that too few are there it is asked again for a while: it wants them to have been connected
// for five seconds (its HealthInterval), and some may have started just now.
func (s *Store) reconfigure(ctx context.Context, doing string, f func(context.Context) error) error {
	return s.call(ctx, doing, func(ctx context.Context) error {
		for {
			err := f(ctx)
			switch {
			case errors.Is(err, rpctypes.ErrUnhealthy) && rest(ctx):
				continue
			case errors.Is(err, rpctypes.ErrUnhealthy), errors.Is(err, rpctypes.ErrMemberNotEnoughStarted):
				return ErrQuorum
			case errors.Is(err, rpctypes.ErrTooManyLearners):
				return ErrJoining
			}
			return err
		}
	})
}

// Vote makes the member that runs here one with a vote, once it has caught up, and returns when it has one. A member that has one already is
// left as it is.
func (s *Store) Vote(ctx context.Context) error {
	for s.etcd != nil && s.etcd.Server.IsLearner() {
		err := s.promote(ctx)
		switch {
		case err == nil || errors.Is(err, rpctypes.ErrMemberNotLearner):
			return nil
		case !errors.Is(err, rpctypes.ErrMemberLearnerNotReady) && !passes(err):
			return fmt.Errorf("get a vote in the cluster: %w", s.explain(ctx, err))
		case !rest(ctx):
			return fmt.Errorf("get a vote in the cluster: %w", ctx.Err())
		}
		if s.ctx.Err() != nil {
			return fmt.Errorf("get a vote in the cluster: %w: the store was closed", ErrUnavailable)
		}
	}
	return nil
}

// promote asks once.
func (s *Store) promote(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	defer context.AfterFunc(s.ctx, cancel)()
	_, err := s.client.MemberPromote(ctx, s.Self())
	return err
}

// settle tells the others where this member is, where that has changed since it was here last: one that was alone and can be reached now, for
// example.
func (s *Store) settle(ctx context.Context, peerURL string) error {
	if s.etcd == nil || peerURL == "" {
		return nil
	}
	all, err := s.Peers(ctx)
	if err != nil {
		return err
	}
	for _, p := range all {
		if p.ID == s.Self() && p.URL != peerURL {
			return s.call(ctx, "tell the cluster where this member is", func(ctx context.Context) error {
				_, err := s.client.MemberUpdate(ctx, p.ID, []string{peerURL})
				return err
			})
		}
	}
	return nil
}

// Lost is closed when the etcd of this process has ended by itself: this member was removed from its cluster, for example. It is never closed
// where somebody else runs etcd.
func (s *Store) Lost() <-chan struct{} {
	if s.etcd == nil {
		return nil
	}
	return s.etcd.Server.StopNotify()
}

// Why returns why the store was lost.
func (s *Store) Why() error {
	if s.etcd != nil && (s.removed.Load() || s.etcd.Server.IsIDRemoved(s.Self())) {
		return ErrRemoved
	}
	return fmt.Errorf("%w: the etcd of this process has ended; its log says why", ErrUnavailable)
}
