package store

import (
	"context"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// attend calls look, and again after something changed under a prefix, until ctx ends or the store is closed: not before a pause is over. As with
// WatchNewest, an event is only the fast way to hear of it. Where look fails the watch begins anew.
func (s *Store) attend(ctx context.Context, prefix string, pause time.Duration, look func(context.Context) error) {
	if !s.begin() {
		return
	}
	defer s.working.Done()
	s.repeat(ctx, func(ctx context.Context) { s.attendOnce(ctx, prefix, pause, look) })
}

// attendOnce looks until the watch breaks.
func (s *Store) attendOnce(ctx context.Context, prefix string, pause time.Duration, look func(context.Context) error) {
	ctx, cancel := context.WithCancel(clientv3.WithRequireLeader(ctx)) // ends the watch with this call
	defer cancel()
	events := s.client.Watch(ctx, prefix, clientv3.WithPrefix(), clientv3.WithKeysOnly()) // before the first look: nothing falls between the two
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for look(ctx) == nil {
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
		select {
		case <-tick.C:
		case got, ok := <-events:
			if !ok || got.Err() != nil {
				return
			}
		}
		drain(events)
	}
}

// drain passes over what came meanwhile: it is one change. That the watch has broken shows again.
func drain(events clientv3.WatchChan) {
	for {
		select {
		case _, ok := <-events:
			if !ok {
				return
			}
		default:
			return
		}
	}
}
