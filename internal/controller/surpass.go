package controller

import (
	"context"
	"errors"
	"fmt"
	"time"

	"connectrpc.com/connect"

	ropewayv1 "ropeway/api/ropeway/v1"
	"ropeway/internal/grant"
	"ropeway/internal/store"
)

// surpass sees to a gateway that holds more than the fabric has handed out: the fabric was restored from a backup, and its numbers have not come so
// far again. The gateway would follow nothing until they have. Its word is not believed, for numbers could be used up that way; the grant that
// it holds is, for it is signed.
func (s gatewayService) surpass(ctx context.Context, gateway string, req *ropewayv1.WatchRequest, stream *connect.ServerStream[ropewayv1.WatchResponse]) error {
	ahead, err := s.ahead(ctx, req.Epoch)
	switch {
	case err != nil:
		return asked(err)
	case !ahead:
		return nil
	case req.Held == nil:
		return stream.Send(&ropewayv1.WatchResponse{Behind: true})
	}
	g, err := grant.Verifier{Authority: s.opts.Authority.PublicKey(), Fabric: s.opts.Fabric, Gateway: gateway}.Open(req.Held)
	if err != nil {
		s.log.Warn("a gateway holds a grant that nobody signed", "gateway", gateway, "error", err)
		return connect.NewError(connect.CodePermissionDenied, err)
	}
	s.log.Warn("a gateway holds a revision that this store does not have; numbering on past it", "gateway", gateway, "revision", g.Epoch)
	return s.desk.surpass(ctx, gateway, g.Epoch, s.opts.Now())
}

// ahead reports whether an epoch is higher than any that the fabric has handed out.
func (c *Controller) ahead(ctx context.Context, epoch uint64) (bool, error) {
	if epoch <= c.latest.Load() {
		return false, nil
	}
	newest, err := c.opts.Store.NewestNumber(ctx) // this controller may just have started
	return epoch > newest, err
}

// surpass makes the fabric as it is a revision past an epoch, so that every gateway follows it again.
func (d *desk) surpass(ctx context.Context, gateway string, epoch uint64, at time.Time) error {
	for range keyAttempts {
		now, err := d.current(ctx)
		if err != nil || now.number > epoch {
			return err
		}
		if err := d.store.Surpass(ctx, epoch); err != nil || now.number == 0 || d.outside() { // then whoever signs next makes the revision
			return err
		}
		lock, err := now.lock.Encode()
		if err != nil {
			return err
		}
		_, err = d.store.Commit(ctx, now.number, store.Revision{
			At: at, Author: gatewayPrefix + gateway, Kind: "restore", File: now.file, Lock: lock,
			Reason: fmt.Sprintf("gateway %s holds revision %d, which was lost", gateway, epoch),
		})
		if !errors.Is(err, store.ErrMoved) {
			return err
		}
	}
	return fmt.Errorf("number past revision %d: the fabric changed %d times meanwhile", epoch, keyAttempts)
}
