package store

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"ropeway/internal/audit"
)

// A Token makes whoever shows it a member, once.
type Token struct {
	ID       string   // what it is called in lists
	Hash     [32]byte // SHA-256 of what has to be shown; that itself is not stored
	Identity string   // whom it makes
	Author   string   // who made it
	Expires  time.Time
	Replace  bool     // it also serves where the identity is a member already, whose certificate then is worth nothing
	Places   []string // that the member is bound to; none: every place
}

// linger is how long a token is kept after it expired, for clocks that differ and people who look for it.
const linger = time.Hour

type tokenRecord struct {
	Version  int       `json:"v"`
	Mark     string    `json:"mark"`
	ID       string    `json:"id"`
	Hash     digest    `json:"hash"`
	Identity string    `json:"identity"`
	Author   string    `json:"author"`
	Expires  time.Time `json:"expires"`
	Replace  bool      `json:"replace,omitempty"`
	Places   []string  `json:"places,omitempty"`
	Over     string    `json:"over,omitempty"` // the mark of the member that was revoked when the token was made
}

func (r *tokenRecord) check() error {
	if r.Hash == (digest{}) {
		return errors.New("a token has a hash")
	}
	if r.Over != "" && checkMark(r.Over) != nil {
		return errors.New("a token names a member by its mark")
	}
	return errors.Join(checkVersion(r.Version), checkMark(r.Mark), checkName("ID", r.ID),
		checkName("identity", r.Identity), checkName("author", r.Author), checkTime(r.Expires), checkPlaces(r.Places))
}

func (r *tokenRecord) token() Token {
	return Token{ID: r.ID, Hash: r.Hash, Identity: r.Identity, Author: r.Author, Expires: r.Expires.UTC(), Replace: r.Replace, Places: r.Places}
}

func decodeToken(data []byte) (*tokenRecord, error) {
	var r tokenRecord
	if err := decode(data, &r); err != nil {
		return nil, fmt.Errorf("a token: %w", err)
	}
	return &r, nil
}

// PutToken makes a token, or returns ErrExists where there is one of that ID or hash. Some time after it expired it goes by itself.
func (s *Store) PutToken(ctx context.Context, t Token) error {
	r := &tokenRecord{
		Version: version, Mark: newMark(), ID: t.ID, Hash: t.Hash,
		Identity: t.Identity, Author: t.Author, Expires: t.Expires.UTC(), Replace: t.Replace, Places: t.Places,
	}
	if _, err := encode(r); err != nil {
		return fmt.Errorf("put a token: %w", err)
	}
	return s.call(ctx, "put token "+t.ID, func(ctx context.Context) error {
		life := max(time.Until(t.Expires), 0) + linger
		lease, err := s.client.Grant(ctx, int64(life/time.Second))
		if err != nil {
			return err
		}
		return again(func() (bool, error) { return s.putToken(ctx, r, clientv3.WithLease(lease.ID)) })
	})
}

// putToken reports false where the member of the token's identity changed meanwhile.
func (s *Store) putToken(ctx context.Context, r *tokenRecord, lease clientv3.OpOption) (done bool, err error) {
	now, err := s.look(ctx, r.Identity)
	if err != nil {
		return false, err
	}
	r.Over = ""
	if now.record != nil && !now.stands() {
		r.Over = now.record.Mark
	}
	value, err := encode(r)
	if err != nil {
		return false, err
	}
	entry, err := recorded(ctx, r.Mark, promised(r))
	if err != nil {
		return false, err
	}
	key, byID := tokenKey(r.Hash), tokenIDsAt+r.ID
	fresh := []clientv3.Cmp{clientv3.Compare(clientv3.Version(key), "=", 0), clientv3.Compare(clientv3.Version(byID), "=", 0)}
	got, err := s.client.Txn(ctx).If(append(fresh, now.same()...)...).
		Then(entry, clientv3.OpPut(key, value, lease), clientv3.OpPut(byID, hex.EncodeToString(r.Hash[:]), lease)).
		Else(clientv3.OpGet(key), clientv3.OpGet(byID)).Commit()
	if err != nil || got.Succeeded {
		return err == nil, err
	}
	found, named := got.Responses[0].GetResponseRange().Kvs, got.Responses[1].GetResponseRange().Kvs
	switch {
	case len(found) > 0 && string(found[0].Value) == value:
		return true, nil // an earlier try, whose answer was lost
	case len(found)+len(named) > 0:
		return false, ErrExists
	}
	return false, nil
}

// Token returns the token of a hash, or ErrToken where it would not serve.
func (s *Store) Token(ctx context.Context, hash [32]byte, now time.Time) (*Token, error) {
	got, err := s.get(ctx, "look at a token", tokenKey(hash))
	if err != nil {
		return nil, err
	}
	if len(got.Kvs) == 0 {
		return nil, ErrToken
	}
	r, err := decodeToken(got.Kvs[0].Value)
	if err != nil {
		return nil, err
	}
	if !now.Before(r.Expires) {
		return nil, ErrToken
	}
	t := r.token()
	return &t, nil
}

// Tokens lists the tokens that have been neither used nor revoked, expired ones too for a while.
func (s *Store) Tokens(ctx context.Context) ([]Token, error) {
	got, err := s.get(ctx, "list tokens", tokensAt, clientv3.WithPrefix())
	if err != nil {
		return nil, err
	}
	out := make([]Token, len(got.Kvs))
	for i, kv := range got.Kvs {
		r, err := decodeToken(kv.Value)
		if err != nil {
			return nil, fmt.Errorf("list tokens: %w", err)
		}
		out[i] = r.token()
	}
	return out, nil
}

// RevokeToken makes a token worthless, or returns ErrNotFound. A full store does it too.
func (s *Store) RevokeToken(ctx context.Context, id string) error {
	if err := checkName("ID", id); err != nil {
		return fmt.Errorf("revoke a token: %w: %w", ErrNotFound, err)
	}
	tried := false // and its answer lost: then it is no wonder that the token is gone
	return s.call(ctx, "revoke token "+id, func(ctx context.Context) error {
		return again(func() (bool, error) {
			got, err := s.client.Get(ctx, tokenIDsAt+id)
			if err != nil {
				return false, err
			}
			if len(got.Kvs) == 0 && tried {
				return true, nil
			}
			if len(got.Kvs) == 0 {
				return false, ErrNotFound
			}
			tried = true
			return s.remove(ctx, []clientv3.Cmp{unchanged(got.Kvs[0])}, audit.Entry{What: "token.revoke", Object: "token/" + id, Outcome: audit.Done},
				clientv3.OpDelete(tokensAt+string(got.Kvs[0].Value)), clientv3.OpDelete(tokenIDsAt+id))
		})
	})
}
