package store

import (
	"context"
	"errors"
	"fmt"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// Reclaim makes room: etcd forgets what was overwritten or removed, the member that runs here (every one, of an etcd that somebody else runs)
// gives back what it does not need on disk, and writes are let through again. Where that gained nothing the next one is ErrFull again. While a
// member does this it answers nobody else.
func (s *Store) Reclaim(ctx context.Context) error {
	now, err := s.get(ctx, "reclaim space", newestKey)
	if err != nil {
		return err
	}
	if !s.begin() {
		return fmt.Errorf("reclaim space: %w: it was closed", ErrUnavailable)
	}
	defer s.working.Done()
	limited, cancel := context.WithCancel(ctx) // no patience: this takes as long as the disk
	defer cancel()
	defer context.AfterFunc(s.ctx, cancel)()
	if err := s.reclaim(limited, now.Header.Revision); err != nil {
		return fmt.Errorf("reclaim space: %w", s.explain(ctx, err))
	}
	return nil
}

func (s *Store) reclaim(ctx context.Context, revision int64) error {
	_, err := s.client.Compact(ctx, revision, clientv3.WithCompactPhysical())
	if err != nil && !errors.Is(err, rpctypes.ErrCompacted) {
		return err
	}
	if s.etcd != nil {
		if err := s.etcd.Server.Backend().Defrag(); err != nil {
			return err
		}
	}
	for _, m := range s.client.Endpoints() { // none, where etcd runs here
		if _, err := s.client.Defragment(ctx, m); err != nil {
			return err
		}
	}
	alarms, err := s.client.AlarmList(ctx)
	if err != nil {
		return err
	}
	for _, a := range alarms.Alarms {
		if a.Alarm != pb.AlarmType_NOSPACE {
			continue // one that says that data is corrupt is for people
		}
		if _, err := s.client.AlarmDisarm(ctx, (*clientv3.AlarmMember)(a)); err != nil {
			return err
		}
	}
	return nil
}
