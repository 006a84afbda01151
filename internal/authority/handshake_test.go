package authority

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"testing"
	"time"
)

func TestTLS12IsRefused(t *testing.T) {
	w := newWorld(t)
	old := &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12}
	if got, err := w.get(old); err == nil {
		t.Errorf("the server speaks TLS 1.2: %q", got)
	}
	c, err := w.a.IssueServer("one", Hosts{IPs: []net.IP{net.IPv4(127, 0, 0, 1)}}, noon, time.Hour)
	must(t, err)
	w.serve(&tls.Config{Certificates: []tls.Certificate{*c}, MaxVersion: tls.VersionTLS12})
	if got, err := w.get(w.client(nil).TLS()); err == nil {
		t.Errorf("the client speaks TLS 1.2: %q", got)
	}
}

// No session is resumed: a second connection is judged as the first was.
func TestNothingIsResumed(t *testing.T) {
	w := newWorld(t)
	config := w.client(w.certificate(gateway)).TLS()
	config.ClientSessionCache = tls.NewLRUClientSessionCache(8)
	for range 3 {
		d := tls.Dialer{Config: config}
		c, err := d.DialContext(t.Context(), "tcp", w.address)
		must(t, err)
		if c.(*tls.Conn).ConnectionState().DidResume {
			t.Error("a session was resumed")
		}
		_ = c.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
		_, _ = c.Read(make([]byte, 1000)) // where a ticket would come
		must(t, c.Close())
	}
}

// A handshake that does not go on ends with the server's deadline, wherever it stopped, and others are served meanwhile.
func TestHandshakesThatNeverFinish(t *testing.T) {
	w := newWorld(t)
	hello := recorded(t, w.client(nil).TLS())
	for name, sent := range map[string][]byte{"nothing": nil, "a byte": hello[:1], "half a hello": hello[:len(hello)/2], "a hello": hello} {
		c, err := new(net.Dialer).DialContext(t.Context(), "tcp", w.address)
		must(t, err)
		_, err = c.Write(sent)
		must(t, err)
		if got, err := w.get(w.client(nil).TLS()); err != nil || got != "HTTP/2.0 nobody" {
			t.Errorf("%s: another client meanwhile: %q, %v", name, got, err)
		}
		must(t, c.SetReadDeadline(time.Now().Add(20*time.Second)))
		if _, err := io.Copy(io.Discard, c); errors.Is(err, context.DeadlineExceeded) || isTimeout(err) {
			t.Errorf("%s: the server waits for ever", name)
		}
		_ = c.Close()
	}
}

func isTimeout(err error) bool {
	var n net.Error
	return errors.As(err, &n) && n.Timeout()
}

// recorded returns the first message of a handshake.
func recorded(t *testing.T, config *tls.Config) []byte {
	t.Helper()
	here, there := net.Pipe()
	go func() { _ = tls.Client(here, config).HandshakeContext(t.Context()) }()
	defer there.Close()
	buffer := make([]byte, 16<<10)
	n, err := there.Read(buffer)
	must(t, err)
	return buffer[:n]
}

// The controller's own certificate is renewed while it serves, also where the clock goes back.
func TestTheServerRenewsItself(t *testing.T) {
	w := newWorld(t)
	get := w.config.GetCertificate
	first := got(t, func() (*tls.Certificate, error) { return get(nil) })
	for _, c := range []struct {
		after   time.Duration
		renewed bool
	}{{15 * time.Hour, false}, {17 * time.Hour, true}, {18 * time.Hour, false}, {0, true}, {10 * 365 * 24 * time.Hour, true}} {
		w.now.Store(noon.Add(c.after).Unix())
		next, err := get(nil)
		if c.after > lifeCA-minLife {
			if err == nil {
				t.Errorf("a certificate of an authority that is no more, to %v", next.Leaf.NotAfter)
			}
			continue
		}
		if err != nil || (next != first) != c.renewed || w.clock().After(next.Leaf.NotAfter) || w.clock().Before(next.Leaf.NotBefore) {
			t.Errorf("after %v: renewed %t, %v", c.after, next != first, err)
		}
		first = next
	}
	if _, err := w.a.ServerTLS("one", Hosts{}, w.clock); err == nil {
		t.Error("a server without hosts")
	}
}
