package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// A Status is how the store looks from this process.
type Status struct {
	Answers  bool   // the cluster has a majority that this process reaches
	Embedded bool   // etcd runs here
	Version  string // of etcd
	Self     uint64 // the member that runs here, or that was asked
	Leader   uint64 // the member that leads; 0: nobody, as far as this one knows
	Learner  bool   // it has no vote yet
	Size     int64  // what the data takes on disk, in bytes
	InUse    int64  // of which are in use; the rest comes back when space is reclaimed
	Quota    int64  // what Size may become; 0: not known
	Full     bool   // writes are refused
	Damaged  bool   // members hold different data: for people to mend
	Index    uint64 // how far it is: the last entry of the log that it applied
}

// glance bounds how long a status waits for the majority.
const glance = 2 * time.Second

// Status looks at the store. It has an answer where the majority has none.
func (s *Store) Status(ctx context.Context) (Status, error) {
	if !s.begin() {
		return Status{}, fmt.Errorf("look at the store: %w: it was closed", ErrUnavailable)
	}
	defer s.working.Done()
	ctx, cancel := context.WithTimeout(ctx, 2*glance)
	defer cancel()
	defer context.AfterFunc(s.ctx, cancel)()
	got, err := s.status(ctx)
	if err != nil {
		return Status{}, fmt.Errorf("look at the store: %w", s.explain(ctx, err))
	}
	out := Status{
		Embedded: s.etcd != nil, Version: got.Version, Self: got.Header.GetMemberId(), Leader: got.Leader, Learner: got.IsLearner,
		Size: got.DbSize, InUse: got.DbSizeInUse, Quota: got.DbSizeQuota, Index: got.RaftAppliedIndex,
	}
	out.Answers = s.Ready(ctx)
	if !out.Answers {
		return out, nil
	}
	alarms, err := s.client.AlarmList(ctx)
	if err != nil {
		return out, fmt.Errorf("look at the store: %w", s.explain(ctx, err))
	}
	for _, a := range alarms.Alarms {
		out.Full = out.Full || a.Alarm == pb.AlarmType_NOSPACE
		out.Damaged = out.Damaged || a.Alarm == pb.AlarmType_CORRUPT
	}
	return out, nil
}

// status asks the member that runs here, or the first of another's etcd that answers.
func (s *Store) status(ctx context.Context) (got *clientv3.StatusResponse, err error) {
	endpoints := s.client.Endpoints()
	if s.etcd != nil {
		endpoints = []string{""} // it is not looked at
	}
	for _, e := range endpoints {
		limited, cancel := context.WithTimeout(ctx, glance)
		got, err = s.client.Status(limited, e)
		cancel()
		if err == nil {
			return got, nil
		}
	}
	return nil, errors.Join(err, ctx.Err())
}

// Ready reports whether the store answers within a moment, as its majority has it.
func (s *Store) Ready(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, glance)
	defer cancel()
	_, err := s.client.Get(ctx, newestKey, clientv3.WithKeysOnly())
	return err == nil
}
