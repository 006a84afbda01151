package gate_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"ropeway/internal/gate"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// A place is a gate on the loopback. Whoever shows a certificate is who its common name says. Whoever is let in gets one byte.
type place struct {
	*gate.Gate
	t *testing.T

	mu  sync.Mutex
	let []net.Conn
}

func certificate(t *testing.T, name string) tls.Certificate {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	c := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, c, c, k.Public(), k)
	must(t, err)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: k}
}

func newPlace(t *testing.T, limits gate.Limits) *place {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	config := &tls.Config{Certificates: []tls.Certificate{certificate(t, "server")}, ClientAuth: tls.RequestClientCert}
	name := func(state tls.ConnectionState) string {
		if len(state.PeerCertificates) == 0 {
			return ""
		}
		return state.PeerCertificates[0].Subject.CommonName
	}
	p := &place{Gate: gate.New(l, config, limits, name, slog.New(slog.DiscardHandler)), t: t}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := p.Accept()
			if err != nil {
				return
			}
			p.mu.Lock()
			p.let = append(p.let, conn)
			p.mu.Unlock()
			_, _ = conn.Write([]byte{1})
		}
	}()
	t.Cleanup(func() {
		_ = p.Close()
		<-done
		for _, conn := range p.let {
			_ = conn.Close()
		}
	})
	return p
}

func limits() gate.Limits {
	return gate.Limits{Connections: 100, Strangers: 50, Address: 20, Handshakes: 3, Member: 4, Handshake: 30 * time.Second, Unanswered: time.Minute}
}

// enter connects, and reports whether it was let in.
func (p *place) enter(certificates ...tls.Certificate) (*tls.Conn, bool) {
	p.t.Helper()
	raw, err := net.Dial("tcp", p.Addr().String())
	must(p.t, err)
	must(p.t, raw.SetDeadline(time.Now().Add(time.Minute)))
	conn := tls.Client(raw, &tls.Config{InsecureSkipVerify: true, Certificates: certificates})
	p.t.Cleanup(func() { _ = raw.Close() })
	_, err = conn.Read(make([]byte, 1))
	return conn, err == nil
}

func eventually(t *testing.T, what string, so func() bool) {
	t.Helper()
	for begun := time.Now(); !so(); time.Sleep(10 * time.Millisecond) {
		if time.Since(begun) > time.Minute {
			t.Fatalf("it is still not so that %s", what)
		}
	}
}

// Those who say nothing keep others of their address waiting until their time is over, and are cut off then.
func TestSilentOnes(t *testing.T) {
	l := limits()
	l.Handshake = time.Second
	p := newPlace(t, l)
	var silent []net.Conn
	for range l.Handshakes {
		conn, err := net.Dial("tcp", p.Addr().String())
		must(t, err)
		defer func() { _ = conn.Close() }()
		silent = append(silent, conn)
	}
	eventually(t, "one who speaks is let in", func() bool { _, ok := p.enter(); return ok })
	for _, conn := range silent {
		must(t, conn.SetDeadline(time.Now().Add(time.Minute)))
		if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Errorf("one who says nothing: %v", err)
		}
	}
}

// Of one address there are so many strangers; members do not count among them, and have a number of their own.
func TestStrangersAndMembers(t *testing.T) {
	p := newPlace(t, limits())
	var strangers []*tls.Conn
	for range 20 {
		conn, ok := p.enter()
		if !ok {
			t.Fatal("a stranger is not let in")
		}
		strangers = append(strangers, conn)
	}
	if _, ok := p.enter(); ok {
		t.Error("one too many strangers")
	}
	ann := certificate(t, "ann")
	if _, ok := p.enter(ann); ok {
		t.Error("a handshake where there are too many strangers") // nobody is known before it
	}
	_ = strangers[0].Close()
	p.end(0)
	var hers []*tls.Conn
	for range 4 {
		conn, ok := p.enter(ann)
		if !ok {
			t.Fatal("a member is not let in")
		}
		hers = append(hers, conn)
	}
	if _, ok := p.enter(ann); ok {
		t.Error("one too many of one member")
	}
	if _, ok := p.enter(certificate(t, "bob")); !ok {
		t.Error("another member is not let in")
	}
	_ = hers[0].Close()
	p.end(20)
	if _, ok := p.enter(ann); !ok {
		t.Error("a member is not let in again")
	}
}

// end closes a connection on this side, the one that was let in as number i.
func (p *place) end(i int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	_ = p.let[i].Close()
	_ = p.let[i].Close() // which counts once
}

// A crowd that comes at once is let in, batch after batch, and everybody who left is forgotten.
func TestCrowd(t *testing.T) {
	l := limits()
	l.Address, l.Strangers, l.Connections = 100, 100, 200
	p := newPlace(t, l)
	var all sync.WaitGroup
	for range 60 {
		all.Go(func() {
			if _, ok := p.enter(); !ok {
				t.Error("one of a crowd is not let in")
			}
		})
	}
	all.Wait()
	for i := range 60 {
		p.end(i)
	}
	eventually(t, "nobody is counted who left", func() bool { return gate.Counted(p.Gate) == 0 })
}

func TestAddressOf(t *testing.T) {
	for from, want := range map[string]string{
		"192.0.2.7": "192.0.2.7", "::ffff:192.0.2.7": "192.0.2.7", "2001:db8:1:2:3:4:5:6": "2001:db8:1:2::", "fe80::1%eth0": "fe80::",
	} {
		if got := gate.AddressOf(netip.MustParseAddr(from)); got != netip.MustParseAddr(want) {
			t.Errorf("%s counts for %s, want %s", from, got, want)
		}
	}
}
