package controller

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"filippo.io/age"

	ropewayv1 "ropeway/api/ropeway/v1"
	"ropeway/api/ropeway/v1/ropewayv1connect"
	"ropeway/internal/authority"
	"ropeway/internal/backup"
	"ropeway/internal/files"
	"ropeway/internal/member"
	"ropeway/internal/role"
	"ropeway/internal/store"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// eventually waits until something is so.
func eventually(t testing.TB, what string, so func() bool) {
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

// A station is a controller that runs in this process, on the loopback.
type station struct {
	*Controller
	url   string
	stop  func()
	ended chan error
}

// serveAt runs a controller on a store. The directory is that of its authority.
func serveAt(t *testing.T, name, dir string, s *store.Store, to ...age.Recipient) *station {
	t.Helper()
	a, err := authority.Open(dir, "shop", time.Now())
	must(t, err)
	must(t, s.Bind(t.Context(), a.Pin()))
	address := freePort(t)
	st := &station{url: "https://" + address, ended: make(chan error, 1)}
	st.Controller = New(Options{
		Fabric: "shop", Listen: address, Name: name, At: authority.Hosts{IPs: []net.IP{net.IPv4(127, 0, 0, 1)}}, Store: s, Authority: a,
		Log: slog.New(slog.DiscardHandler), URL: st.url, PeerURL: "http://127.0.0.1:1",
		Bundle: func() (authority.Bundle, error) { return authority.Pack(dir) }, Recipients: to,
	})
	ctx, cancel := context.WithCancel(t.Context())
	go func() { st.ended <- st.Run(ctx) }()
	st.stop = func() { cancel(); st.ended <- <-st.ended }
	t.Cleanup(st.stop)
	return st
}

// person logs in with a token of a role.
func (st *station) person(t *testing.T, id role.Identity) *member.Member {
	t.Helper()
	tok, _, err := st.FirstToken(t.Context(), id, time.Hour)
	must(t, err)
	dir := filepath.Join(t.TempDir(), "person")
	must(t, files.SecretDir(dir))
	var m *member.Member
	eventually(t, "the controller enrolls", func() bool {
		m, err = member.Enroll(t.Context(), filepath.Join(dir, "member.json"), st.url, tok, member.Beside{})
		return err == nil
	})
	return m
}

func clusterClient(t *testing.T, m *member.Member, server string) ropewayv1connect.ClusterServiceClient {
	t.Helper()
	client, err := m.HTTP(server)
	must(t, err)
	t.Cleanup(client.CloseIdleConnections)
	return ropewayv1connect.NewClusterServiceClient(client, server)
}

func openAt(t *testing.T, o store.Options) *store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), o)
	must(t, err)
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// joining is the request of a controller that wants to be one.
func (st *station) joining(t *testing.T, name string, change func(*ropewayv1.JoinRequest)) (*ropewayv1.JoinResponse, *ropewayv1.JoinRequest, error) {
	t.Helper()
	tok, _, err := st.FirstToken(t.Context(), role.Identity{Role: role.Controller, Name: name}, time.Hour)
	must(t, err)
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, k)
	must(t, err)
	req := &ropewayv1.JoinRequest{
		Token: tok.Reveal(), Fabric: "shop", Name: name, Url: "https://" + freePort(t), PeerUrl: "https://" + freePort(t), Csr: csr,
	}
	change(req)
	client, err := member.Stranger(tok.Pin(), st.url)
	must(t, err)
	defer client.CloseIdleConnections()
	answer, err := ropewayv1connect.NewClusterServiceClient(client, st.url).Join(t.Context(), req)
	return answer, req, err
}

