package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"ropeway/internal/audit"
	"ropeway/internal/diag"
	"ropeway/internal/key"
)

// A Member is somebody whom the controller knows by a certificate.
type Member struct {
	Identity    string
	Fingerprint [32]byte          // SHA-256 of the public key of its certificate
	PublicKeys  map[string]string // of a gateway: the WireGuard public key of each device, in base64
	At          time.Time         // when it became one
	Places      []string          // of a person: the only places that are theirs; none: every place
	Revoked     bool
}

type memberRecord struct {
	Version     int               `json:"v"`
	Mark        string            `json:"mark"` // of the enrolment
	Identity    string            `json:"identity"`
	Fingerprint digest            `json:"fingerprint"`
	PublicKeys  map[string]string `json:"publicKeys,omitempty"`
	At          time.Time         `json:"at"`
	Places      []string          `json:"places,omitempty"`
}

func (r *memberRecord) check() error {
	if r.Fingerprint == (digest{}) {
		return errors.New("a member has a fingerprint")
	}
	errs := []error{checkVersion(r.Version), checkMark(r.Mark), checkName("identity", r.Identity), checkTime(r.At), checkPlaces(r.Places)}
	for _, device := range slices.Sorted(maps.Keys(r.PublicKeys)) {
		_, err := key.ParsePublic(r.PublicKeys[device])
		errs = append(errs, checkName("device", device), err)
	}
	return errors.Join(errs...)
}

func decodeMember(identity string, data []byte) (*memberRecord, error) {
	var r memberRecord
	if err := decode(data, &r); err != nil {
		return nil, fmt.Errorf("a member: %w", err)
	}
	if r.Identity != identity {
		return nil, fmt.Errorf("member %s: %w: it says that it is another one", diag.Quote(identity), ErrDamaged)
	}
	return &r, nil
}

// A sighting is what stands in etcd of one identity: its member, and the mark that says that the member is not revoked. The mark is a key of
// its own because a store that is full still removes keys, though it writes none.
type sighting struct {
	identity           string
	record             *memberRecord // nil: there is none
	mark               string
	memberAt, standsAt int64 // the revisions of etcd that wrote the two; 0: there is none
}

func (w *sighting) stands() bool { return w.record != nil && w.mark == w.record.Mark }

func (w *sighting) member() Member {
	r := w.record
	return Member{Identity: r.Identity, Fingerprint: r.Fingerprint, PublicKeys: r.PublicKeys, At: r.At.UTC(), Places: r.Places, Revoked: !w.stands()}
}

// same holds as long as nothing of what was seen has changed.
func (w *sighting) same() []clientv3.Cmp {
	return []clientv3.Cmp{
		clientv3.Compare(clientv3.ModRevision(membersAt+w.identity), "=", w.memberAt),
		clientv3.Compare(clientv3.ModRevision(standingAt+w.identity), "=", w.standsAt),
	}
}

func (w *sighting) take(kv *mvccpb.KeyValue) (err error) {
	w.record, err = decodeMember(w.identity, kv.Value)
	w.memberAt = kv.ModRevision
	return err
}

func (s *Store) look(ctx context.Context, identity string) (*sighting, error) {
	got, err := s.client.Txn(ctx).Then(clientv3.OpGet(membersAt+identity), clientv3.OpGet(standingAt+identity)).Commit()
	if err != nil {
		return nil, err
	}
	w := &sighting{identity: identity}
	for _, kv := range got.Responses[0].GetResponseRange().Kvs {
		if err := w.take(kv); err != nil {
			return nil, err
		}
	}
	for _, kv := range got.Responses[1].GetResponseRange().Kvs {
		w.mark, w.standsAt = string(kv.Value), kv.ModRevision
	}
	return w, nil
}

// Member returns the member of an identity, revoked or not, or ErrNotFound.
func (s *Store) Member(ctx context.Context, identity string) (*Member, error) {
	var w *sighting
	err := s.call(ctx, "read a member", func(ctx context.Context) (err error) {
		if w, err = s.look(ctx, identity); err == nil && w.record == nil {
			err = ErrNotFound
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	m := w.member()
	return &m, nil
}

// Members lists the members whose identities begin with prefix, by identity.
func (s *Store) Members(ctx context.Context, prefix string) ([]Member, error) {
	var got *clientv3.TxnResponse
	err := s.call(ctx, "list members", func(ctx context.Context) (err error) {
		got, err = s.client.Txn(ctx).Then(clientv3.OpGet(membersAt+prefix, clientv3.WithPrefix()),
			clientv3.OpGet(standingAt+prefix, clientv3.WithPrefix())).Commit()
		return err
	})
	if err != nil {
		return nil, err
	}
	standing := map[string]string{}
	for _, kv := range got.Responses[1].GetResponseRange().Kvs {
		standing[strings.TrimPrefix(string(kv.Key), standingAt)] = string(kv.Value)
	}
	var out []Member
	for _, kv := range got.Responses[0].GetResponseRange().Kvs {
		identity := strings.TrimPrefix(string(kv.Key), membersAt)
		w := &sighting{identity: identity, mark: standing[identity]}
		if err := w.take(kv); err != nil {
			return nil, fmt.Errorf("list members: %w", err)
		}
		out = append(out, w.member())
	}
	slices.SortFunc(out, func(a, b Member) int { return cmp.Compare(a.Identity, b.Identity) })
	return out, nil
}

// Revoke makes a member's certificate worthless for ever; ErrNotFound where there is no such member, nothing where it is revoked already. A
// full store does it too.
func (s *Store) Revoke(ctx context.Context, identity string) error {
	return s.call(ctx, "revoke a member", func(ctx context.Context) error {
		return again(func() (bool, error) {
			w, err := s.look(ctx, identity)
			switch {
			case err != nil:
				return false, err
			case w.record == nil:
				return false, ErrNotFound
			case !w.stands():
				return true, nil
			}
			return s.remove(ctx, w.same(), audit.Entry{What: "member.revoke", Object: identity, Outcome: audit.Done}, clientv3.OpDelete(standingAt+identity))
		})
	})
}
