package controller

import (
	"context"
	"encoding/json"
	"errors"
	"slices"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	ropewayv1 "ropeway/api/ropeway/v1"
	"ropeway/internal/diag"
	"ropeway/internal/store"
)

// fabricService is what people and their programs ask about the fabric.
type fabricService struct{ *Controller }

// Preview implements ropewayv1connect.FabricServiceHandler.
func (s fabricService) Preview(ctx context.Context, req *ropewayv1.PreviewRequest) (*ropewayv1.PreviewResponse, error) {
	places := callerOf(ctx).places
	name, file, err := s.desk.wanted(ctx, wish{req.Name, req.File, req.Rollback, req.Renew}, places)
	if err != nil {
		return nil, asked(err)
	}
	p, now, next, err := s.desk.propose(ctx, name, file, places, true)
	if err != nil {
		return nil, asked(err)
	}
	var toSign *ropewayv1.ToSign
	if len(places) == 0 { // else it is more than the caller may see
		if toSign, err = s.desk.toSign(ctx, now, next); err != nil {
			return nil, asked(err)
		}
	}
	text, err := json.Marshal(p)
	if err != nil {
		return nil, err
	}
	return &ropewayv1.PreviewResponse{Base: now.newest.number, Proposal: text, Changed: p.Changed, Proven: p.Proof.OK, ToSign: toSign}, nil
}

// Apply implements ropewayv1connect.FabricServiceHandler.
func (s fabricService) Apply(ctx context.Context, req *ropewayv1.ApplyRequest) (*ropewayv1.ApplyResponse, error) {
	caller := callerOf(ctx)
	who := caller.String()
	name, file, err := s.desk.wanted(ctx, wish{req.Name, req.File, req.Rollback, req.Renew}, caller.places)
	if err != nil {
		return nil, asked(err)
	}
	number, changed, err := s.desk.apply(ctx, change{
		author: who, name: name, file: file, rollback: req.Rollback, base: req.Base, places: caller.places, override: req.Override, reason: req.Reason, at: s.opts.Now(),
		pace: s.pace(req), renew: req.Renew, seal: req.Seal,
	})
	if err != nil {
		s.log.Warn("a change was refused", "author", who, "error", err)
		return nil, asked(err)
	}
	s.log.Info("a change was accepted", "author", who, "revision", number, "changed", changed)
	return &ropewayv1.ApplyResponse{Revision: number, Changed: changed}, nil
}

// GetRevision implements ropewayv1connect.FabricServiceHandler.
func (s fabricService) GetRevision(ctx context.Context, req *ropewayv1.GetRevisionRequest) (*ropewayv1.GetRevisionResponse, error) {
	var r *store.Revision
	var err error
	if req.Number == 0 {
		r, err = s.opts.Store.Newest(ctx)
	} else {
		r, err = s.opts.Store.Revision(ctx, req.Number)
	}
	if err == nil && r == nil {
		err = store.ErrNotFound
	}
	if err != nil {
		return nil, asked(err)
	}
	return &ropewayv1.GetRevisionResponse{Revision: revision(r), File: r.File, Lock: r.Lock, Signature: r.Seal.Signature, Until: r.Seal.Until}, nil
}

// How many revisions a page has.
const (
	usualPage = 50
	mostPage  = 1000
)

// ListRevisions implements ropewayv1connect.FabricServiceHandler.
func (s fabricService) ListRevisions(ctx context.Context, req *ropewayv1.ListRevisionsRequest) (*ropewayv1.ListRevisionsResponse, error) {
	limit := int(min(req.Limit, mostPage))
	if limit == 0 {
		limit = usualPage
	}
	list, err := s.opts.Store.Revisions(ctx, req.Before, limit)
	if err != nil {
		return nil, asked(err)
	}
	gone, err := s.opts.Store.Pruned(ctx)
	if err != nil {
		return nil, asked(err)
	}
	out := &ropewayv1.ListRevisionsResponse{Pruned: gone}
	for i := range list {
		out.Revisions = append(out.Revisions, revision(&list[i]))
	}
	return out, nil
}

