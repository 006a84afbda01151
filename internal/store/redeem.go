package store

import (
	"context"
	"fmt"
	"slices"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// A redemption is a token on its way to become a member.
type redemption struct {
	now    time.Time
	maker  func(Token) Member
	mark   string
	token  *tokenRecord  // nil: not read yet
	record *memberRecord // what the token makes
}

// Redeem makes a member of whoever shows a token, as m says, and the token worthless: both happen, or neither. However many show it at once,
// one is served. A token that is unknown, used or expired is ErrToken. One whose identity is a member already is ErrEnrolled, and stays good,
// unless it was made after that member was revoked or replaces. m is called once at most, and names the identity of the token: where it names
// another one the token does not serve, and stays good.
func (s *Store) Redeem(ctx context.Context, hash [32]byte, now time.Time, m func(Token) Member) (Token, error) {
	r := &redemption{now: now, maker: m, mark: newMark()}
	err := s.call(ctx, "redeem a token", func(ctx context.Context) error {
		return again(func() (bool, error) { return s.redeem(ctx, hash, r) })
	})
	if err != nil {
		return Token{}, err
	}
	return r.token.token(), nil
}

// redeem reports false where the token or the member changed while it looked.
func (s *Store) redeem(ctx context.Context, hash [32]byte, r *redemption) (done bool, err error) {
	got, err := s.client.Get(ctx, tokenKey(hash))
	if err != nil {
		return false, err
	}
	if len(got.Kvs) == 0 {
		return s.redeemed(ctx, r)
	}
	if err := r.take(got.Kvs[0], hash); err != nil {
		return false, err
	}
	w, err := s.look(ctx, r.token.Identity)
	if err != nil {
		return false, err
	}
	still := append(w.same(), unchanged(got.Kvs[0]))
	if !r.serves(w) {
		return s.refuse(ctx, still)
	}
	value, err := encode(r.record)
	if err != nil {
		return false, fmt.Errorf("the member: %w", err)
	}
	identity := r.token.Identity
	entry, err := recorded(ctx, r.mark, enrolled(r.token, w))
	if err != nil {
		return false, err
	}
	answer, err := s.client.Txn(ctx).If(still...).
		Then(entry, clientv3.OpDelete(tokenKey(hash)), clientv3.OpDelete(tokenIDsAt+r.token.ID),
			clientv3.OpPut(membersAt+identity, value), clientv3.OpPut(standingAt+identity, r.mark)).Commit()
	return err == nil && answer.Succeeded, err
}

// take reads the token, and has the member made the first time.
func (r *redemption) take(kv *mvccpb.KeyValue, hash [32]byte) error {
	t, err := decodeToken(kv.Value)
	if err != nil {
		return err
	}
	if t.Hash != hash {
		return fmt.Errorf("%w: a token stands under the hash of another one", ErrDamaged)
	}
	if !r.now.Before(t.Expires) {
		return ErrToken
	}
	r.token = t
	if r.record != nil {
		return nil
	}
	m := r.maker(t.token())
	if m.Identity != t.Identity || m.Revoked || !slices.Equal(m.Places, t.Places) {
		return fmt.Errorf("%w: it makes %s, which is not wanted here", ErrToken, t.Identity)
	}
	r.record = &memberRecord{
		Version: version, Mark: r.mark, Identity: m.Identity, Fingerprint: m.Fingerprint, PublicKeys: m.PublicKeys, At: m.At.UTC(), Places: m.Places,
	}
	return nil
}

// serves reports whether the token may make a member where this was seen.
func (r *redemption) serves(w *sighting) bool {
	return w.record == nil || r.token.Replace || w.record.Mark == r.token.Over // that one was revoked, and nobody stands up again
}

// refuse says that the identity is enrolled, if that and the token were there at the same time: else the token itself may have made the
// member that was seen.
func (s *Store) refuse(ctx context.Context, still []clientv3.Cmp) (bool, error) {
	answer, err := s.client.Txn(ctx).If(still...).Commit()
	if err == nil && answer.Succeeded {
		err = ErrEnrolled
	}
	return false, err
}

// redeemed tells a token that is gone because an earlier try took it, and lost the answer, from one that is gone.
func (s *Store) redeemed(ctx context.Context, r *redemption) (bool, error) {
	if r.token == nil {
		return false, ErrToken
	}
	w, err := s.look(ctx, r.token.Identity)
	if err != nil {
		return false, err
	}
	if w.record == nil || w.record.Mark != r.mark {
		return false, ErrToken
	}
	return true, nil
}

// again repeats a step that found the world changed between its look and its write. Whoever changed it got on, so this comes to an end; ctx,
// which every step minds, ends it in any case.
func again(step func() (done bool, err error)) error {
	for {
		if done, err := step(); done || err != nil {
			return err
		}
	}
}

// unchanged holds as long as a key is as it was read.
func unchanged(kv *mvccpb.KeyValue) clientv3.Cmp {
	return clientv3.Compare(clientv3.ModRevision(string(kv.Key)), "=", kv.ModRevision)
}
