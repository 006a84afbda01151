package store

import (
	"context"
	"strings"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// How a roster stays true.
const (
	signEvery = time.Second     // how often it asks its watch for a sign of life
	signLasts = 3 * time.Second // a roster that has had none for so long answers nothing by itself
)

// A Roster knows the members that stand, because it watches. It only ever says yes by itself: whoever it does not know, or knows otherwise, is
// looked up in the store, and so is everybody while the watch is silent. So one who was enrolled a moment ago is let in at once, one who was
// revoked a moment ago is out as soon as the watch tells, some milliseconds later, and at once where Doubt was told.
type Roster struct {
	store *Store
	left  func(identity string) // told of everybody who no longer is who he was

	mu      sync.Mutex
	heard   [2]time.Time // when each of the two watches gave a sign last; zero: it is broken
	seats   map[string]seat
	marks   map[string]string    // by identity: the mark of the member that stands
	doubted map[string]time.Time // until when the store is asked
}

// A seat is a member as the roster keeps it.
type seat struct {
	fingerprint [32]byte
	places      []string
	mark        string
}

// NewRoster returns a roster that follows the store until ctx ends or the store is closed. left, unless it is nil, must not block.
func (s *Store) NewRoster(ctx context.Context, left func(identity string)) *Roster {
	r := &Roster{store: s, left: left, doubted: map[string]time.Time{}}
	if left == nil {
		r.left = func(string) {}
	}
	s.background(ctx, func(ctx context.Context) {
		r.follow(ctx)
		r.lose()
	}, func() {})
	return r
}

// Member returns the member of an identity, revoked or not, or ErrNotFound. Its public keys are not in it.
func (r *Roster) Member(ctx context.Context, identity string) (*Member, error) {
	if m := r.stands(identity); m != nil {
		return m, nil
	}
	m, err := r.store.Member(ctx, identity)
	if err != nil {
		return nil, err
	}
	m.PublicKeys = nil
	return m, nil
}

// stands returns a member of whom the roster is sure that it stands, else nil.
func (r *Roster) stands(identity string) *Member {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	if until, doubt := r.doubted[identity]; doubt && now.Before(until) {
		return nil
	}
	delete(r.doubted, identity)
	s, ok := r.seats[identity]
	if !ok || s.mark != r.marks[identity] || now.Sub(r.heard[0]) > signLasts || now.Sub(r.heard[1]) > signLasts {
		return nil
	}
	return &Member{Identity: identity, Fingerprint: s.fingerprint, Places: s.places}
}

// Doubt has the store asked about an identity until the watch has surely told what was just done to it.
func (r *Roster) Doubt(identity string) {
	r.mu.Lock()
	r.doubted[identity] = time.Now().Add(signLasts)
	r.mu.Unlock()
	r.left(identity)
}

// follow reads every member, and then what changes, until a watch breaks.
func (r *Roster) follow(ctx context.Context) {
	ctx, cancel := context.WithCancel(clientv3.WithRequireLeader(ctx)) // ends both watches with this call
	defer cancel()
	from, err := r.load(ctx)
	if err != nil {
		return
	}
	client := r.store.client
	members := client.Watch(ctx, membersAt, clientv3.WithPrefix(), clientv3.WithRev(from))
	standing := client.Watch(ctx, standingAt, clientv3.WithPrefix(), clientv3.WithRev(from))
	tick := time.NewTicker(signEvery)
	defer tick.Stop()
	for ok := true; ok; {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			ok = client.RequestProgress(ctx) == nil
		case got, open := <-members:
			ok = open && r.take(0, got, r.seated)
		case got, open := <-standing:
			ok = open && r.take(1, got, r.stood)
		}
	}
}

// load reads every member at one moment, and returns the revision of etcd that the watches go on from.
func (r *Roster) load(ctx context.Context) (from int64, err error) {
	var got *clientv3.TxnResponse
	err = r.store.call(ctx, "read the members", func(ctx context.Context) (err error) {
		got, err = r.store.client.Txn(ctx).Then(clientv3.OpGet(membersAt, clientv3.WithPrefix()), clientv3.OpGet(standingAt, clientv3.WithPrefix())).Commit()
		return err
	})
	if err != nil {
		return 0, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seats, r.marks = map[string]seat{}, map[string]string{}
	for _, kv := range got.Responses[0].GetResponseRange().Kvs {
		r.seated(strings.TrimPrefix(string(kv.Key), membersAt), kv.Value)
	}
	for _, kv := range got.Responses[1].GetResponseRange().Kvs {
		r.stood(strings.TrimPrefix(string(kv.Key), standingAt), kv.Value)
	}
	r.heard = [2]time.Time{time.Now(), time.Now()}
	return got.Header.Revision + 1, nil
}

// take notes what one of the watches tells, and reports false where it broke.
func (r *Roster) take(watch int, got clientv3.WatchResponse, note func(identity string, value []byte)) bool {
	if got.Err() != nil {
		return false
	}
	changed := make([]string, 0, len(got.Events))
	r.mu.Lock()
	for _, event := range got.Events {
		_, identity, _ := strings.Cut(strings.TrimPrefix(string(event.Kv.Key), root), "/") // "members/" or "standing/"
		note(identity, event.Kv.Value)                                                     // nil where it was removed
		changed = append(changed, identity)
	}
	r.heard[watch] = time.Now()
	r.mu.Unlock()
	for _, identity := range changed {
		r.left(identity)
	}
	return true
}

// seated notes a member's record. One that cannot be read is for the store to explain.
func (r *Roster) seated(identity string, value []byte) {
	record, err := decodeMember(identity, value)
	if value == nil || err != nil {
		delete(r.seats, identity)
		return
	}
	r.seats[identity] = seat{record.Fingerprint, record.Places, record.Mark}
}

// stood notes which member of an identity stands.
func (r *Roster) stood(identity string, value []byte) {
	if value == nil {
		delete(r.marks, identity)
		return
	}
	r.marks[identity] = string(value)
}

// lose makes the roster answer nothing by itself until it has read everything anew.
func (r *Roster) lose() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.heard = [2]time.Time{}
}