func revision(r *store.Revision) *ropewayv1.Revision {
	return &ropewayv1.Revision{Number: r.Number, At: timestamppb.New(r.At), Author: r.Author, Kind: r.Kind, Reason: r.Reason, Override: r.Override}
}

// ListGateways implements ropewayv1connect.FabricServiceHandler.
func (s fabricService) ListGateways(ctx context.Context, req *ropewayv1.ListGatewaysRequest) (*ropewayv1.ListGatewaysResponse, error) {
	state := s.pulse.state()
	if req.Since == state {
		return &ropewayv1.ListGatewaysResponse{State: state, Unchanged: true}, nil
	}
	now, err := s.desk.current(ctx)
	if err != nil {
		return nil, asked(err)
	}
	members, err := s.opts.Store.Members(ctx, gatewayPrefix)
	if err != nil {
		return nil, asked(err)
	}
	enrolled := map[string]bool{}
	for _, m := range members {
		enrolled[m.Identity] = !m.Revoked
	}
	out := &ropewayv1.ListGatewaysResponse{State: state, Revision: now.number}
	if now.plan == nil {
		return out, nil
	}
	if out.Unsigned, out.KeysToSign, err = s.desk.waiting(ctx, now, members); err != nil {
		return nil, asked(err)
	}
	places := callerOf(ctx).places
	for _, g := range now.plan.Gateways {
		if len(places) > 0 && !slices.Contains(places, g.Place) {
			continue
		}
		line := &ropewayv1.Gateway{Name: g.Name, Place: g.Place, Enrolled: enrolled[gatewayPrefix+g.Name], Connected: s.outbox.connected(g.Name)}
		if p := s.outbox.look(g.Name); p != nil {
			line.Epoch = p.epoch
		}
		line.Reported = s.lastReport(g.Name)
		if there, ok := s.elsewhere.get(g.Name); ok && !line.Connected {
			line.Connected, line.Reported = true, reportedState(there)
			if there.WantedEpoch > 0 {
				line.Epoch = there.WantedEpoch
			}
		}
		if said, _ := s.heard(g.Name); said != nil {
			line.Hindrance = s.hindrance(g.Name, said)
		}
		out.Gateways = append(out.Gateways, line)
	}
	return out, nil
}

// fileName is what a file is called in messages.
func fileName(name string) string {
	if name == "" {
		return "fabric.yaml"
	}
	return name
}

// pruned is what whoever asks for a revision reads that is gone.
func pruned(err error) error {
	return refusal("RW7508", "fabric", err.Error(), "the audit log tells of it still: ropeway audit list --revision NUMBER")
}

// asked gives an error the code of the wire that fits: what is wrong with a request is not the controller's failure.
func asked(err error) error {
	var p diag.Problem
	var list diag.List
	err = store.Explained(err)
	code := connect.CodeInternal
	switch {
	case errors.Is(err, errToken):
		code = connect.CodePermissionDenied
	case errors.Is(err, store.ErrPruned):
		code, err = connect.CodeFailedPrecondition, pruned(err)
	case errors.Is(err, store.ErrNotFound):
		code = connect.CodeNotFound
	case errors.Is(err, store.ErrEnrolled), errors.Is(err, store.ErrExists):
		code = connect.CodeAlreadyExists
	case errors.Is(err, store.ErrTooLarge):
		code = connect.CodeInvalidArgument
	case errors.Is(err, store.ErrFull):
		code = connect.CodeResourceExhausted
	case errors.Is(err, store.ErrUnavailable):
		code = connect.CodeUnavailable
	case errors.As(err, &p) && p.Code == codeMoved, errors.Is(err, store.ErrStep):
		code = connect.CodeAborted
	case errors.As(err, &p), errors.As(err, &list):
		code = connect.CodeFailedPrecondition
	}
	return connect.NewError(code, err)
}
