package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.etcd.io/etcd/client/pkg/v3/transport"
	"go.etcd.io/etcd/server/v3/embed"
	"go.uber.org/zap"

	ropewayv1 "ropeway/api/ropeway/v1"
	"ropeway/api/ropeway/v1/ropewayv1connect"
	"ropeway/internal/files"
	"ropeway/internal/member"
	"ropeway/internal/token"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// eventually waits until something is so.
func eventually(t *testing.T, what string, so func() bool) {
	t.Helper()
	for begun := time.Now(); time.Since(begun) < time.Minute; time.Sleep(50 * time.Millisecond) {
		if so() {
			return
		}
	}
	t.Fatalf("it is still not so that %s", what)
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	return l.Addr().String()
}

// said is what a command says, while it runs.
type said struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (s *said) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.buf.Write(p)
}

func (s *said) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.buf.String()
}

// A running is "ropewayd serve" in this process.
type running struct {
	address string
	out     said
	ended   chan error
	stop    func()
}

// serve starts a controller with its data in a directory.
func serve(t *testing.T, data string, args ...string) *running {
	t.Helper()
	c := &running{address: freePort(t), ended: make(chan error, 1)}
	ctx, cancel := context.WithCancel(t.Context())
	cmd := newRootCommand()
	cmd.SetArgs(append([]string{"serve", "--data", data, "--fabric", "shop", "--listen", c.address, "--name", "127.0.0.1"}, args...))
	cmd.SetOut(&c.out)
	cmd.SetErr(&c.out)
	go func() { c.ended <- cmd.ExecuteContext(ctx) }()
	c.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-c.ended; err != nil {
			t.Errorf("the controller at %s ended with %v\n%s", c.address, err, c.out.String())
		}
	})
	return c
}

// refused waits until a controller has ended by itself, with a code.
func (c *running) refused(t *testing.T, code string) {
	t.Helper()
	select {
	case err := <-c.ended:
		if err == nil || !strings.Contains(coded(err).Error(), code) {
			t.Errorf("it ended with %v, want %s", err, code)
		}
	case <-time.After(time.Minute):
		t.Errorf("it goes on, want %s:\n%s", code, c.out.String())
	}
}

func (c *running) url() string { return "https://" + c.address }

// login is the first administrator, with the token that the controller printed.
func (c *running) login(t *testing.T) *member.Member {
	t.Helper()
	eventually(t, "a token is printed", func() bool { return strings.Contains(c.out.String(), "--token ") })
	_, rest, _ := strings.Cut(c.out.String(), "--token ")
	text, _, _ := strings.Cut(rest, "\n")
	tok, err := token.Parse(text)
	must(t, err)
	dir := filepath.Join(t.TempDir(), "admin")
	must(t, files.SecretDir(dir))
	var m *member.Member
	eventually(t, "the administrator is enrolled", func() bool {
		m, err = member.Enroll(t.Context(), filepath.Join(dir, "member.json"), c.url(), tok, member.Beside{})
		return err == nil
	})
	return m
}

func controllerToken(t *testing.T, m *member.Member, server, name string) string {
	t.Helper()
	client, err := m.HTTP(server)
	must(t, err)
	defer client.CloseIdleConnections()
	answer, err := ropewayv1connect.NewAccessServiceClient(client, server).CreateToken(t.Context(), &ropewayv1.CreateTokenRequest{Identity: "controller/" + name})
	must(t, err)
	return answer.Token
}

func askHow(t *testing.T, m *member.Member, server string) (*ropewayv1.GetControllerResponse, error) {
	t.Helper()
	client, err := m.HTTP(server)
	must(t, err)
	defer client.CloseIdleConnections()
	return ropewayv1connect.NewClusterServiceClient(client, server).GetController(t.Context(), &ropewayv1.GetControllerRequest{})
}

// wellAt waits until a controller answers to the administrator, and has a store that does.
func wellAt(t *testing.T, m *member.Member, c *running) {
	t.Helper()
	eventually(t, "the controller at "+c.address+" is well", func() bool {
		how, err := askHow(t, m, c.url())
		return err == nil && how.Answers && !how.Learner
	})
}

