package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"ropeway/internal/rollout"
)

// A Rollout is how a revision comes to gateways, and who took the last step of it. There is one at most, that of the last revision which
// somebody wanted brought: it stands until the next one takes its place.
type Rollout struct {
	rollout.Rollout
	At            time.Time     // when the last step was taken
	By            string        // who took it: an identity, or a controller
	Soak, Timeout time.Duration // how long a wave is looked at, and waited for; 0: as the controller does
	WayBack       Seal          // of the revision that would bring the base back; zero where the controllers sign plans themselves, or it may not come back
	Step          int64         // rises with every step, and fences the next one; 0: none was taken yet. What is written does not look at it
}

// Take returns the rollout after a step that somebody took.
func (r Rollout) Take(next rollout.Rollout, by string, at time.Time) Rollout {
	r.Rollout, r.By, r.At = next, by, at
	return r
}

// ErrStep is returned where somebody else took a step of a rollout meanwhile. Test with errors.Is.
var ErrStep = errors.New("the rollout has moved on")

type rolloutRecord struct {
	Version int             `json:"v"`
	Mark    string          `json:"mark"` // of the attempt that wrote it
	Rollout rollout.Rollout `json:"rollout"`
	At      time.Time       `json:"at"`
	By      string          `json:"by"`
	Soak    time.Duration   `json:"soak,omitempty"` // nanoseconds
	Timeout time.Duration   `json:"timeout,omitempty"`
	WayBack Seal            `json:"wayBack,omitzero"`
}

func (r *rolloutRecord) check() error {
	if r.Soak < 0 || r.Timeout < 0 {
		return errors.New("a rollout waits for some time")
	}
	return errors.Join(checkVersion(r.Version), checkMark(r.Mark), checkName("author", r.By), checkTime(r.At), r.Rollout.Check(), r.WayBack.check())
}

func encodeRollout(r Rollout) (string, error) {
	text, err := encode(&rolloutRecord{
		Version: version, Mark: newMark(), Rollout: r.Rollout, At: r.At.UTC(), By: r.By, Soak: r.Soak, Timeout: r.Timeout, WayBack: r.WayBack,
	})
	if err != nil {
		return "", fmt.Errorf("the rollout: %w", err)
	}
	return text, nil
}

func decodeRollout(kv *mvccpb.KeyValue) (*Rollout, error) {
	var r rolloutRecord
	if err := decode(kv.Value, &r); err != nil {
		return nil, fmt.Errorf("the rollout: %w", err)
	}
	return &Rollout{Rollout: r.Rollout, At: r.At.UTC(), By: r.By, Soak: r.Soak, Timeout: r.Timeout, WayBack: r.WayBack, Step: kv.ModRevision}, nil
}

// Present returns the number of the newest revision, 0 where there is none, and the last rollout, nil where there is none, as they stood at one
// moment.
func (s *Store) Present(ctx context.Context) (newest uint64, r *Rollout, err error) {
	var got *clientv3.TxnResponse
	err = s.call(ctx, "read the newest revision and its rollout", func(ctx context.Context) (err error) {
		got, err = s.client.Txn(ctx).Then(clientv3.OpGet(newestKey), clientv3.OpGet(rolloutKey)).Commit()
		return err
	})
	if err != nil {
		return 0, nil, err
	}
	if newest, err = newestIn(got.Responses[0]); err != nil {
		return 0, nil, err
	}
	r, err = rolloutIn(got.Responses[1])
	return newest, r, err
}

func rolloutIn(found *pb.ResponseOp) (*Rollout, error) {
	kvs := found.GetResponseRange().Kvs
	if len(kvs) == 0 {
		return nil, nil
	}
	return decodeRollout(kvs[0])
}

// CommitRollout is Commit, and in the same transaction puts what next makes of the revision's number in place of the rollout whose step is given, 0
// for none. Where somebody took another step meanwhile it is ErrStep, and nothing is written.
func (s *Store) CommitRollout(ctx context.Context, base uint64, r Revision, step int64, next func(number uint64) Rollout) (number uint64, err error) {
	return s.commit(ctx, base, r, func(number uint64) (*along, error) {
		text, err := encodeRollout(next(number))
		if err != nil {
			return nil, err
		}
		return &along{fence: atStep(step), put: clientv3.OpPut(rolloutKey, text)}, nil
	})
}

// StepRollout puts next in place of the rollout whose step is given. Where somebody took another one meanwhile it is ErrStep.
func (s *Store) StepRollout(ctx context.Context, step int64, next Rollout) error {
	text, err := encodeRollout(next)
	if err != nil {
		return err
	}
	entry, err := recorded(ctx, newMark(), stepped(next))
	if err != nil {
		return fmt.Errorf("take a step of the rollout: %w", err)
	}
	return s.call(ctx, "take a step of the rollout", func(ctx context.Context) error {
		got, err := s.client.Txn(ctx).If(atStep(step)).Then(clientv3.OpPut(rolloutKey, text), entry).Else(clientv3.OpGet(rolloutKey)).Commit()
		if err != nil || got.Succeeded {
			return err
		}
		kvs := got.Responses[0].GetResponseRange().Kvs
		if len(kvs) > 0 && string(kvs[0].Value) == text {
			return nil // an earlier try, whose answer was lost
		}
		return ErrStep
	})
}

func atStep(step int64) clientv3.Cmp {
	return clientv3.Compare(clientv3.ModRevision(rolloutKey), "=", step)
}

// WatchRollout sends the step of the last rollout if it is greater than from, and again whenever it grows, as WatchNewest does of revisions.
func (s *Store) WatchRollout(ctx context.Context, from uint64) <-chan uint64 {
	return s.watch(ctx, from, figure{rolloutKey, func(kv *mvccpb.KeyValue) (uint64, error) { return uint64(kv.ModRevision), nil }})
}

// along is what a revision brings along in the transaction that makes it.
type along struct {
	fence clientv3.Cmp // holds as long as nobody changed what put replaces
	put   clientv3.Op
}

// stepMoved tells a race for the rollout from one for the revision: the newest is the base still.
func (a *attempt) stepMoved(newest uint64) bool { return a.along != nil && newest == a.base }
