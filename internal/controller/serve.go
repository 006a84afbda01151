package controller

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"connectrpc.com/connect"

	"ropeway/api/ropeway/v1/ropewayv1connect"
	"ropeway/internal/authority"
	"ropeway/internal/gate"
	"ropeway/internal/role"
	"ropeway/internal/store"
)

// serve answers until ctx ends.
func (c *Controller) serve(ctx context.Context) error {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", c.opts.Listen)
	if err != nil {
		return fmt.Errorf("listen for gateways: %w", err)
	}
	config, err := c.opts.Authority.ServerTLS(c.opts.Name, c.opts.At, c.opts.Now)
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	let := gate.New(listener, config, gate.Usual(), c.nameOf, c.log)
	server := &http.Server{
		Handler: c.handler(), TLSConfig: config, ReadHeaderTimeout: headerTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: mostHeader,
		BaseContext: func(net.Listener) context.Context { return ctx }, // watchers end with it
		ErrorLog:    quiet(c.log),
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		<-ctx.Done()
		late, cancel := context.WithTimeout(context.WithoutCancel(ctx), farewell)
		defer cancel()
		if server.Shutdown(late) != nil {
			_ = server.Close()
		}
	}()
	c.log.Info("serving", "address", listener.Addr().String())
	err = server.Serve(let)
	if !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve: %w", err)
	}
	<-done
	return nil
}

// nameOf says whose a connection is.
func (c *Controller) nameOf(state tls.ConnectionState) string {
	id, err := authority.IdentityOf(&state, c.opts.Now())
	if err != nil || !id.Valid() {
		return ""
	}
	return id.String()
}

// handler is every service behind the one door where it is asked who comes and whether they may.
func (c *Controller) handler() http.Handler {
	mux := http.NewServeMux()
	limit := connect.WithHandlerOptions(connect.WithReadMaxBytes(mostMessage), connect.WithInterceptors(witness{c.book}, c.addresses.tell()))
	mux.Handle(ropewayv1connect.NewEnrollmentServiceHandler(enrollmentService{c}, limit))
	path, gateways := ropewayv1connect.NewGatewayServiceHandler(gatewayService{c}, limit)
	mux.Handle(path, c.takeover(gateways))
	mux.Handle(ropewayv1connect.NewFabricServiceHandler(fabricService{c}, limit))
	mux.Handle(ropewayv1connect.NewAccessServiceHandler(accessService{c}, limit))
	mux.Handle(ropewayv1connect.NewClusterServiceHandler(clusterService{c, &sync.Mutex{}}, limit))
	mux.Handle(ropewayv1connect.NewMemberServiceHandler(memberService{c}, limit))
	mux.Handle(ropewayv1connect.NewRolloutServiceHandler(rolloutService{c}, limit))
	mux.Handle(ropewayv1connect.NewRoutingServiceHandler(routingService{c}, limit))
	mux.Handle(ropewayv1connect.NewAuditServiceHandler(auditService{c}, limit))
	return c.door(mux)
}

// door lets through who may call what the path names. Everybody hears that the controller is alive, and no more.
func (c *Controller) door(next http.Handler) http.Handler {
	refuse := connect.NewErrorWriter()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet && r.URL.Path == "/healthz" {
			c.alive(w, r)
			return
		}
		who, err := c.whoCalls(r)
		end, tooMuch := c.count(r, who)
		if tooMuch != nil {
			c.book.denied(r, who.Identity, tooMuch)
			_ = refuse.Write(w, r, tooMuch)
			return
		}
		defer end()
		if err == nil && who.Valid() {
			err = c.stillMember(r.Context(), &who)
		}
		if may := whatMay(who); err == nil && !may(r.URL.Path, who.Identity) {
			err = errDenied
		}
		if err != nil {
			c.log.Warn("refused", "path", r.URL.Path, "identity", who.String(), "from", r.RemoteAddr, "error", err)
			c.book.denied(r, who.Identity, err)
			answer := connect.NewError(connect.CodePermissionDenied, errDenied)
			if errors.Is(err, errDenied) && who.Valid() && !known(r.URL.Path) { // a member hears that it is not him
				answer = connect.NewError(connect.CodeUnimplemented, errUnknown)
			}
			_ = refuse.Write(w, r, answer)
			return
		}
		ctx := store.By(r.Context(), who.String(), address(r.RemoteAddr))
		c.bounded(w, r.WithContext(context.WithValue(ctx, callerKey{}, who)), who, next)
	})
}

// whatMay returns the table that says what somebody may call.
func whatMay(who caller) func(procedure string, id role.Identity) bool {
	if len(who.places) > 0 {
		return role.MayBound
	}
	return role.May
}

var (
	errDenied  = errors.New("this certificate may not do that")
	errUnknown = errors.New("this controller does not know that call: whoever makes it is of a later version")
)

// whoCalls returns who sent a request: nobody where he showed no certificate.
func (c *Controller) whoCalls(r *http.Request) (caller, error) {
	id, err := authority.IdentityOf(r.TLS, c.opts.Now())
	who := caller{Identity: id}
	if err != nil || !id.Valid() {
		return who, err
	}
	certificate := r.TLS.PeerCertificates[0]
	who.until, who.key = certificate.NotAfter, sha256.Sum256(certificate.RawSubjectPublicKeyInfo)
	return who, nil
}

// stillMember refuses those whose membership ended before their certificate does: it was revoked, or somebody else took their place. It notes what
// the membership says of them.
func (c *Controller) stillMember(ctx context.Context, who *caller) error {
	m, err := c.roster.Member(ctx, who.String())
	switch {
	case errors.Is(err, store.ErrNotFound):
		return fmt.Errorf("nobody of that name is a member: %w", errFormer)
	case err != nil:
		return err
	case m.Revoked || m.Fingerprint != who.key:
		return errFormer
	}
	who.places = m.Places
	return nil
}

var errFormer = errors.New("the certificate is one of a former member")

// A caller is who calls, by a certificate for a key, until when it says so, and which places are his: every one where there are none.
type caller struct {
	role.Identity
	key    [sha256.Size]byte
	until  time.Time
	places []string
}

type callerKey struct{}

// callerOf returns who calls; zero where the door let somebody through who needs no certificate.
func callerOf(ctx context.Context) caller {
	who, _ := ctx.Value(callerKey{}).(caller)
	return who
}
