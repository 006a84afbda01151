package controller

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	"google.golang.org/protobuf/types/known/timestamppb"

	ropewayv1 "ropeway/api/ropeway/v1"
	"ropeway/internal/build"
	"ropeway/internal/diag"
	"ropeway/internal/role"
	"ropeway/internal/store"
	"ropeway/internal/token"
)

// What can be wrong with a cluster of controllers; see docs/errors.md. What concerns the store is said there.
const (
	codeUnreachable diag.Code = "RW7220" // nobody can join this one
	codeNameTaken   diag.Code = "RW7221"
	codeJoin        diag.Code = "RW7222" // what is asked for makes no sense
	codeNoSuch      diag.Code = "RW7223"
	codeNoRecipient diag.Code = "RW7224"
)

// controllerPrefix is what the identities of controllers begin with.
const controllerPrefix = string(role.Controller) + "/"

// clusterService is what controllers are to each other, and to those who run them.
type clusterService struct {
	*Controller
	joining *sync.Mutex // one joins at a time
}

// Join implements ropewayv1connect.ClusterServiceHandler. Everything is checked, and the cluster has made room, before the token is used up: one
// that was made for nothing may come again with it.
func (s clusterService) Join(ctx context.Context, req *ropewayv1.JoinRequest) (*ropewayv1.JoinResponse, error) {
	t, fingerprint, err := shown(req.Token, req.Csr)
	if err != nil {
		return nil, err
	}
	id := role.Identity{Role: role.Controller, Name: req.Name}
	s.joining.Lock()
	defer s.joining.Unlock()
	newcomer, peers, err := s.admit(ctx, req, t, id, fingerprint)
	if err != nil {
		s.log.Warn("a controller was not admitted", "token", t.ID(), "name", diag.Quote(req.Name), "error", err)
		return nil, asked(err)
	}
	return s.welcome(newcomer, peers, req.PeerUrl)
}

// admit makes room for a controller, then uses its token up, and announces it. It returns every member of the store's cluster.
func (s clusterService) admit(ctx context.Context, req *ropewayv1.JoinRequest, t token.Token, id role.Identity, fingerprint [sha256.Size]byte) (newcomer store.Controller, peers []store.Peer, err error) {
	newcomer = store.Controller{Name: id.Name, URL: req.Url, At: s.opts.Now()}
	kept, err := s.tokenOf(ctx, t, id)
	if err != nil {
		return newcomer, nil, err
	}
	if err := s.mayJoin(req, newcomer); err != nil {
		return newcomer, nil, err
	}
	if err := s.vacate(ctx, id, kept.Replace); err != nil {
		return newcomer, nil, err
	}
	if req.PeerUrl != "" {
		if newcomer.Peer, peers, err = s.opts.Store.Admit(ctx, req.PeerUrl); err != nil {
			return newcomer, nil, err
		}
	}
	if err := s.take(ctx, t, id, fingerprint); err != nil {
		return newcomer, nil, err
	}
	return newcomer, peers, s.opts.Store.Announce(ctx, newcomer)
}

// tokenOf returns the token that was shown, if it is one of the identity.
func (s clusterService) tokenOf(ctx context.Context, t token.Token, id role.Identity) (*store.Token, error) {
	kept, err := s.opts.Store.Token(ctx, t.Hash(), s.opts.Now())
	switch {
	case errors.Is(err, store.ErrToken):
		return nil, errToken
	case err != nil:
		return nil, err
	case kept.Identity != id.String():
		return nil, errToken
	}
	return kept, nil
}

// mayJoin refuses what could not work.
func (s clusterService) mayJoin(req *ropewayv1.JoinRequest, newcomer store.Controller) error {
	embedded := s.opts.Store.Embedded()
	if err := newcomer.Check(); err != nil {
		return refusal(codeJoin, "controller "+newcomer.Name, err.Error(), "start it with --url https://HOST:PORT, where gateways and people reach it")
	}
	switch {
	case req.Fabric != s.opts.Fabric:
		return refusal("RW7002", "fabric "+diag.Quote(req.Fabric), "this controller keeps fabric "+s.opts.Fabric, "join a controller of the same fabric")
	case embedded && s.opts.PeerURL == "":
		return refusal(codeUnreachable, "controller "+s.opts.Name, "no other one can reach its store", "start it again with --peer-url https://HOST:PORT, where the others reach this machine")
	case embedded && req.PeerUrl == "":
		return refusal(codeJoin, "controller "+req.Name, "it does not say where the others reach its store", "start it with --peer-url https://HOST:PORT")
	case !embedded && req.PeerUrl != "":
		return refusal(codeJoin, "controller "+req.Name, "the controllers of this fabric use an etcd of its own", "start it with the same --etcd-endpoints, and without --peer-url")
	}
	return nil
}

// vacate sees to it that nobody has the name: where the token replaces, whoever has it is removed.
func (s clusterService) vacate(ctx context.Context, id role.Identity, replace bool) error {
	all, err := s.controllers(ctx)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(all, func(c *ropewayv1.Controller) bool { return c.Name == id.Name })
	switch {
	case i < 0:
		return nil
	case !replace:
		return refusal(codeNameTaken, id.String(), "there is a controller of that name", "remove it first (ropeway cluster remove "+id.Name+"), or make a token with --replace")
	}
	return s.remove(ctx, all[i])
}

