package store_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.etcd.io/etcd/client/pkg/v3/transport"
	"go.etcd.io/etcd/server/v3/embed"
	"go.uber.org/zap"

	"ropeway/internal/store"
)

const peerName = "controller.ropeway.internal"

// An authority vouches for names, in files.
type authority struct {
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{dir: t.TempDir()}
	a.cert, a.key = a.issue(t, "ca", &x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign})
	return a
}

func (a *authority) ca() string { return filepath.Join(a.dir, "ca.crt") }

// of returns the files of a certificate for the loopback that bears a name.
func (a *authority) of(t *testing.T, name string) store.PeerTLS {
	t.Helper()
	a.issue(t, name, &x509.Certificate{
		DNSNames: []string{name}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	})
	file := filepath.Join(a.dir, name)
	return store.PeerTLS{Cert: file + ".crt", Key: file + ".key", CA: a.ca(), Peer: peerName}
}

func (a *authority) issue(t *testing.T, name string, template *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template.SerialNumber, template.NotBefore, template.NotAfter = big.NewInt(time.Now().UnixNano()), time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for ending, block := range map[string]*pem.Block{".crt": {Type: "CERTIFICATE", Bytes: der}, ".key": {Type: "PRIVATE KEY", Bytes: secret}} {
		if err := os.WriteFile(filepath.Join(a.dir, name+ending), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert, key
}

func (a *authority) client(t *testing.T, files store.PeerTLS) *tls.Config {
	t.Helper()
	pair, err := tls.LoadX509KeyPair(files.Cert, files.Key)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{pair}, RootCAs: pool}
}

// freePort returns an address on the loopback that nobody listens at.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// Members know each other by the name that their certificates bear; the authority's word for another name is not enough.
func TestPeersAreMembers(t *testing.T) {
	ca, address := newAuthority(t), freePort(t)
	url := "https://" + address
	s := open(t, store.Options{
		Dir: filepath.Join(t.TempDir(), "etcd"), Name: "a", PeerURL: url, InitialCluster: "a=" + url, PeerTLS: ca.of(t, peerName),
	})
	mustCommit(t, s, 0, change("admin/a"))
	for name, tt := range map[string]struct {
		config  *tls.Config
		welcome bool
	}{
		"a member":  {ca.client(t, ca.of(t, peerName)), true},
		"a gateway": {ca.client(t, ca.of(t, "use1-a.gateway.ropeway.internal")), false},
		"another's word": {func() *tls.Config {
			o := newAuthority(t)
			c := o.client(t, o.of(t, peerName))
			c.RootCAs.AddCert(ca.cert)
			return c
		}(), false},
		"a stranger": {func() *tls.Config { c := ca.client(t, ca.of(t, peerName)); c.Certificates = nil; return c }(), false},
		"TLS 1.2": {func() *tls.Config {
			c := ca.client(t, ca.of(t, peerName))
			c.MinVersion, c.MaxVersion = tls.VersionTLS12, tls.VersionTLS12
			return c
		}(), false},
	} {
		conn, err := tls.Dial("tcp", address, tt.config)
		if err == nil { // with TLS 1.3 the server's refusal comes with its first answer
			_, err = conn.Write([]byte("GET /version HTTP/1.0\r\n\r\n"))
			if err == nil {
				_, err = conn.Read(make([]byte, 1))
			}
			_ = conn.Close()
		}
		if (err == nil) != tt.welcome {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// An etcd that is there already is the same store, over TLS.
func TestExistingEtcd(t *testing.T) {
	ca := newAuthority(t)
	files := ca.of(t, "etcd.example")
	o := store.Options{Endpoints: []string{"https://" + serveEtcd(t, files)}, TLS: ca.client(t, files)}
	s, ctx := open(t, o), t.Context()
	watch := s.WatchNewest(ctx, 0)
	big := change("admin/a")
	big.Lock = noise(1, 2500<<10)
	mustCommit(t, s, 0, big)
	if n := receive(t, watch); n != 1 {
		t.Errorf("got %d", n)
	}
	if n, err := s.Commit(ctx, 0, big); n != 1 || !errors.Is(err, store.ErrMoved) {
		t.Errorf("got %d, %v", n, err)
	}
	put(t, s, token("a"))
	if err := redeem(t, s, "a", "one"); err != nil {
		t.Error(err)
	}
	if err := redeem(t, s, "a", "two"); !errors.Is(err, store.ErrToken) {
		t.Error(err)
	}
	if err := errors.Join(s.Reclaim(ctx), s.Revoke(ctx, gateway)); err != nil {
		t.Error(err)
	}
	if r, err := s.Newest(ctx); err != nil || r.Number != 1 || len(r.Lock) != 2500<<10 {
		t.Errorf("got %v, %v", r, err)
	}
}

// serveEtcd runs an etcd of somebody else's, and returns its address.
func serveEtcd(t *testing.T, files store.PeerTLS) string {
	t.Helper()
	address := freePort(t)
	cfg := embed.NewConfig()
	cfg.Dir, cfg.ZapLoggerBuilder = t.TempDir(), embed.NewZapLoggerBuilder(zap.NewNop())
	client, peer := url.URL{Scheme: "https", Host: address}, url.URL{Scheme: "http", Host: "127.0.0.1:1"}
	cfg.ListenClientUrls, cfg.AdvertiseClientUrls = []url.URL{client}, []url.URL{client}
	cfg.ListenPeerUrls, cfg.AdvertisePeerUrls, cfg.InitialCluster = nil, []url.URL{peer}, "default="+peer.String()
	cfg.ClientTLSInfo = transport.TLSInfo{CertFile: files.Cert, KeyFile: files.Key, TrustedCAFile: files.CA, ClientCertAuth: true}
	e, err := embed.StartEtcd(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	<-e.Server.ReadyNotify()
	return address
}
