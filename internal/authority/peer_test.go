package authority

import (
	"crypto/tls"
	"crypto/x509"
	"os"
	"path/filepath"
	"testing"
	"time"

	"ropeway/internal/pin"
	"ropeway/internal/role"
)

func peerOf(t *testing.T) *Peer {
	t.Helper()
	p, err := OpenPeer(filepath.Join(t.TempDir(), "peer"), "one")
	must(t, err)
	return p
}

func shown(t *testing.T, p *Peer) *x509.Certificate {
	t.Helper()
	pair, err := tls.LoadX509KeyPair(p.CertFile(), p.KeyFile())
	must(t, err)
	leaf, err := x509.ParseCertificate(pair.Certificate[0])
	must(t, err)
	return leaf
}

// The certificate among controllers serves both ends, names a controller, and is renewed for the same key.
func TestPeer(t *testing.T) {
	a, _ := fresh(t)
	p := peerOf(t)
	must(t, p.Renew(a, noon))
	first := shown(t, p)
	roots := x509.NewCertPool()
	roots.AddCert(a.Certificate())
	for _, usage := range []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth} {
		if _, err := first.Verify(x509.VerifyOptions{Roots: roots, DNSName: PeerName, CurrentTime: noon, KeyUsages: []x509.ExtKeyUsage{usage}}); err != nil {
			t.Error(err)
		}
	}
	if id, err := pin.Holder(first); err != nil || id != (role.Identity{Role: role.Controller, Name: "one"}) {
		t.Errorf("it is %v's, %v", id, err)
	}
	if !first.NotAfter.Equal(noon.Add(24 * time.Hour)) {
		t.Errorf("it is valid to %v", first.NotAfter)
	}
	again, err := OpenPeer(filepath.Dir(p.KeyFile()), "one")
	must(t, err)
	must(t, again.Renew(a, noon.Add(time.Hour)))
	if next := shown(t, p); !next.NotAfter.Equal(noon.Add(25*time.Hour)) || string(next.RawSubjectPublicKeyInfo) != string(first.RawSubjectPublicKeyInfo) {
		t.Errorf("renewed, it is valid to %v, or for another key", next.NotAfter)
	}
	for _, file := range []string{p.CertFile(), p.KeyFile()} {
		if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", file, info.Mode(), err)
		}
	}
	csr, err := p.Request()
	must(t, err)
	if r, err := x509.ParseCertificateRequest(csr); err != nil || string(r.RawSubjectPublicKeyInfo) != string(first.RawSubjectPublicKeyInfo) {
		t.Errorf("the request is for another key: %v", err)
	}
	if _, err := OpenPeer(filepath.Join(t.TempDir(), "x"), "a/b"); err == nil {
		t.Error("a hostile name")
	}
}

// Nobody else gets a certificate that bears the name, and a controller's is none of a client of the API.
func TestOnlyControllersBearTheName(t *testing.T) {
	w := newWorld(t)
	for _, id := range []role.Identity{gateway, {Role: role.Admin, Name: "a"}} {
		c, err := w.certificate(id)()
		must(t, err)
		leaf, err := x509.ParseCertificate(c.Certificate[0])
		must(t, err)
		if leaf.VerifyHostname(PeerName) == nil {
			t.Errorf("%s bears it", id)
		}
	}
	p := peerOf(t)
	must(t, p.Renew(w.a, w.clock()))
	pair, err := tls.LoadX509KeyPair(p.CertFile(), p.KeyFile())
	must(t, err)
	if got, err := w.get(w.client(func() (*tls.Certificate, error) { return &pair, nil }).TLS()); err == nil {
		t.Errorf("a controller is served as %q", got)
	}
}
