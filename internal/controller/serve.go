package controller

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"connectrpc.com/connect"
	"golang.org/x/net/netutil"

	"ropeway/api/ropeway/v1/ropewayv1connect"
	"ropeway/internal/authority"
	"ropeway/internal/role"
	"ropeway/internal/store"
)

// Bounds on what anybody may cost the controller.
const (
	mostConnections = 16384
	headerTimeout   = 10 * time.Second // TLS handshake and header
	idleTimeout     = 5 * time.Minute
	mostHeader      = 16 << 10 // bytes
	mostMessage     = 24 << 20 // bytes; a fabric file of 10,000 gateways is some 4 MB
	farewell        = 3 * time.Second
)

// serve answers until ctx ends.
func (c *Controller) serve(ctx context.Context) error {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", c.opts.Listen)
	if err != nil {
		return fmt.Errorf("listen for gateways: %w", err)
	}
	tls, err := c.opts.Authority.ServerTLS(c.opts.Name, c.opts.At, c.opts.Now)
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	server := &http.Server{
		Handler: c.handler(), TLSConfig: tls, ReadHeaderTimeout: headerTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: mostHeader,
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
	err = server.ServeTLS(netutil.LimitListener(listener, mostConnections), "", "")
	if !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve: %w", err)
	}
	<-done
	return nil
}

// handler is every service behind the one door where it is asked who comes and whether they may.
func (c *Controller) handler() http.Handler {
	mux := http.NewServeMux()
	limit := connect.WithReadMaxBytes(mostMessage)
	mux.Handle(ropewayv1connect.NewEnrollmentServiceHandler(enrollmentService{c}, limit))
	mux.Handle(ropewayv1connect.NewGatewayServiceHandler(gatewayService{c}, limit))
	mux.Handle(ropewayv1connect.NewFabricServiceHandler(fabricService{c}, limit))
	mux.Handle(ropewayv1connect.NewAccessServiceHandler(accessService{c}, limit))
	return c.door(mux)
}

// door lets through who may call what the path names. Everybody hears that the controller is alive, and no more.
func (c *Controller) door(next http.Handler) http.Handler {
	refuse := connect.NewErrorWriter()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet && r.URL.Path == "/healthz" {
			_, _ = w.Write([]byte("alive\n"))
			return
		}
		id, err := authority.IdentityOf(r.TLS, c.opts.Now())
		if err == nil && id.Valid() {
			err = c.stillMember(r.Context(), id)
		}
		if err == nil && !role.May(r.URL.Path, id) {
			err = errDenied
		}
		if err != nil {
			c.log.Warn("refused", "path", r.URL.Path, "identity", id.String(), "from", r.RemoteAddr, "error", err)
			_ = refuse.Write(w, r, connect.NewError(connect.CodePermissionDenied, errDenied))
			return
		}
		who := caller{Identity: id}
		if id.Valid() {
			who.until = r.TLS.PeerCertificates[0].NotAfter
		}
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), callerKey{}, who)))
	})
}

var errDenied = errors.New("this certificate may not do that")

// stillMember refuses those whose membership ended before their certificate does.
func (c *Controller) stillMember(ctx context.Context, id role.Identity) error {
	m, err := c.opts.Store.Member(ctx, id.String())
	switch {
	case errors.Is(err, store.ErrNotFound):
		return errors.New("nobody of that name is a member")
	case err != nil:
		return err
	case m.Revoked:
		return errors.New("the member was revoked")
	}
	return nil
}

// A caller is who calls, and until when his certificate says so.
type caller struct {
	role.Identity
	until time.Time
}

type callerKey struct{}

// callerOf returns who calls; zero where the door let somebody through who needs no certificate.
func callerOf(ctx context.Context) caller {
	who, _ := ctx.Value(callerKey{}).(caller)
	return who
}
