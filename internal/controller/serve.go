package controller

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
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
	limit := connect.WithHandlerOptions(connect.WithReadMaxBytes(mostMessage), connect.WithInterceptors(c.addresses.tell()))
	mux.Handle(ropewayv1connect.NewEnrollmentServiceHandler(enrollmentService{c}, limit))
	mux.Handle(ropewayv1connect.NewGatewayServiceHandler(gatewayService{c}, limit))
	mux.Handle(ropewayv1connect.NewFabricServiceHandler(fabricService{c}, limit))
	mux.Handle(ropewayv1connect.NewAccessServiceHandler(accessService{c}, limit))
	mux.Handle(ropewayv1connect.NewClusterServiceHandler(clusterService{c, &sync.Mutex{}}, limit))
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
		if err == nil && !role.May(r.URL.Path, who.Identity) {
			err = errDenied
		}
		if err != nil {
			c.log.Warn("refused", "path", r.URL.Path, "identity", who.String(), "from", r.RemoteAddr, "error", err)
			_ = refuse.Write(w, r, connect.NewError(connect.CodePermissionDenied, errDenied))
			return
		}
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), callerKey{}, who)))
	})
}

var errDenied = errors.New("this certificate may not do that")

// whoCalls returns who sent a request: nobody where he showed no certificate.
func (c *Controller) whoCalls(r *http.Request) (caller, error) {
	id, err := authority.IdentityOf(r.TLS, c.opts.Now())
	who := caller{Identity: id}
	if err != nil || !id.Valid() {
		return who, err
	}
	certificate := r.TLS.PeerCertificates[0]
	who.until, who.key = certificate.NotAfter, sha256.Sum256(certificate.RawSubjectPublicKeyInfo)
	return who, c.stillMember(r.Context(), who)
}

// stillMember refuses those whose membership ended before their certificate does: it was revoked, or somebody else took their place.
func (c *Controller) stillMember(ctx context.Context, who caller) error {
	m, err := c.opts.Store.Member(ctx, who.String())
	switch {
	case errors.Is(err, store.ErrNotFound):
		return errors.New("nobody of that name is a member")
	case err != nil:
		return err
	case m.Revoked || m.Fingerprint != who.key:
		return errors.New("the certificate is one of a former member")
	}
	return nil
}

// A caller is who calls, by a certificate for a key, and until when it says so.
type caller struct {
	role.Identity
	key   [sha256.Size]byte
	until time.Time
}

type callerKey struct{}

// callerOf returns who calls; zero where the door let somebody through who needs no certificate.
func callerOf(ctx context.Context) caller {
	who, _ := ctx.Value(callerKey{}).(caller)
	return who
}
