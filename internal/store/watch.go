package store

import (
	"context"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// lookEvery is how often a watch looks by itself: an event that got lost costs so much time, and nothing else.
const lookEvery = 10 * time.Second

// WatchNewest sends the number of the newest revision if it is greater than from, and again whenever it grows. A number that was overtaken
// before it was received is left out. The channel is closed when ctx ends or the store is closed.
//
// An event is only the fast way to hear of a revision. Where a watch breaks, by compaction, without a leader or a connection, and every few
// seconds anyhow, the number is read and compared, so nothing can hide the newest revision for longer.
func (s *Store) WatchNewest(ctx context.Context, from uint64) <-chan uint64 {
	return s.watch(ctx, from, figure{newestKey, func(kv *mvccpb.KeyValue) (uint64, error) { return parseNumber(kv.Value) }})
}

// A figure is a number that only rises and that a key tells.
type figure struct {
	key string
	of  func(*mvccpb.KeyValue) (uint64, error)
}

func (s *Store) watch(ctx context.Context, from uint64, f figure) <-chan uint64 {
	out := make(chan uint64, 1)
	s.background(ctx, func(ctx context.Context) { from = s.follow(ctx, f, from, out) }, func() { close(out) })
	return out
}

// background repeats a watch in a goroutine, which Close waits for, and calls ended after the last one.
func (s *Store) background(ctx context.Context, watch func(context.Context), ended func()) {
	if !s.begin() {
		ended()
		return
	}
	go func() {
		defer s.working.Done()
		defer ended()
		s.repeat(ctx, watch)
	}()
}

// repeat calls a watch, which returns when it breaks, again and again with a rest between, until ctx ends or the store is closed.
func (s *Store) repeat(ctx context.Context, watch func(context.Context)) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.ctx, cancel)()
	for ctx.Err() == nil {
		watch(ctx)
		rest(ctx)
	}
}

// follow reads and sends the figure, then sends what events tell, until the watch breaks. It returns the last number that it sent.
func (s *Store) follow(ctx context.Context, f figure, from uint64, out chan uint64) uint64 {
	ctx, cancel := context.WithCancel(clientv3.WithRequireLeader(ctx)) // ends the watch with this call
	defer cancel()
	events := s.client.Watch(ctx, f.key) // before the first look: nothing falls between the two
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	newest, err := s.read(ctx, f)
	for err == nil {
		if newest > from {
			from = newest
			replace(out, newest)
		}
		select {
		case <-tick.C:
			newest, err = s.read(ctx, f)
		case got, ok := <-events:
			if !ok || got.Err() != nil {
				return from
			}
			newest, err = f.last(got.Events)
		}
	}
	return from
}

// read returns a figure, 0 where there is none yet.
func (s *Store) read(ctx context.Context, f figure) (uint64, error) {
	got, err := s.get(ctx, "read what is watched", f.key)
	if err != nil || len(got.Kvs) == 0 {
		return 0, err
	}
	return f.of(got.Kvs[0])
}

// last returns the number that the last of some events tells, 0 where there is none.
func (f figure) last(events []*clientv3.Event) (uint64, error) {
	if len(events) == 0 {
		return 0, nil
	}
	return f.of(events[len(events)-1].Kv) // a removal has no value, and nobody removes it
}

// replace sends a number in place of one that nobody has received yet. There is one sender.
func replace(out chan uint64, n uint64) {
	select {
	case <-out:
	default:
	}
	out <- n
}
