package controller

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"unicode"

	"connectrpc.com/connect"

	ropewayv1 "ropeway/api/ropeway/v1"
	api "ropeway/api/ropeway/v1/ropewayv1connect"
	"ropeway/internal/audit"
	"ropeway/internal/diag"
	"ropeway/internal/role"
	"ropeway/internal/store"
	"ropeway/internal/token"
)

// denied notes somebody whom the door did not let through.
func (b *book) denied(r *http.Request, who role.Identity, why error) {
	if errors.Is(why, store.ErrUnavailable) || r.Context().Err() != nil {
		return // nobody was refused: nobody could be asked
	}
	e := audit.Entry{Who: who.String(), What: action(r.URL.Path), From: address(r.RemoteAddr), Outcome: audit.Refused, Code: codeDenied, Detail: refusalText(why)}
	var p diag.Problem
	if errors.As(why, &p) {
		e.Code = string(p.Code)
	}
	if !known(r.URL.Path) {
		e.What, e.Object = "call.unknown", diag.Quote(r.URL.Path)
	}
	b.blotter.note(e, b.now())
}

// A witness notes what was refused behind the door, and what changes nothing and is told all the same. What somebody only wanted to see is
// noted where he may not.
type witness struct{ *book }

// told are the procedures that change nothing in the store, and whose every success is noted: a session goes on, everything leaves the house, a gateway is
// sent again what it went back from.
var told = []string{api.EnrollmentServiceRenewProcedure, api.ClusterServiceBackupProcedure, api.RolloutServiceRetryGatewayProcedure}

// WrapUnary implements connect.Interceptor.
func (w witness) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, req connect.AnyRequest) (connect.AnyResponse, error) {
		answer, err := next(ctx, req)
		w.note(ctx, audit.Entry{What: req.Spec().Procedure, Object: object(req.Any()), From: req.Peer().Addr}, err)
		return answer, err
	}
}

// WrapStreamingHandler implements connect.Interceptor.
func (w witness) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return func(ctx context.Context, conn connect.StreamingHandlerConn) error {
		err := next(ctx, conn)
		w.note(ctx, audit.Entry{What: conn.Spec().Procedure, From: conn.Peer().Addr}, err)
		return err
	}
}

// WrapStreamingClient implements connect.Interceptor.
func (witness) WrapStreamingClient(next connect.StreamingClientFunc) connect.StreamingClientFunc {
	return next
}

// note completes an entry whose action is still a procedure, and whose address has a port.
func (w witness) note(ctx context.Context, e audit.Entry, err error) {
	procedure := e.What
	e.Who, e.What, e.From, e.Outcome = callerOf(ctx).String(), action(procedure), address(e.From), audit.Done
	switch {
	case err == nil && !slices.Contains(told, procedure), err != nil && !refuses(procedure, err):
		return
	case err != nil:
		e.Outcome, e.Code, e.Detail = audit.Refused, refusalCode(procedure, err), refusalText(err)
	}
	w.blotter.note(e, w.now())
}

// refuses reports whether an error is the refusal of a change, or of anything to somebody who may not, and not a failure. What a viewer
// may call changes nothing, except that he may renew his certificate, and what everybody may call, for whom a token speaks.
func refuses(procedure string, err error) bool {
	switch connect.CodeOf(err) {
	case connect.CodePermissionDenied, connect.CodeUnauthenticated:
		return true
	case connect.CodeInvalidArgument, connect.CodeFailedPrecondition, connect.CodeAborted, connect.CodeNotFound, connect.CodeAlreadyExists, connect.CodeResourceExhausted:
		looks := role.May(procedure, role.Identity{Role: role.Viewer, Name: "x"}) && !role.May(procedure, role.Identity{})
		return !looks || procedure == api.EnrollmentServiceRenewProcedure
	}
	return false
}

// refusalCode returns the code under which whoever was refused reads about it.
func refusalCode(procedure string, err error) string {
	var p diag.Problem
	var list diag.List
	switch {
	case errors.As(err, &p):
		return string(p.Code)
	case errors.As(err, &list) && len(list) > 0:
		return string(list[0].Code)
	case procedure == api.EnrollmentServiceEnrollProcedure:
		return "RW7005"
	case connect.CodeOf(err) == connect.CodePermissionDenied:
		return codeDenied
	}
	return "RW7009"
}

// codeDenied is what somebody reads who may not do something.
const codeDenied = "RW7008"

func refusalText(err error) string {
	var wire *connect.Error
	if errors.As(err, &wire) {
		return wire.Message()
	}
	return err.Error()
}

// actions are the actions of procedures whose own names are about the API rather than about the fabric. Others follow from the procedure's.
var actions = map[string]string{
	api.AccessServiceCreateTokenProcedure: "token.create",
	api.AccessServiceListTokensProcedure:  "token.list",
	api.AccessServiceRevokeTokenProcedure: "token.revoke",
	api.EnrollmentServiceEnrollProcedure:  "member.enroll",
	api.EnrollmentServiceRenewProcedure:   "member.renew",
	api.AuditServiceTrimLogProcedure:      "audit.trim",
}

// action returns what a call is called in the audit log: "fabric.list-gateways" for /ropeway.v1.FabricService/ListGateways.
func action(procedure string) string {
	if name, ok := actions[procedure]; ok {
		return name
	}
	service, method, _ := strings.Cut(strings.TrimPrefix(procedure, "/ropeway.v1."), "/")
	var b strings.Builder
	for i, r := range method {
		if unicode.IsUpper(r) && i > 0 {
			b.WriteByte('-')
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return strings.ToLower(strings.TrimSuffix(service, "Service")) + "." + b.String()
}

// known reports whether the API has a procedure: somebody may call it, then.
func known(procedure string) bool {
	for _, r := range []role.Role{role.Admin, role.Gateway} {
		if role.May(procedure, role.Identity{Role: r, Name: "x"}) {
			return true
		}
	}
	return false
}

// object returns what a request was about. Of a token it is the ID, which is public.
func object(request any) string {
	switch r := request.(type) {
	case *ropewayv1.CreateTokenRequest:
		return r.Identity
	case *ropewayv1.RevokeTokenRequest:
		return "token/" + r.Id
	case *ropewayv1.RetryGatewayRequest:
		return gatewayPrefix + r.Gateway
	case *ropewayv1.EnrollRequest:
		if t, err := token.Parse(r.Token); err == nil {
			return "token/" + t.ID()
		}
	}
	return ""
}

// address returns the IP address of host:port, and nothing where there is none.
func address(remote string) string {
	host, _, err := net.SplitHostPort(remote)
	if err != nil {
		return ""
	}
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return ""
	}
	return addr.Unmap().WithZone("").String()
}
