package store

import (
	"context"
	"errors"
	"fmt"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// What a store answers. Test with errors.Is.
var (
	ErrMoved       = errors.New("the fabric has moved on: another revision is the newest")
	ErrNotFound    = errors.New("there is none")
	ErrPruned      = errors.New("it is gone: it was old, and many came after it")
	ErrExists      = errors.New("there is one already")
	ErrToken       = errors.New("the token does not serve") // unknown, used or expired: a stranger does not learn which
	ErrEnrolled    = errors.New("the identity is a member already: revoke it and make another token, or make a token that replaces")
	ErrFull        = errors.New("the store is full: it refuses what would make it larger until space is reclaimed or its quota raised")
	ErrUnavailable = errors.New("the store does not answer")
	ErrInUse       = errors.New("another process uses the data directory")
	ErrDamaged     = errors.New("the store holds what was never written there")
	ErrQuorum      = errors.New("too few members of the cluster would be left, or are there, for it to go on")
	ErrJoining     = errors.New("another member is joining the cluster: one joins at a time")
	ErrRemoved     = errors.New("this member was removed from its cluster")
	ErrURL         = errors.New("nobody can be reached at it")
	ErrForeign     = errors.New("the store belongs to another authority")
)

// explain makes an error of etcd's ours. ctx is the caller's.
func (s *Store) explain(ctx context.Context, err error) error {
	switch {
	case err == nil || isOurs(err):
		return err
	case errors.Is(err, rpctypes.ErrNoSpace):
		return ErrFull
	case s.ctx.Err() != nil:
		return fmt.Errorf("%w: it was closed", ErrUnavailable)
	case errors.Is(ctx.Err(), context.Canceled):
		return ctx.Err()
	case ctx.Err() != nil:
		return fmt.Errorf("%w: %w", ErrUnavailable, ctx.Err())
	case passes(err):
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return err
}

// isOurs reports whether an error says something of what is stored rather than of how it was asked for.
func isOurs(err error) bool {
	for _, ours := range []error{ErrMoved, ErrNotFound, ErrPruned, ErrExists, ErrToken, ErrEnrolled, ErrDamaged, ErrStep, ErrQuorum, ErrJoining, ErrForeign, ErrURL} {
		if errors.Is(err, ours) {
			return true
		}
	}
	return false
}

// passes reports whether an error is one that may be over a moment later: no leader, another one, no connection, no answer in time.
func passes(err error) bool {
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) || errors.Is(err, rpctypes.ErrTooManyRequests) {
		return true
	}
	var etcd rpctypes.EtcdError
	code := status.Code(err)
	if errors.As(err, &etcd) {
		code = etcd.Code()
	}
	return code == codes.Unavailable || code == codes.DeadlineExceeded || code == codes.Canceled
}
