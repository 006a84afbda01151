package sink

import (
	"bufio"
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/tlog"
	"golang.org/x/sys/unix"

	"ropeway/internal/audit"
	"ropeway/internal/files"
)

const patience = 30 * time.Second

func events(from, n int) (out []Event) {
	for i := from; i < from+n; i++ {
		e := audit.Entry{At: 1_800_000_000_123, Who: "operator/ann", What: "fabric.apply", Outcome: audit.Done, Object: fmt.Sprint("revision/", i)}
		if i%2 == 1 {
			e.Outcome, e.Code = audit.Refused, "RW7003"
		}
		out = append(out, Event{int64(i), e, audit.Line("ropeway/shop/audit", int64(i), e)})
	}
	return out
}

func lines(es []Event) (out string) {
	for _, e := range es {
		out += string(e.Line) + "\n"
	}
	return out
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	s := NewFile(path)
	defer func() { must(t, s.Close()) }()
	must(t, s.Send(t.Context(), events(0, 3)))
	must(t, s.Send(t.Context(), events(3, 1)))
	text, err := os.ReadFile(path)
	if err != nil || string(text) != lines(events(0, 4)) {
		t.Errorf("it holds %s, %v", text, err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	must(t, os.Rename(path, path+".1")) // as logrotate does
	must(t, s.Send(t.Context(), events(4, 1)))
	s.Reopen()
	must(t, s.Send(t.Context(), events(5, 1)))
	old, err := os.ReadFile(path + ".1")
	now, err2 := os.ReadFile(path)
	if errors.Join(err, err2) != nil || string(old) != lines(events(0, 5)) || string(now) != lines(events(5, 1)) {
		t.Errorf("after it was rotated: %s and %s", old, now)
	}
}

func TestFileAfterACrash(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	must(t, os.WriteFile(path, []byte(lines(events(0, 1))+`{"class_uid":60`), 0o640))
	s := NewFile(path)
	must(t, s.Send(t.Context(), events(1, 1)))
	must(t, s.Close())
	text, err := os.ReadFile(path)
	if want := lines(events(0, 1)) + "{\"class_uid\":60\n" + lines(events(1, 1)); err != nil || string(text) != want {
		t.Errorf("half a line spoils the next one: %s", text)
	}
	if info, err := os.Stat(path); err != nil || info.Mode() != 0o640 {
		t.Errorf("a mode that somebody chose: %v, %v", info, err)
	}
}

func TestFileRefuses(t *testing.T) {
	dir := t.TempDir()
	link, pipe := filepath.Join(dir, "link"), filepath.Join(dir, "pipe")
	must(t, errors.Join(os.Symlink(filepath.Join(dir, "elsewhere"), link), unix.Mkfifo(pipe, 0o600)))
	for path, want := range map[string]error{link: files.ErrLink, pipe: files.ErrNotRegular, dir: nil, filepath.Join(dir, "no", "where"): os.ErrNotExist, "/dev/null": files.ErrNotRegular} {
		if err := NewFile(path).Send(t.Context(), events(0, 1)); err == nil || want != nil && !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", path, err, want)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "elsewhere")); err == nil {
		t.Error("a link was followed")
	}
}

// message is RFC 5424, section 6, as far as a sink writes it.
var message = regexp.MustCompile(`^<(10[89])>1 (2027-01-15T08:00:00\.123Z) (\S+) ropewayd (\d+) fabric\.apply - (\{.*\})$`)

func checkMessage(t *testing.T, got string, want Event) {
	t.Helper()
	m := message.FindStringSubmatch(got)
	priority := map[audit.Outcome]string{audit.Done: "109", audit.Refused: "108"}[want.Entry.Outcome]
	if m == nil || m[1] != priority || m[5] != string(want.Line) {
		t.Errorf("%q, want %s", got, want.Line)
	}
}

func TestSyslogOfThisMachine(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	must(t, err)
	receive(t, "unix://"+path, l, func() { _ = os.Remove(path) }, func() net.PacketConn {
		l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
		must(t, err)
		return l
	})
}

func TestSyslogOverUDP(t *testing.T) {
	l, err := net.ListenPacket("udp", "127.0.0.1:0")
	must(t, err)
	receive(t, "udp://"+l.LocalAddr().String(), l, nil, nil)
}

// receive is a receiver of datagrams; restart, if any, is one that was away meanwhile.
func receive(t *testing.T, to string, l net.PacketConn, gone func(), back func() net.PacketConn) {
	t.Helper()
	s, err := NewSyslog(to)
	must(t, err)
	defer func() { must(t, s.Close()) }()
	read := func(l net.PacketConn, want Event) {
		t.Helper()
		must(t, l.SetReadDeadline(time.Now().Add(patience)))
		b := make([]byte, 1<<16)
		n, _, err := l.ReadFrom(b)
		must(t, err)
		checkMessage(t, string(b[:n]), want)
	}
	must(t, s.Send(t.Context(), events(0, 2)))
	read(l, events(0, 1)[0])
	read(l, events(1, 1)[0])
	must(t, l.Close())
	if gone == nil {
		return
	}
	gone()
	if err := s.Send(t.Context(), events(2, 1)); err == nil {
		t.Error("nobody is there, and it was sent")
	}
	l = back()
	defer func() { _ = l.Close() }()
	must(t, s.Send(t.Context(), events(2, 1)))
	read(l, events(2, 1)[0])
}

// readFrame reads a message that is framed by octet counting.
func readFrame(r *bufio.Reader) (string, error) {
	length, err := r.ReadString(' ')
	if err != nil {
		return "", err
	}
	n, err := strconv.Atoi(strings.TrimSpace(length))
	if err != nil {
		return "", err
	}
	b := make([]byte, n)
	_, err = io.ReadFull(r, b)
	return string(b), err
}

func TestSyslogOverTCP(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer func() { _ = l.Close() }()
	s, err := NewSyslog("tcp://" + l.Addr().String())
	must(t, err)
	defer func() { must(t, s.Close()) }()
	must(t, s.Send(t.Context(), events(0, 2)))
	conn, err := l.Accept()
	must(t, err)
	must(t, conn.SetReadDeadline(time.Now().Add(patience)))
	r := bufio.NewReader(conn)
	for i := range 2 {
		text, err := readFrame(r)
		must(t, err)
		checkMessage(t, text, events(i, 1)[0])
	}
	must(t, conn.Close()) // the receiver is started anew: what is sent from now on arrives there
	var got net.Conn
	accepted := make(chan struct{})
	go func() { defer close(accepted); got, _ = l.Accept() }()
	for deadline := time.Now().Add(patience); s.Send(t.Context(), events(2, 1)) != nil; {
		if time.Now().After(deadline) {
			t.Fatal("it does not connect anew")
		}
	}
	<-accepted
	defer func() { _ = got.Close() }()
	must(t, got.SetReadDeadline(time.Now().Add(patience)))
	text, err := readFrame(bufio.NewReader(got))
	must(t, err)
	checkMessage(t, text, events(2, 1)[0])
}

func TestSyslogAddresses(t *testing.T) {
	for _, to := range []string{"", "/dev/log", "unix://", "unix://host/dev/log", "udp://", "udp://host", "tcp://host:1/path", "tcp://user@host:1", "http://host:1", "udp://host:1?x", "tcp://:1"} {
		if _, err := NewSyslog(to); err == nil {
			t.Errorf("%q is taken", to)
		}
	}
}

// collector answers as it is told, and keeps what it took.
type collector struct {
	mu      sync.Mutex
	answers []int
	took    string
	headers http.Header
}

func (c *collector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	c.mu.Lock()
	defer c.mu.Unlock()
	code := http.StatusOK
	if len(c.answers) > 0 {
		code, c.answers = c.answers[0], c.answers[1:]
	}
	if code == http.StatusFound {
		w.Header().Set("Location", "http://169.254.169.254/latest/meta-data/")
	}
	if code/100 == 2 {
		c.took += string(body)
		c.headers = r.Header
	}
	w.WriteHeader(code)
}

func TestHTTPS(t *testing.T) {
	c := &collector{answers: []int{500, 302, 200, 204}}
	server := httptest.NewTLSServer(c)
	defer server.Close()
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	s, err := NewHTTPS(HTTPSOptions{URL: server.URL + "/events", Authorization: "Bearer canary", Authorities: roots})
	must(t, err)
	defer func() { must(t, s.Close()) }()
	for _, want := range []string{"it answers 500", "redirects are not followed"} {
		if err := s.Send(t.Context(), events(0, 2)); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "canary") {
			t.Errorf("%v, want %s", err, want)
		}
	}
	must(t, s.Send(t.Context(), events(0, 2)))
	must(t, s.Send(t.Context(), events(2, 1)))
	if c.took != lines(events(0, 3)) || c.headers.Get("Content-Type") != "application/x-ndjson" || c.headers.Get("Authorization") != "Bearer canary" {
		t.Errorf("the collector has %v and %s", c.headers, c.took)
	}
}

func TestHTTPSBelievesNobodyElse(t *testing.T) {
	c := &collector{}
	server := httptest.NewUnstartedServer(c)
	server.Config.ErrorLog = nil
	server.StartTLS()
	defer server.Close()
	s, err := NewHTTPS(HTTPSOptions{URL: server.URL})
	must(t, err)
	var unknown x509.UnknownAuthorityError
	if err := s.Send(t.Context(), events(0, 1)); !errors.As(err, &unknown) || c.took != "" {
		t.Errorf("a certificate that nobody vouches for: %v", err)
	}
}

// Nothing that somebody wrote into a flag, a name server or a redirect leads to what only this machine reaches.
func TestForbiddenAddresses(t *testing.T) {
	for text, want := range map[string]bool{
		"169.254.169.254": true, "169.254.0.1": true, "::ffff:169.254.169.254": true, "64:ff9b::a9fe:a9fe": true, "fe80::1": true, "fe80::1%eth0": true, "fd00:ec2::254": true,
		"100.100.100.200": true, "168.63.129.16": true, "0.0.0.0": true, "::": true, "224.0.0.1": true, "ff02::1": true,
		"127.0.0.1": false, "10.0.0.1": false, "192.0.2.1": false, "2001:db8::1": false, "64:ff9b::c000:201": false,
	} {
		if got := forbidden(netip.MustParseAddr(text)); got != want {
			t.Errorf("%s: %v", text, got)
		}
		if err := refuse("tcp", net.JoinHostPort(text, "443"), nil); errors.Is(err, ErrAddress) != want {
			t.Errorf("%s: %v", text, err)
		}
		_, err := NewHTTPS(HTTPSOptions{URL: "https://" + net.JoinHostPort(strings.ReplaceAll(text, "%", "%25"), "443") + "/x"})
		if errors.Is(err, ErrAddress) != want {
			t.Errorf("https://%s: %v", text, err)
		}
		if _, err := NewHTTPS(HTTPSOptions{URL: "https://" + net.JoinHostPort(strings.ReplaceAll(text, "%", "%25"), "443"), LinkLocal: true}); err != nil {
			t.Errorf("https://%s, and the operator says so: %v", text, err)
		}
	}
	for _, text := range []string{"", "http://collector.example.net/", "collector.example.net", "https://", "https://user:canary@collector.example.net/", "https://collector.example.net/#x"} {
		if _, err := NewHTTPS(HTTPSOptions{URL: text}); err == nil || strings.Contains(err.Error(), "canary") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// The address is judged when it is connected to, not when it is read: a name can mean something else a moment later.
func TestANameThatLeadsToAForbiddenAddress(t *testing.T) {
	s, err := NewHTTPS(HTTPSOptions{URL: "https://collector.example.net/"})
	must(t, err)
	transport := s.client.Transport.(*http.Transport)
	dial := transport.DialContext
	transport.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return dial(ctx, network, "169.254.169.254:443") // as a name server would answer
	}
	if err := s.Send(t.Context(), events(0, 1)); !errors.Is(err, ErrAddress) {
		t.Errorf("%v", err)
	}
}

func TestBookmark(t *testing.T) {
	dir := t.TempDir()
	b, err := OpenBookmark(dir, "log", "file")
	if err != nil || b != (Bookmark{Log: "log"}) {
		t.Fatalf("%+v, %v", b, err)
	}
	b.Next, b.Last = 17, tlog.RecordHash([]byte("x"))
	must(t, b.Save(dir, "file"))
	if again, err := OpenBookmark(dir, "log", "file"); err != nil || again != b {
		t.Errorf("%+v, %v", again, err)
	}
	if other, err := OpenBookmark(dir, "another", "file"); err != nil || other != (Bookmark{Log: "another"}) {
		t.Errorf("the bookmark of another log: %+v, %v", other, err)
	}
	for _, text := range []string{"", "{", `{"log":"log","next":-1,"last":""}`, `{"log":"log","next":1,"x":1}`, string(bytes.Repeat([]byte("x"), maxBookmark+1))} {
		must(t, os.WriteFile(filepath.Join(dir, "file.json"), []byte(text), 0o600))
		if _, err := OpenBookmark(dir, "log", "file"); err == nil {
			t.Errorf("%.20q is taken", text)
		}
	}
}