// Controllers of an etcd that is there already are one fabric, and only those with its authority.
func TestAnEtcdThatIsThere(t *testing.T) {
	pki := newFiles(t)
	endpoints := "https://" + serveEtcd(t, pki)
	etcd := []string{"--etcd-endpoints", endpoints, "--etcd-ca", pki.cert, "--etcd-cert", pki.cert, "--etcd-key", pki.key}
	dir := t.TempDir()
	with := func(name string, more ...string) *running {
		return serve(t, filepath.Join(dir, name), append(append([]string{"--controller", name}, etcd...), more...)...)
	}
	first := with("first")
	admin := first.login(t)
	wellAt(t, admin, first)
	with("stranger").refused(t, "RW7225")
	if _, err := os.Stat(filepath.Join(dir, "stranger", "authority")); err == nil {
		t.Error("the stranger made an authority")
	}
	tok := controllerToken(t, admin, first.url(), "second")
	with("third", "--join", first.url(), "--token", tok).refused(t, "RW7226")
	serve(t, filepath.Join(dir, "second"), "--controller", "second", "--join", first.url(), "--token", tok, "--peer-url", "https://"+freePort(t)).refused(t, "RW7222")
	second := with("second", "--join", first.url(), "--token", tok)
	wellAt(t, admin, second)
	second.stop()
	first.stop()
	second = with("second") // by itself
	wellAt(t, admin, second)
	second.stop()
	if left, _ := filepath.Glob(filepath.Join(dir, "*", "store")); len(left) > 0 {
		t.Errorf("something is stored here: %v", left)
	}
}

// Three that begin together share an authority that was made beforehand.
func TestAnInitialCluster(t *testing.T) {
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	names, members := []string{"a", "b", "c"}, []string{}
	for _, name := range names {
		members = append(members, name+"=https://"+freePort(t))
	}
	cluster := []string{"--initial-cluster", strings.Join(members, ",")}
	serve(t, in("a"), append(cluster, "--controller", "a")...).refused(t, "RW7225")
	serve(t, in("a"), append(cluster, "--controller", "d")...).refused(t, "RW6001")
	init := newRootCommand()
	init.SetArgs([]string{"authority", "init", "--data", in("a"), "--fabric", "shop"})
	init.SetOut(&said{})
	must(t, init.Execute())
	for _, name := range names[1:] {
		must(t, os.MkdirAll(in(name), 0o700))
		must(t, os.CopyFS(in(name+"/authority"), os.DirFS(in("a/authority"))))
		must(t, os.Chmod(in(name+"/authority"), 0o700))
		keys, err := filepath.Glob(in(name + "/authority/*"))
		must(t, err)
		for _, key := range keys {
			must(t, os.Chmod(key, 0o600))
		}
	}
	var all []*running
	for _, name := range names {
		all = append(all, serve(t, in(name), append(cluster, "--controller", name)...))
	}
	admin := all[0].login(t)
	for _, c := range all {
		wellAt(t, admin, c)
	}
	all[2].stop()
	all[0].stop()
	again := serve(t, in("a"), append(cluster, "--controller", "a")...) // the same command as at first
	wellAt(t, admin, again)
	wellAt(t, admin, all[1])
	again.stop()
	all[1].stop()

	// A directory whose authority was lost begins no new one.
	must(t, os.RemoveAll(in("a/authority")))
	serve(t, in("a"), append(cluster, "--controller", "a")...).refused(t, "RW7225")
	if _, err := os.Stat(in("a/authority")); err == nil {
		t.Error("another authority was made")
	}
}

// A controller of a CA from elsewhere: its own people enroll by the pin, and whoever trusts the root above reads that it is alive.
func TestACAOfACompanys(t *testing.T) {
	root, rootKey := certificateOf(t, "Example Root", nil, nil)
	ca, caKey := certificateOf(t, "Ropeway authority of shop", root, rootKey)
	dir := t.TempDir()
	write := func(name, kind string, blocks ...[]byte) string {
		var text []byte
		for _, der := range blocks {
			text = append(text, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})...)
		}
		path := filepath.Join(dir, name)
		must(t, os.WriteFile(path, text, 0o600))
		return path
	}
	der, err := x509.MarshalECPrivateKey(caKey)
	must(t, err)
	data := filepath.Join(dir, "data")
	cmd := newRootCommand()
	cmd.SetArgs([]string{"authority", "init", "--data", data, "--fabric", "shop", "--ca-cert", write("ca.pem", "CERTIFICATE", ca.Raw, root.Raw), "--ca-key", write("ca.key", "EC PRIVATE KEY", der)})
	cmd.SetOut(io.Discard)
	must(t, cmd.ExecuteContext(t.Context()))

	c := serve(t, data)
	defer c.stop()
	if m := c.login(t); m.Identity != "admin/first" {
		t.Errorf("the first is %s", m.Identity)
	}
	roots := x509.NewCertPool()
	roots.AddCert(root)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS13}}
	defer transport.CloseIdleConnections()
	answer, err := (&http.Client{Transport: transport, Timeout: time.Minute}).Get(c.url() + "/healthz")
	must(t, err)
	must(t, answer.Body.Close())
	if answer.StatusCode != http.StatusOK {
		t.Errorf("it answers %s", answer.Status)
	}
}

