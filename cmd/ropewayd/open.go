package main

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"time"

	"ropeway/internal/authority"
	"ropeway/internal/files"
	"ropeway/internal/store"
)

// Places in the data directory.
const (
	authorityDir = "authority"
	storeDir     = "store"
	peerDir      = "peer"
	joiningFile  = "joining" // the members of the cluster that this controller was admitted to, until it has begun
)

// A holding is what a controller stands on.
type holding struct {
	store     *store.Store
	authority *authority.Authority
	peer      *authority.Peer
}

// open opens what there is, makes what a first start makes, or joins another controller.
func (s *serving) open(ctx context.Context, url string, log *slog.Logger) (*holding, error) {
	peer, err := authority.OpenPeer(s.path(peerDir), s.controller)
	if err != nil {
		return nil, err
	}
	if s.cluster.join != "" && !authority.Exists(s.path(authorityDir)) {
		if err := s.joinAnother(ctx, peer, url); err != nil {
			return nil, err
		}
	}
	h := &holding{peer: peer}
	if len(s.cluster.endpoints) > 0 {
		err = s.openExternal(ctx, h, log)
	} else {
		err = s.openEmbedded(ctx, h, log)
	}
	if err == nil {
		err = h.store.Bind(ctx, h.authority.Pin())
	}
	if err != nil && h.store != nil {
		err = errors.Join(store.Explained(err), h.store.Close())
	}
	return h, err
}

func (s *serving) openExternal(ctx context.Context, h *holding, log *slog.Logger) error {
	o, err := s.cluster.external()
	if err != nil {
		return err
	}
	o.Log = log
	if h.store, err = store.Open(ctx, o); err != nil {
		return err
	}
	bound, err := h.store.Bound(ctx)
	if err != nil {
		return err
	}
	if bound && !authority.Exists(s.path(authorityDir)) {
		return noAuthority("the store belongs to an authority")
	}
	h.authority, err = authority.Open(s.path(authorityDir), s.fabric, time.Now())
	return err
}

func (s *serving) openEmbedded(ctx context.Context, h *holding, log *slog.Logger) (err error) {
	_, begun := os.Lstat(s.path(storeDir))
	if !authority.Exists(s.path(authorityDir)) && (begun == nil || s.cluster.initial != "") {
		return noAuthority("this controller is one of a fabric that has an authority")
	}
	if h.authority, err = authority.Open(s.path(authorityDir), s.fabric, time.Now()); err != nil {
		return err
	}
	if err := h.peer.Renew(h.authority, time.Now()); err != nil {
		return err
	}
	o := s.cluster.embedded(s, h.peer)
	o.Log = log
	members, err := files.Read(s.path(joiningFile), maxPEM)
	switch {
	case err == nil:
		o.InitialCluster, o.Join = string(members), true
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	if h.store, err = store.Open(ctx, o); err != nil || !o.Join {
		return err
	}
	return os.Remove(s.path(joiningFile)) // from now on the store knows
}

func noAuthority(why string) error {
	return problem("RW7225", why+", and the directory of this one has none",
		"let it join (--join), or copy the directory "+authorityDir+" of another controller, or of ropewayd authority init, into its --data")
}
