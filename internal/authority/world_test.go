package authority

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"log"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"ropeway/internal/pin"
	"ropeway/internal/role"
)

// A world is a server on loopback and the time that everybody has. The server answers with who it sees.
type world struct {
	t       *testing.T
	a       *Authority
	now     atomic.Int64
	address string
	config  *tls.Config
}

func (w *world) clock() time.Time { return time.Unix(w.now.Load(), 0) }

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t}
	w.now.Store(noon.Unix())
	w.a, _ = fresh(t)
	config, err := w.a.ServerTLS("one", Hosts{Names: []string{"localhost"}, IPs: []net.IP{net.IPv4(127, 0, 0, 1)}}, w.clock)
	must(t, err)
	w.serve(config)
	return w
}

// serve answers with who calls, or with why nobody does.
func (w *world) serve(config *tls.Config) {
	listener, err := new(net.ListenConfig).Listen(w.t.Context(), "tcp", "127.0.0.1:0")
	must(w.t, err)
	w.address, w.config = listener.Addr().String(), config
	server := &http.Server{
		TLSConfig: config, ReadHeaderTimeout: 500 * time.Millisecond, ErrorLog: log.New(io.Discard, "", 0),
		Handler: http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
			id, err := IdentityOf(r.TLS, w.clock())
			if err != nil {
				http.Error(out, err.Error(), http.StatusUnauthorized)
				return
			}
			_, _ = io.WriteString(out, r.Proto+" "+id.String())
		}),
	}
	go func() { _ = server.ServeTLS(listener, "", "") }()
	w.t.Cleanup(func() { _ = server.Close() })
}

// certificate issues one for the identity and wraps it with its key.
func (w *world) certificate(id role.Identity) func() (*tls.Certificate, error) {
	k := newKey(w.t)
	chain, _, err := w.a.Issue(request(w.t, k, x509.CertificateRequest{}), id, w.clock(), time.Hour)
	must(w.t, err)
	return func() (*tls.Certificate, error) { return &tls.Certificate{Certificate: chain, PrivateKey: k}, nil }
}

func (w *world) client(certificate func() (*tls.Certificate, error)) pin.Client {
	return pin.Client{Pin: w.a.Pin(), Host: "127.0.0.1", Certificate: certificate, Now: w.clock}
}

// get asks the server who the client is.
func (w *world) get(config *tls.Config) (string, error) {
	transport := &http.Transport{TLSClientConfig: config, ForceAttemptHTTP2: true}
	defer transport.CloseIdleConnections()
	return w.ask(&http.Client{Transport: transport, Timeout: 10 * time.Second})
}

func (w *world) ask(client *http.Client) (string, error) {
	request, err := http.NewRequestWithContext(w.t.Context(), http.MethodGet, "https://"+w.address, nil)
	must(w.t, err)
	response, err := client.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return strings.TrimSpace(string(body)), err
}