// certificateOf makes a CA below another, or by itself.
func certificateOf(t *testing.T, name string, by *x509.Certificate, byKey *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	c := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name, Organization: []string{"Example"}}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(24 * time.Hour), KeyUsage: x509.KeyUsageCertSign, BasicConstraintsValid: true, IsCA: true, MaxPathLenZero: by != nil,
	}
	if by == nil {
		by, byKey = c, k
	}
	der, err := x509.CreateCertificate(rand.Reader, c, by, &k.PublicKey, byKey)
	must(t, err)
	made, err := x509.ParseCertificate(der)
	must(t, err)
	return made, k
}

func TestFlagsThatContradict(t *testing.T) {
	for _, args := range [][]string{
		{"--etcd-endpoints", "https://a:1", "--peer-url", "https://b:1"}, {"--join", "https://a:1", "--initial-cluster", "a=https://a:1"},
		{"--etcd-ca", "x"}, {"--token", "x"}, {"--join", "https://a:1", "--token", "x"}, {"--quota", "1"}, {"--election-timeout", "100ms"}, {"--controller", "A_B"},
		{"--backup-recipient", "age1nothing"}, {"--etcd-endpoints", "https://a:1", "--etcd-ca", "/nowhere"}, {"--join", "https://a:1", "--peer-url", "https://127.0.0.1:1"},
		{"--listen", "nowhere"},
	} {
		t.Run(fmt.Sprint(args), func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "data")
			cmd := newRootCommand()
			cmd.SetArgs(append([]string{"serve", "--data", dir, "--fabric", "shop", "--name", "127.0.0.1"}, args...))
			cmd.SetOut(&said{})
			cmd.SetErr(&said{})
			if err := cmd.ExecuteContext(t.Context()); err == nil || !strings.Contains(err.Error(), "RW6001") {
				t.Errorf("got %v", err)
			}
		})
	}
}

// pki is a certificate that vouches for itself, in files.
type pki struct{ cert, key string }

func newFiles(t *testing.T) pki {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, k.Public(), k)
	must(t, err)
	secret, err := x509.MarshalPKCS8PrivateKey(k)
	must(t, err)
	out := pki{filepath.Join(t.TempDir(), "etcd.crt"), filepath.Join(t.TempDir(), "etcd.key")}
	must(t, os.WriteFile(out.cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	must(t, os.WriteFile(out.key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}), 0o600))
	return out
}

// serveEtcd runs an etcd of somebody else's, and returns its address.
func serveEtcd(t *testing.T, p pki) string {
	t.Helper()
	address := freePort(t)
	cfg := embed.NewConfig()
	cfg.Dir, cfg.ZapLoggerBuilder = t.TempDir(), embed.NewZapLoggerBuilder(zap.NewNop())
	client, peer := url.URL{Scheme: "https", Host: address}, url.URL{Scheme: "http", Host: "127.0.0.1:1"}
	cfg.ListenClientUrls, cfg.AdvertiseClientUrls = []url.URL{client}, []url.URL{client}
	cfg.ListenPeerUrls, cfg.AdvertisePeerUrls, cfg.InitialCluster = nil, []url.URL{peer}, "default="+peer.String()
	cfg.ClientTLSInfo = transport.TLSInfo{CertFile: p.cert, KeyFile: p.key, TrustedCAFile: p.cert, ClientCertAuth: true}
	e, err := embed.StartEtcd(cfg)
	must(t, err)
	t.Cleanup(e.Close)
	<-e.Server.ReadyNotify()
	return address
}
