package controller

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"connectrpc.com/connect"

	ropewayv1 "ropeway/api/ropeway/v1"
	"ropeway/api/ropeway/v1/ropewayv1connect"
	"ropeway/internal/authority"
	"ropeway/internal/pin"
	"ropeway/internal/role"
	"ropeway/internal/store"
)

// here is a controller in this process, which serves on the loopback.
type here struct {
	*Controller
	t       *testing.T
	address string
}

// serveHere runs a controller of fabric shop until the test ends.
func serveHere(t *testing.T, options ...func(*Options)) *here {
	t.Helper()
	dir := t.TempDir()
	log := slog.New(slog.DiscardHandler)
	st, err := store.Open(t.Context(), store.Options{Dir: filepath.Join(dir, "store"), Log: log})
	must(t, err)
	ca, err := authority.Open(filepath.Join(dir, "authority"), "shop", time.Now())
	must(t, err)
	serving := make(chan string, 1)
	o := Options{
		Fabric: "shop", Listen: "127.0.0.1:0", Name: "one", At: authority.Hosts{IPs: []net.IP{net.IPv4(127, 0, 0, 1)}},
		Store: st, Authority: ca, Log: slog.New(addresses{serving}),
	}
	for _, option := range options {
		option(&o)
	}
	c := New(o)
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- c.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("the controller ended: %v", err)
		}
		must(t, st.Close())
	})
	select {
	case a := <-serving:
		return &here{c, t, a}
	case <-time.After(time.Minute):
		t.Fatal("it does not serve")
		return nil
	}
}

// addresses is a log that tells where a controller serves.
type addresses struct{ out chan<- string }

func (addresses) Enabled(_ context.Context, l slog.Level) bool { return l >= slog.LevelInfo }
func (a addresses) WithAttrs([]slog.Attr) slog.Handler         { return a }
func (a addresses) WithGroup(string) slog.Handler              { return a }
func (a addresses) Handle(_ context.Context, r slog.Record) error {
	if r.Message == "serving" {
		r.Attrs(func(x slog.Attr) bool { a.out <- x.Value.String(); return false })
	}
	return nil
}

// somebody is a member with a key of his own.
type somebody struct {
	h           *here
	identity    role.Identity
	certificate *tls.Certificate
}

// somebody enrolls, by a token as ever, bound to places if there are any.
func (h *here) somebody(identity string, places ...string) *somebody {
	h.t.Helper()
	id, err := role.Parse(identity)
	must(h.t, err)
	t, _, err := h.makeToken(h.t.Context(), store.Token{Identity: identity, Author: "admin/test", Replace: true, Places: places}, time.Hour)
	must(h.t, err)
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(h.t, err)
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, k)
	must(h.t, err)
	nobody := &somebody{h: h}
	answer, err := ropewayv1connect.NewEnrollmentServiceClient(nobody.http(h.t, "h2"), h.url()).Enroll(h.t.Context(), &ropewayv1.EnrollRequest{Token: t.Reveal(), Csr: csr})
	must(h.t, err)
	return &somebody{h, id, &tls.Certificate{Certificate: answer.Certificate.Chain, PrivateKey: k}}
}

func (h *here) url() string { return "https://" + h.address }

// config is how somebody speaks TLS.
func (s *somebody) config(protocol string) *tls.Config {
	who := pin.Client{Pin: s.h.opts.Authority.Pin(), Host: "127.0.0.1"}
	if s.certificate != nil {
		who.Certificate = func() (*tls.Certificate, error) { return s.certificate, nil }
	}
	config := who.TLS()
	config.NextProtos = []string{protocol}
	return config
}

func (s *somebody) http(t *testing.T, protocol string) *http.Client {
	transport := &http.Transport{TLSClientConfig: s.config(protocol), ForceAttemptHTTP2: protocol == "h2"}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

func (s *somebody) fabric() ropewayv1connect.FabricServiceClient {
	return ropewayv1connect.NewFabricServiceClient(s.http(s.h.t, "h2"), s.h.url())
}

func (s *somebody) gateway(protocol string, opts ...connect.ClientOption) ropewayv1connect.GatewayServiceClient {
	return ropewayv1connect.NewGatewayServiceClient(s.http(s.h.t, protocol), s.h.url(), opts...)
}

// apply makes a file the fabric's.
func (h *here) apply(base uint64, text []byte) uint64 {
	h.t.Helper()
	n, _, err := h.desk.apply(h.t.Context(), change{author: "admin/test", name: "shop.yaml", file: text, base: base, at: time.Now(), pace: pace{atOnce: true}})
	must(h.t, err)
	return n
}

// raw sends a request as it is given, over a connection of its own, and returns the beginning of the answer.
func (s *somebody) raw(text string) string {
	s.h.t.Helper()
	conn, err := tls.Dial("tcp", s.h.address, s.config("http/1.1"))
	must(s.h.t, err)
	defer func() { _ = conn.Close() }()
	must(s.h.t, conn.SetDeadline(time.Now().Add(time.Minute)))
	_, err = io.WriteString(conn, text)
	must(s.h.t, err)
	answer := make([]byte, 4096)
	n, _ := io.ReadAtLeast(conn, answer, 1)
	return string(answer[:n])
}
