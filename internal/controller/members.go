package controller

import (
	"context"
	"fmt"
	"strings"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	ropewayv1 "ropeway/api/ropeway/v1"
	"ropeway/internal/role"
)

// memberService is for those who say who belongs to the fabric.
type memberService struct{ *Controller }

// ListMembers implements ropewayv1connect.MemberServiceHandler.
func (s memberService) ListMembers(ctx context.Context, _ *ropewayv1.ListMembersRequest) (*ropewayv1.ListMembersResponse, error) {
	members, err := s.opts.Store.Members(ctx, "")
	if err != nil {
		return nil, asked(err)
	}
	ends, err := s.opts.Store.Ends(ctx)
	if err != nil {
		return nil, asked(err)
	}
	out := &ropewayv1.ListMembersResponse{}
	for _, m := range members {
		line := &ropewayv1.Member{Identity: m.Identity, Since: timestamppb.New(m.At), Revoked: m.Revoked, Places: m.Places}
		if name, gateway := strings.CutPrefix(m.Identity, gatewayPrefix); gateway {
			line.Connected = s.outbox.connected(name)
		}
		if end, ok := ends[m.Identity]; ok {
			line.Until = timestamppb.New(end)
		}
		out.Members = append(out.Members, line)
	}
	return out, nil
}

// RevokeMember implements ropewayv1connect.MemberServiceHandler. To do it again completes what a crash cut short.
func (s memberService) RevokeMember(ctx context.Context, req *ropewayv1.RevokeMemberRequest) (*ropewayv1.RevokeMemberResponse, error) {
	id, err := role.Parse(req.Identity)
	if err != nil {
		return nil, connect.NewError(connect.CodeInvalidArgument, err)
	}
	who := callerOf(ctx)
	if id == who.Identity {
		return nil, asked(refusal("RW7506", "member "+id.String(), "that is you, and afterwards nobody might be left who lets others in", "let another administrator do it"))
	}
	if err := s.opts.Store.Revoke(ctx, id.String()); err != nil {
		return nil, asked(err)
	}
	s.roster.Doubt(id.String())
	s.log.Info("a member was revoked", "identity", id.String(), "author", who.String())
	if id.Role != role.Gateway {
		return &ropewayv1.RevokeMemberResponse{}, nil
	}
	number, err := s.desk.forget(ctx, id.Name, who.String(), s.opts.Now())
	if err != nil {
		return nil, asked(fmt.Errorf("the member is revoked, and its key is still in the fabric, so revoke it again: %w", err))
	}
	return &ropewayv1.RevokeMemberResponse{Revision: number}, nil
}