// One joins, is known to all and to their clients, and is removed; what makes no sense is refused and uses no token up.
func TestJoinAndRemove(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "authority")
	peer := freePort(t)
	first := serveAt(t, "first", dir, openAt(t, store.Options{
		Dir: filepath.Join(t.TempDir(), "store"), Name: "first", PeerURL: "https://" + peer, PeerTLS: peerTLS(t, dir, "first"),
	}))
	admin := first.person(t, role.Identity{Role: role.Admin, Name: "ada"})
	client := clusterClient(t, admin, first.url)
	for name, change := range map[string]func(*ropewayv1.JoinRequest){
		"another fabric": func(r *ropewayv1.JoinRequest) { r.Fabric = "shoe" },
		"another name":   func(r *ropewayv1.JoinRequest) { r.Name = "third" },
		"a hostile name": func(r *ropewayv1.JoinRequest) { r.Name = "a/../b\n" },
		"no peer URL":    func(r *ropewayv1.JoinRequest) { r.PeerUrl = "" },
		"no URL":         func(r *ropewayv1.JoinRequest) { r.Url = "" },
		"in clear":       func(r *ropewayv1.JoinRequest) { r.Url = "http://a:1" },
		"a peer in clear": func(r *ropewayv1.JoinRequest) {
			r.PeerUrl = "http://192.0.2.1:1"
		},
		"no request": func(r *ropewayv1.JoinRequest) { r.Csr = nil },
		"no token":   func(r *ropewayv1.JoinRequest) { r.Token = "" },
	} {
		if answer, _, err := first.joining(t, "second", change); err == nil || answer != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if list, err := first.opts.Store.Peers(t.Context()); err != nil || len(list) != 1 {
		t.Errorf("what was refused left %v, %v", list, err)
	}

	answer, req, err := first.joining(t, "second", func(*ropewayv1.JoinRequest) {})
	must(t, err)
	if _, _, err := first.joining(t, "second", func(*ropewayv1.JoinRequest) {}); connect.CodeOf(err) != connect.CodeFailedPrecondition || !strings.Contains(err.Error(), "RW7221") {
		t.Errorf("a second one of the name: %v", err)
	}
	if _, _, err := first.joining(t, "third", func(*ropewayv1.JoinRequest) {}); !strings.Contains(err.Error(), "RW7206") {
		t.Errorf("two at a time: %v", err)
	}
	listed, err := client.ListControllers(t.Context(), &ropewayv1.ListControllersRequest{})
	must(t, err)
	if len(listed.Controllers) != 2 || !listed.Controllers[1].Learner || listed.Controllers[1].Name != "second" {
		t.Errorf("listed: %v", listed.Controllers)
	}
	bundle, err := authority.NewBundle(answer.Authority)
	must(t, err)
	secondDir := filepath.Join(t.TempDir(), "authority")
	_, err = authority.Unpack(secondDir, "shop", bundle, time.Now())
	must(t, err)
	var members []string
	for _, p := range answer.Peers {
		members = append(members, p.Name+"="+p.Url)
	}
	s := openAt(t, store.Options{
		Dir: filepath.Join(t.TempDir(), "store"), Name: "second", PeerURL: req.PeerUrl, InitialCluster: strings.Join(members, ","), Join: true,
		PeerTLS: peerTLS(t, secondDir, "second"),
	})
	second := serveAt(t, "second", secondDir, s)
	eventually(t, "the second one is listed with a vote, where it is", func() bool {
		listed, err := client.ListControllers(t.Context(), &ropewayv1.ListControllersRequest{})
		return err == nil && len(listed.Controllers) == 2 && !listed.Controllers[1].Learner && listed.Controllers[1].Url == second.url
	})
	eventually(t, "the client knows both", func() bool {
		_, _ = client.ListControllers(t.Context(), &ropewayv1.ListControllersRequest{})
		return admin.Next(first.url) == second.url
	})
	about, err := clusterClient(t, admin, second.url).GetController(t.Context(), &ropewayv1.GetControllerRequest{})
	if err != nil || about.Name != "second" || !about.Answers || about.Learner || about.Member == about.Leader || about.StoreSize == 0 {
		t.Errorf("the second one says %v, %v", about, err)
	}

	onlyControllersSpeak(t, peer, dir, admin)
	_, err = client.RemoveController(t.Context(), &ropewayv1.RemoveControllerRequest{Name: "nobody"})
	if connect.CodeOf(err) != connect.CodeFailedPrecondition || !strings.Contains(err.Error(), "RW7223") {
		t.Errorf("one that is not: %v", err)
	}
	_, err = client.RemoveController(t.Context(), &ropewayv1.RemoveControllerRequest{Name: "second"})
	must(t, err)
	if err := <-second.ended; !errors.Is(err, store.ErrRemoved) || !strings.Contains(err.Error(), "RW7207") {
		t.Errorf("the one that was removed says %v", err)
	}
	second.ended <- nil
	if m, err := first.opts.Store.Member(t.Context(), "controller/second"); err != nil || !m.Revoked {
		t.Errorf("it is a member still: %v, %v", m, err)
	}
}

// peerTLS is how a controller with an authority in a directory shows itself to others.
func peerTLS(t *testing.T, dir, name string) store.PeerTLS {
	t.Helper()
	a, err := authority.Open(dir, "shop", time.Now())
	must(t, err)
	p, err := authority.OpenPeer(filepath.Join(t.TempDir(), "peer"), name)
	must(t, err)
	must(t, p.Renew(a, time.Now()))
	return store.PeerTLS{Cert: p.CertFile(), Key: p.KeyFile(), CA: filepath.Join(dir, "ca.crt"), Peer: authority.PeerName}
}

