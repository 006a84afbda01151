package controller

import (
	"context"
	"crypto/rand"
	"errors"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	ropewayv1 "ropeway/api/ropeway/v1"
	"ropeway/internal/diag"
	names "ropeway/internal/fabric"
	"ropeway/internal/role"
	"ropeway/internal/store"
	"ropeway/internal/token"
)

// accessService is for those who let others in.
type accessService struct{ *Controller }

// How long a token may serve.
const (
	usualTTL    = time.Hour
	shortestTTL = time.Minute
	longestTTL  = 7 * 24 * time.Hour
)

// CreateToken implements ropewayv1connect.AccessServiceHandler.
func (s accessService) CreateToken(ctx context.Context, req *ropewayv1.CreateTokenRequest) (*ropewayv1.CreateTokenResponse, error) {
	id, err := role.ParseToken(req.Identity)
	if err != nil {
		return nil, connect.NewError(connect.CodeInvalidArgument, err)
	}
	if err := mayBind(id, req.Places); err != nil {
		return nil, connect.NewError(connect.CodeInvalidArgument, err)
	}
	ttl := usualTTL
	if req.Ttl != nil {
		ttl = req.Ttl.AsDuration()
	}
	if ttl < shortestTTL || ttl > longestTTL {
		return nil, connect.NewError(connect.CodeInvalidArgument, errors.New("a token serves for a minute to a week"))
	}
	t, expires, err := s.makeToken(ctx, store.Token{Identity: id.String(), Author: callerOf(ctx).String(), Replace: req.Replace, Places: req.Places}, ttl)
	if err != nil {
		return nil, asked(err)
	}
	return &ropewayv1.CreateTokenResponse{Token: t.Reveal(), Id: t.ID(), Expires: timestamppb.New(expires)}, nil
}

// mayBind refuses places for whom they mean nothing: a gateway has its own, and an administrator could make himself another token.
func mayBind(id role.Identity, places []string) error {
	if len(places) > 0 && id.Role != role.Viewer && id.Role != role.Operator {
		return refusal("RW7606", id.String(), "only viewers and operators are bound to places", "leave the places out, or make a token for another role")
	}
	for _, p := range places {
		if !names.ValidName(p) {
			return refusal("RW7606", id.String(), diag.Quote(p)+" is no name of a place, which is a DNS label", "name places as the fabric file does")
		}
	}
	return nil
}

// FirstToken makes a token for whoever runs the controller.
func (c *Controller) FirstToken(ctx context.Context, id role.Identity, ttl time.Duration) (token.Token, time.Time, error) {
	return c.makeToken(ctx, store.Token{Identity: id.String(), Author: "ropewayd"}, ttl)
}

// makeToken makes a token that serves once. Only its hash is kept.
func (c *Controller) makeToken(ctx context.Context, kept store.Token, ttl time.Duration) (token.Token, time.Time, error) {
	t, err := token.New(rand.Reader, c.opts.Authority.Pin())
	if err != nil {
		return token.Token{}, time.Time{}, err
	}
	kept.ID, kept.Hash, kept.Expires = t.ID(), t.Hash(), c.opts.Now().Add(ttl)
	err = c.opts.Store.PutToken(ctx, kept)
	if err == nil {
		c.log.Info("a token was made", "id", kept.ID, "for", kept.Identity, "author", kept.Author, "expires", kept.Expires, "replace", kept.Replace, "places", kept.Places)
	}
	return t, kept.Expires, err
}

// ListTokens implements ropewayv1connect.AccessServiceHandler.
func (s accessService) ListTokens(ctx context.Context, _ *ropewayv1.ListTokensRequest) (*ropewayv1.ListTokensResponse, error) {
	list, err := s.opts.Store.Tokens(ctx)
	if err != nil {
		return nil, asked(err)
	}
	out := &ropewayv1.ListTokensResponse{}
	for _, t := range list {
		if t.Expires.After(s.opts.Now()) {
			out.Tokens = append(out.Tokens, &ropewayv1.Token{Id: t.ID, Identity: t.Identity, Author: t.Author, Expires: timestamppb.New(t.Expires), Places: t.Places})
		}
	}
	return out, nil
}

// RevokeToken implements ropewayv1connect.AccessServiceHandler.
func (s accessService) RevokeToken(ctx context.Context, req *ropewayv1.RevokeTokenRequest) (*ropewayv1.RevokeTokenResponse, error) {
	if err := s.opts.Store.RevokeToken(ctx, req.Id); err != nil {
		return nil, asked(err)
	}
	s.log.Info("a token was revoked", "id", req.Id, "author", callerOf(ctx).String())
	return &ropewayv1.RevokeTokenResponse{}, nil
}
