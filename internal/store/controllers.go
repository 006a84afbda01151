package store

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// A Controller is one of those that serve the fabric, as it announced itself.
type Controller struct {
	Name string // a DNS label
	URL  string // where clients reach it: https://HOST:PORT
	Peer uint64 // the member of the cluster that it is; 0 where somebody else runs etcd
	At   time.Time
}

type controllerRecord struct {
	Version int       `json:"v"`
	Name    string    `json:"name"`
	URL     string    `json:"url"`
	Peer    uint64    `json:"peer,omitempty"`
	At      time.Time `json:"at"`
}

func (r *controllerRecord) check() error {
	if len(r.URL) > maxURL || !strings.HasPrefix(r.URL, "https://") || checkURL(r.URL, true) != nil {
		return errors.New("a controller is reached at https://HOST:PORT")
	}
	return errors.Join(checkVersion(r.Version), checkName("name", r.Name), checkTime(r.At))
}

func (c Controller) record() *controllerRecord {
	return &controllerRecord{Version: version, Name: c.Name, URL: c.URL, Peer: c.Peer, At: c.At.UTC()}
}

// Check returns what Announce would not take.
func (c Controller) Check() error { return c.record().check() }

// maxURL bounds where a controller is reached: a name of 253 characters and what is around it.
const maxURL = 300

// Bind makes the store that of an authority, named by its pin, or returns ErrForeign where it is that of another one: a controller that signed
// with another key would be a stranger to every gateway.
func (s *Store) Bind(ctx context.Context, pin [32]byte) error {
	text := hex.EncodeToString(pin[:])
	if there, err := s.get(ctx, "see whose the store is", authorityKey); err == nil && len(there.Kvs) > 0 && string(there.Kvs[0].Value) == text {
		return nil // a full store would refuse even the question whether to write
	}
	return s.call(ctx, "bind the store to its authority", func(ctx context.Context) error {
		got, err := s.client.Txn(ctx).If(clientv3.Compare(clientv3.Version(authorityKey), "=", 0)).
			Then(clientv3.OpPut(authorityKey, text)).Else(clientv3.OpGet(authorityKey)).Commit()
		if err != nil || got.Succeeded {
			return err
		}
		if kvs := got.Responses[0].GetResponseRange().Kvs; len(kvs) == 0 || string(kvs[0].Value) != text {
			return ErrForeign
		}
		return nil
	})
}

// Bound reports whether the store belongs to an authority already.
func (s *Store) Bound(ctx context.Context) (bool, error) {
	got, err := s.get(ctx, "see whose the store is", authorityKey)
	return err == nil && len(got.Kvs) > 0, err
}

// Announce says that a controller serves, and where. One of the name that is another member of the cluster, and has not been removed, is
// ErrExists.
func (s *Store) Announce(ctx context.Context, c Controller) error {
	r := c.record()
	value, err := encode(r)
	if err != nil {
		return fmt.Errorf("announce controller %s: %w", c.Name, err)
	}
	return s.call(ctx, "announce controller "+c.Name, func(ctx context.Context) error {
		return again(func() (bool, error) { return s.announce(ctx, r, value) })
	})
}

// announce reports false where somebody else announced the same name meanwhile.
func (s *Store) announce(ctx context.Context, r *controllerRecord, value string) (done bool, err error) {
	key := controllersAt + r.Name
	got, err := s.client.Get(ctx, key)
	if err != nil {
		return false, err
	}
	same := clientv3.Compare(clientv3.Version(key), "=", 0)
	if len(got.Kvs) > 0 {
		was, err := decodeController(r.Name, got.Kvs[0].Value)
		switch {
		case err != nil:
			return false, err
		case was.Peer == r.Peer && was.URL == r.URL:
			return true, nil
		}
		if was.Peer != r.Peer {
			if there, err := s.isPeer(ctx, was.Peer); err != nil || there {
				return false, errors.Join(err, ErrExists)
			}
		}
		same = unchanged(got.Kvs[0])
	}
	answer, err := s.client.Txn(ctx).If(same).Then(clientv3.OpPut(key, value)).Commit()
	return err == nil && answer.Succeeded, err
}

func (s *Store) isPeer(ctx context.Context, id uint64) (bool, error) {
	if id == 0 {
		return false, nil
	}
	all, err := s.client.MemberList(ctx)
	if err != nil {
		return false, err
	}
	for _, m := range all.Members {
		if m.ID == id {
			return true, nil
		}
	}
	return false, nil
}

func decodeController(name string, data []byte) (*controllerRecord, error) {
	var r controllerRecord
	if err := decode(data, &r); err != nil {
		return nil, fmt.Errorf("a controller: %w", err)
	}
	if r.Name != name {
		return nil, fmt.Errorf("controller %s: %w: it says that it is another one", name, ErrDamaged)
	}
	return &r, nil
}

// Forget removes what was announced of a controller. A full store does it too.
func (s *Store) Forget(ctx context.Context, name string) error {
	if err := checkName("name", name); err != nil {
		return fmt.Errorf("forget a controller: %w", err)
	}
	return s.call(ctx, "forget controller "+name, func(ctx context.Context) error {
		_, err := s.client.Delete(ctx, controllersAt+name)
		return err
	})
}

// Controllers lists those that have announced themselves, by name.
func (s *Store) Controllers(ctx context.Context) ([]Controller, error) {
	got, err := s.get(ctx, "list controllers", controllersAt, clientv3.WithPrefix())
	if err != nil {
		return nil, err
	}
	out := make([]Controller, len(got.Kvs))
	for i, kv := range got.Kvs {
		r, err := decodeController(strings.TrimPrefix(string(kv.Key), controllersAt), kv.Value)
		if err != nil {
			return nil, fmt.Errorf("list controllers: %w", err)
		}
		out[i] = Controller{Name: r.Name, URL: r.URL, Peer: r.Peer, At: r.At.UTC()}
	}
	return out, nil
}

// WatchControllers calls tell with the list of controllers, and again when one came or went, until ctx ends or the store is closed.
func (s *Store) WatchControllers(ctx context.Context, tell func([]Controller)) {
	s.attend(ctx, controllersAt, 0, func(ctx context.Context) error {
		list, err := s.Controllers(ctx)
		if err == nil {
			tell(list)
		}
		return err
	})
}
