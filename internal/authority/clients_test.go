package authority

import (
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"ropeway/internal/pin"
	"ropeway/internal/role"
)

func TestWhoIsSeen(t *testing.T) {
	w := newWorld(t)
	if got, err := w.get(w.client(nil).TLS()); err != nil || got != "HTTP/2.0 nobody" {
		t.Errorf("without a certificate: %q, %v", got, err)
	}
	for _, id := range []role.Identity{gateway, {Role: role.Viewer, Name: "v"}, {Role: role.Operator, Name: "o"}, {Role: role.Admin, Name: "a"}} {
		if got, err := w.get(w.client(w.certificate(id)).TLS()); err != nil || got != "HTTP/2.0 "+id.String() {
			t.Errorf("%s: %q, %v", id, got, err)
		}
	}
	byName := w.client(nil)
	byName.Host = "localhost"
	if got, err := w.get(byName.TLS()); err != nil || got != "HTTP/2.0 nobody" {
		t.Errorf("by name: %q, %v", got, err)
	}
}

// Certificates that the server refuses in the handshake.
func TestClientsThatAreRefused(t *testing.T) {
	w := newWorld(t)
	other := &world{t: t}
	other.now.Store(noon.Unix())
	other.a, _ = fresh(t)
	expired := w.certificate(gateway)
	late := w.client(expired)
	server, err := w.a.IssueServer("two", Hosts{Names: []string{"localhost"}}, noon, time.Hour)
	must(t, err)
	nobody := w.leaf(gateway, func(c *x509.Certificate) { c.URIs = nil })
	for name, client := range map[string]pin.Client{
		"of another authority":    w.client(other.certificate(gateway)),
		"of a controller":         w.client(func() (*tls.Certificate, error) { return server, nil }),
		"that names nobody":       w.client(nobody),
		"with another's key":      w.client(mixed(t, w.certificate(gateway))),
		"signed by a certificate": w.client(w.signedByLeaf()),
	} {
		if got, err := w.get(client.TLS()); err == nil {
			t.Errorf("a certificate %s: %q", name, got)
		}
	}
	w.now.Store(noon.Add(time.Hour + time.Second).Unix())
	if got, err := w.get(late.TLS()); err == nil {
		t.Errorf("an expired certificate: %q", got)
	}
}

// leaf signs a client's certificate, for whomever, with something changed.
func (w *world) leaf(id role.Identity, change func(*x509.Certificate)) func() (*tls.Certificate, error) {
	k := newKey(w.t)
	c, err := w.a.sign(k.Public(), id, period{w.clock(), time.Hour}, func(c *x509.Certificate) {
		c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
		change(c)
	})
	must(w.t, err)
	return func() (*tls.Certificate, error) {
		return &tls.Certificate{Certificate: [][]byte{c.Raw, w.a.Certificate().Raw}, PrivateKey: k}, nil
	}
}

// mixed shows a certificate without having its key.
func mixed(t *testing.T, certificate func() (*tls.Certificate, error)) func() (*tls.Certificate, error) {
	stolen, err := certificate()
	must(t, err)
	stolen.PrivateKey = newKey(t)
	return func() (*tls.Certificate, error) { return stolen, nil }
}

// signedByLeaf is what a gateway would sign with the key of its own certificate.
func (w *world) signedByLeaf() func() (*tls.Certificate, error) {
	own, err := w.certificate(gateway)()
	must(w.t, err)
	parent, err := x509.ParseCertificate(own.Certificate[0])
	must(w.t, err)
	k := newKey(w.t)
	admin := *parent
	uris, err := x509.ParseCertificate(w.chainOf(role.Identity{Role: role.Admin, Name: "eve"}))
	must(w.t, err)
	admin.URIs = uris.URIs
	der, err := x509.CreateCertificate(rand.Reader, &admin, parent, k.Public(), own.PrivateKey)
	must(w.t, err)
	return func() (*tls.Certificate, error) {
		return &tls.Certificate{Certificate: append([][]byte{der}, own.Certificate...), PrivateKey: k}, nil
	}
}

func (w *world) chainOf(id role.Identity) []byte {
	c, err := w.certificate(id)()
	must(w.t, err)
	return c.Certificate[0]
}

// A connection that goes on when its certificate is over is worth nothing any more.
func TestAConnectionDoesNotOutliveItsCertificate(t *testing.T) {
	w := newWorld(t)
	transport := &http.Transport{TLSClientConfig: w.client(w.certificate(gateway)).TLS(), ForceAttemptHTTP2: true}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, Timeout: 10 * time.Second}
	if got, err := w.ask(client); err != nil || got != "HTTP/2.0 gateway/use1-a" {
		t.Fatalf("%q, %v", got, err)
	}
	w.now.Add(3601)
	if got, err := w.ask(client); err != nil || !strings.Contains(got, "valid to 2027-03-01T13:00:00Z") {
		t.Errorf("an hour later: %q, %v", got, err)
	}
}

func TestIdentityOfNoConnection(t *testing.T) {
	leaf := &x509.Certificate{}
	for name, state := range map[string]*tls.ConnectionState{
		"no TLS": nil, "an empty state": {}, "TLS 1.2": {Version: tls.VersionTLS12, HandshakeComplete: true},
		"not verified": {Version: tls.VersionTLS13, PeerCertificates: []*x509.Certificate{leaf}},
		"no identity":  {Version: tls.VersionTLS13, PeerCertificates: []*x509.Certificate{leaf}, VerifiedChains: [][]*x509.Certificate{{leaf}}},
	} {
		if id, err := IdentityOf(state, time.Time{}); !errors.Is(err, ErrUntrusted) || id != (role.Identity{}) {
			t.Errorf("%s: %v, %v", name, id, err)
		}
	}
}