// onlyControllersSpeak tries the port at which controllers speak to each other, with certificates that the authority vouches for.
func onlyControllersSpeak(t *testing.T, address, dir string, admin *member.Member) {
	t.Helper()
	a, err := authority.Open(dir, "shop", time.Now())
	must(t, err)
	files := peerTLS(t, dir, "first")
	peer, err := tls.LoadX509KeyPair(files.Cert, files.Key)
	must(t, err)
	server, err := a.IssueServer("first", authority.Hosts{Names: []string{authority.PeerName}}, time.Now(), time.Hour)
	must(t, err)
	key, err := x509.ParsePKCS8PrivateKey(admin.Key)
	must(t, err)
	for name, c := range map[string]struct {
		certificates []tls.Certificate
		version      uint16
		welcome      bool
	}{
		"a controller":                  {[]tls.Certificate{peer}, tls.VersionTLS13, true},
		"a controller with TLS 1.2":     {[]tls.Certificate{peer}, tls.VersionTLS12, false},
		"an administrator":              {[]tls.Certificate{{Certificate: admin.Chain, PrivateKey: key}}, tls.VersionTLS13, false},
		"a controller as to its client": {[]tls.Certificate{*server}, tls.VersionTLS13, false},
		"a stranger":                    {nil, tls.VersionTLS13, false},
	} {
		conn, err := tls.Dial("tcp", address, &tls.Config{Certificates: c.certificates, MinVersion: c.version, MaxVersion: c.version, InsecureSkipVerify: true})
		if err == nil { // with TLS 1.3 the server's refusal comes with its first answer
			_, err = conn.Write([]byte("GET /version HTTP/1.0\r\n\r\n"))
			if err == nil {
				_, err = conn.Read(make([]byte, 1))
			}
			_ = conn.Close()
		}
		if (err == nil) != c.welcome {
			t.Errorf("%s at the port of controllers: %v", name, err)
		}
	}
}

// A backup comes whole, encrypted for whom the controller was told of, and for nobody where it was not.
func TestBackup(t *testing.T) {
	k, err := age.GenerateX25519Identity()
	must(t, err)
	st := serveAt(t, "first", filepath.Join(t.TempDir(), "authority"), openAt(t, store.Options{Dir: filepath.Join(t.TempDir(), "store")}), k.Recipient())
	big := make([]byte, 2<<20)
	_, _ = rand.Read(big)
	_, err = st.opts.Store.Commit(t.Context(), 0, store.Revision{At: time.Now(), Author: "a", Kind: "apply", File: big, Lock: []byte("{}")})
	must(t, err)
	admin := st.person(t, role.Identity{Role: role.Admin, Name: "ada"})
	stream, err := clusterClient(t, admin, st.url).Backup(t.Context(), &ropewayv1.BackupRequest{})
	must(t, err)
	var file bytes.Buffer
	var sum []byte
	for stream.Receive() {
		file.Write(stream.Msg().Data)
		sum = stream.Msg().Sum
	}
	must(t, stream.Err())
	if want := sha256.Sum256(file.Bytes()); !bytes.Equal(sum, want[:]) || file.Len() < len(big) {
		t.Errorf("%d bytes with sum %x", file.Len(), sum)
	}
	r, err := backup.Open(&file, []age.Identity{k})
	must(t, err)
	for n := 0; ; n++ {
		item, err := r.Next()
		must(t, err)
		if len(item.Key) == 0 {
			if n < 5 {
				t.Errorf("%d items", n)
			}
			break
		}
	}
	if !bytes.Contains(r.Bundle.Files()["ca.key"], []byte("PRIVATE KEY")) {
		t.Error("the authority is not in it")
	}

	mute := serveAt(t, "first", filepath.Join(t.TempDir(), "authority"), openAt(t, store.Options{Dir: filepath.Join(t.TempDir(), "store")}))
	stream, err = clusterClient(t, mute.person(t, role.Identity{Role: role.Admin, Name: "ada"}), mute.url).Backup(t.Context(), &ropewayv1.BackupRequest{})
	if err == nil {
		stream.Receive()
		err = stream.Err()
	}
	if err == nil || errors.Is(err, io.EOF) || !strings.Contains(err.Error(), "RW7224") {
		t.Errorf("for nobody: %v", err)
	}
}

// What cannot be stored is refused with a code, and the rest goes on.
func TestProblemsOfTheStoreHaveCodes(t *testing.T) {
	for err, want := range map[error]struct {
		code connect.Code
		says string
	}{
		store.ErrFull:        {connect.CodeResourceExhausted, "RW7200"},
		store.ErrUnavailable: {connect.CodeUnavailable, "RW7201"},
		store.ErrDamaged:     {connect.CodeFailedPrecondition, "RW7203"},
		store.ErrTooLarge:    {connect.CodeInvalidArgument, "RW7204"},
		store.ErrQuorum:      {connect.CodeFailedPrecondition, "RW7205"},
		store.ErrNotFound:    {connect.CodeNotFound, "none"},
	} {
		if got := asked(err); connect.CodeOf(got) != want.code || !strings.Contains(got.Error(), want.says) {
			t.Errorf("%v is answered as %v", err, got)
		}
	}
}

func TestWhenSpaceIsReclaimed(t *testing.T) {
	for _, c := range []struct {
		st   store.Status
		want bool
	}{
		{store.Status{}, false}, {store.Status{Size: 1 << 30, InUse: 1 << 30}, false}, {store.Status{Size: 1 << 30, InUse: 600 << 20}, false},
		{store.Status{Size: 1 << 30, InUse: 400 << 20}, true}, {store.Status{Size: 20 << 20, InUse: 1 << 20}, false}, {store.Status{Size: 16 << 20, InUse: 16 << 20, Full: true}, true},
	} {
		if got := wasteful(c.st); got != c.want {
			t.Errorf("%+v: %t", c.st, got)
		}
	}
}