// take uses the token up.
func (s clusterService) take(ctx context.Context, t token.Token, id role.Identity, fingerprint [sha256.Size]byte) error {
	now := s.opts.Now()
	_, err := s.opts.Store.Redeem(ctx, t.Hash(), now, func(kept store.Token) store.Member {
		if kept.Identity != id.String() {
			return store.Member{}
		}
		return store.Member{Identity: kept.Identity, Fingerprint: fingerprint, At: now}
	})
	if errors.Is(err, store.ErrToken) {
		return errToken
	}
	return err
}

// welcome is what the new one needs to begin.
func (s clusterService) welcome(newcomer store.Controller, peers []store.Peer, peerURL string) (*ropewayv1.JoinResponse, error) {
	bundle, err := s.opts.Bundle()
	if err != nil {
		return nil, err
	}
	out := &ropewayv1.JoinResponse{Authority: bundle.Files()}
	for _, p := range peers {
		name := p.Name
		switch {
		case p.ID == newcomer.Peer:
			name = newcomer.Name
		case name == "" || name == newcomer.Name: // only the new one's own counts
			name = "member-" + strconv.FormatUint(p.ID, 16)
		}
		out.Peers = append(out.Peers, &ropewayv1.Peer{Name: name, Url: p.URL})
	}
	s.log.Info("a controller was admitted", "name", newcomer.Name, "url", newcomer.URL, "peer", peerURL)
	return out, nil
}

// ListControllers implements ropewayv1connect.ClusterServiceHandler.
func (s clusterService) ListControllers(ctx context.Context, _ *ropewayv1.ListControllersRequest) (*ropewayv1.ListControllersResponse, error) {
	all, err := s.controllers(ctx)
	if err != nil {
		return nil, asked(err)
	}
	return &ropewayv1.ListControllersResponse{Controllers: all}, nil
}

// controllers returns those that have announced themselves, and members of the cluster that nobody announced, by name.
func (s clusterService) controllers(ctx context.Context) ([]*ropewayv1.Controller, error) {
	announced, err := s.opts.Store.Controllers(ctx)
	if err != nil {
		return nil, err
	}
	peers := map[uint64]store.Peer{}
	if s.opts.Store.Embedded() {
		list, err := s.opts.Store.Peers(ctx)
		if err != nil {
			return nil, err
		}
		for _, p := range list {
			peers[p.ID] = p
		}
	}
	var out []*ropewayv1.Controller
	for _, c := range announced {
		line := &ropewayv1.Controller{Name: c.Name, Url: c.URL}
		if p, ok := peers[c.Peer]; ok {
			line.Member, line.PeerUrl, line.Learner = p.ID, p.URL, p.Learner
			delete(peers, c.Peer)
		}
		out = append(out, line)
	}
	for id, p := range peers {
		out = append(out, &ropewayv1.Controller{Name: strconv.FormatUint(id, 16), Member: id, PeerUrl: p.URL, Learner: p.Learner})
	}
	slices.SortFunc(out, func(a, b *ropewayv1.Controller) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}

// GetController implements ropewayv1connect.ClusterServiceHandler.
func (s clusterService) GetController(ctx context.Context, _ *ropewayv1.GetControllerRequest) (*ropewayv1.GetControllerResponse, error) {
	st, err := s.opts.Store.Status(ctx)
	if err != nil {
		return nil, asked(err)
	}
	return &ropewayv1.GetControllerResponse{
		Name: s.opts.Name, Version: build.Read().Version, Started: timestamppb.New(s.started), Answers: st.Answers, Embedded: st.Embedded, EtcdVersion: st.Version,
		Member: st.Self, Leader: st.Leader, Learner: st.Learner, StoreSize: st.Size, StoreInUse: st.InUse, StoreQuota: st.Quota,
		Full: st.Full, Damaged: st.Damaged, Index: st.Index,
	}, nil
}

// RemoveController implements ropewayv1connect.ClusterServiceHandler.
func (s clusterService) RemoveController(ctx context.Context, req *ropewayv1.RemoveControllerRequest) (*ropewayv1.RemoveControllerResponse, error) {
	all, err := s.controllers(ctx)
	if err != nil {
		return nil, asked(err)
	}
	i := slices.IndexFunc(all, func(c *ropewayv1.Controller) bool { return c.Name == req.Name })
	if i < 0 {
		return nil, asked(refusal(codeNoSuch, "controller "+diag.Quote(req.Name), "there is none of that name", "ropeway cluster status lists them"))
	}
	if err := s.remove(ctx, all[i]); err != nil {
		s.log.Warn("a controller was not removed", "name", req.Name, "author", callerOf(ctx).String(), "error", err)
		return nil, asked(err)
	}
	s.log.Info("a controller was removed", "name", req.Name, "author", callerOf(ctx).String())
	return &ropewayv1.RemoveControllerResponse{}, nil
}

// remove takes a controller out of the cluster first: where that is refused, nothing has changed.
func (s clusterService) remove(ctx context.Context, c *ropewayv1.Controller) error {
	if c.Member != 0 {
		if err := s.opts.Store.Dismiss(ctx, c.Member); err != nil {
			return fmt.Errorf("remove controller %s: %w", c.Name, err)
		}
	}
	if err := s.opts.Store.Forget(ctx, c.Name); err != nil {
		return err
	}
	err := s.opts.Store.Revoke(ctx, controllerPrefix+c.Name) // a token that was made before cannot bring it back
	if errors.Is(err, store.ErrNotFound) {
		return nil // it was one of the first
	}
	return err
}
