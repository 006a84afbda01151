package controller

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"

	ropewayv1 "ropeway/api/ropeway/v1"
	"ropeway/api/ropeway/v1/ropewayv1connect"
)

// TestTooManyCalls: whoever calls without a pause is told so, with a code, and others are answered meanwhile.
func TestTooManyCalls(t *testing.T) {
	begun := time.Now()
	h := serveHere(t, func(o *Options) { o.Now = func() time.Time { return begun } }) // however slow the machine is, no time passes
	h.apply(0, file(open))
	loud, quiet := h.somebody("viewer/loud").fabric(), h.somebody("viewer/quiet").fabric()
	var mu sync.Mutex
	codes := map[string]int{}
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range memberBurst {
				_, err := loud.ListRevisions(t.Context(), &ropewayv1.ListRevisionsRequest{})
				mu.Lock()
				switch {
				case err == nil:
					codes["answered"]++
				case connect.CodeOf(err) == connect.CodeResourceExhausted && strings.Contains(err.Error(), "RW7601"):
					codes["refused"]++
				default:
					codes[err.Error()]++
				}
				mu.Unlock()
			}
		})
	}
	all.Wait()
	if codes["answered"] != memberBurst || codes["refused"] != 7*memberBurst || len(codes) != 2 {
		t.Errorf("%v", codes)
	}
	if _, err := quiet.ListRevisions(t.Context(), &ropewayv1.ListRevisionsRequest{}); err != nil {
		t.Errorf("another one: %v", err)
	}
}

// TestCallsAtOnce: a member has so many calls answered at once and no more, and those who came and went leave room.
func TestCallsAtOnce(t *testing.T) {
	m := &meters{all: map[string]*meter{}}
	now := time.Now()
	var ends []func()
	for range callsAtOnce {
		end, err := m.begin("viewer/ann", 1, 1000, now)
		must(t, err)
		ends = append(ends, end)
	}
	if _, err := m.begin("viewer/ann", 1, 1000, now); codeOf(err) != "RW7602" {
		t.Errorf("one too many: %v", err)
	}
	if _, err := m.begin("viewer/bob", 1, 1000, now); err != nil {
		t.Errorf("another: %v", err)
	}
	ends[0]()
	if _, err := m.begin("viewer/ann", 1, 1000, now); err != nil {
		t.Errorf("after one was answered: %v", err)
	}
	for n := range 2 * mostMeters {
		if end, err := m.begin(fmt.Sprint(n), 1, 1, now); err == nil {
			end()
		}
	}
	if len(m.all) > mostMeters || m.all["viewer/ann"] == nil {
		t.Errorf("%d are remembered", len(m.all))
	}
}

// TestTooLarge: what is larger than its sender needs is refused before it is read.
func TestTooLarge(t *testing.T) {
	h := serveHere(t)
	h.apply(0, file(open))
	big := make([]byte, mostMessage+1)
	_, err := h.somebody("viewer/ann").fabric().Preview(t.Context(), &ropewayv1.PreviewRequest{File: big})
	if connect.CodeOf(err) != connect.CodeResourceExhausted || !strings.Contains(err.Error(), "RW7603") {
		t.Errorf("a file: %v", err)
	}
	_, err = h.somebody("gateway/gw1").gateway("h2").Report(t.Context(), &ropewayv1.ReportRequest{Message: strings.Repeat("x", mostOfGateway)})
	if connect.CodeOf(err) != connect.CodeResourceExhausted || !strings.Contains(err.Error(), "RW7603") {
		t.Errorf("a report: %v", err)
	}
	nobody := &somebody{h: h}
	_, err = ropewayv1connect.NewEnrollmentServiceClient(nobody.http(t, "h2"), h.url()).Enroll(t.Context(), &ropewayv1.EnrollRequest{Csr: make([]byte, mostOfNobody)})
	if connect.CodeOf(err) != connect.CodeResourceExhausted {
		t.Errorf("a request of nobody: %v", err)
	}
	// One that does not say beforehand how much it sends is read as far as it may be.
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, h.url()+ropewayv1connect.EnrollmentServiceEnrollProcedure, io.MultiReader(strings.NewReader(`{"token":"`), bytes.NewReader(bytes.Repeat([]byte("x"), 4*mostOfNobody))))
	must(t, err)
	req.Header.Set("Content-Type", "application/json")
	answer, err := nobody.http(t, "h2").Do(req)
	if err == nil {
		text, _ := io.ReadAll(answer.Body)
		_ = answer.Body.Close()
		if answer.StatusCode == http.StatusOK || !strings.Contains(string(text), "resource_exhausted") {
			t.Errorf("an endless one: %s %s", answer.Status, text)
		}
	}
	for name, header := range map[string]string{"one header": strings.Repeat("x", 4*mostHeader), "a line break": "a\r\n b"} {
		got := nobody.raw("POST /ropeway.v1.EnrollmentService/Enroll HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nX: " + header + "\r\nContent-Length: 2\r\n\r\n{}")
		if strings.HasPrefix(got, "HTTP/1.1 200") {
			t.Errorf("%s: %s", name, got)
		}
	}
}

// TestWhatAStrangerSees: without a certificate there is "alive", and a token that does not serve; nothing tells more.
func TestWhatAStrangerSees(t *testing.T) {
	h := serveHere(t)
	h.apply(0, file(open))
	nobody := &somebody{h: h}
	for _, protocol := range []string{"h2", "http/1.1"} {
		client := nobody.http(t, protocol)
		for _, path := range []string{"/", "/healthz", "/metrics", "/debug/pprof/", "/ropeway.v1.FabricService/ListGateways", "/ropeway.v1.FabricService", "/.well-known/x", "/favicon.ico"} {
			for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodOptions, http.MethodHead, "PROPFIND"} {
				req, err := http.NewRequestWithContext(t.Context(), method, h.url()+path, strings.NewReader(""))
				must(t, err)
				answer, err := client.Do(req)
				must(t, err)
				text, err := io.ReadAll(answer.Body)
				must(t, err)
				_ = answer.Body.Close()
				alive := path == "/healthz" && method == http.MethodGet
				if alive != (answer.StatusCode == http.StatusOK) || alive && string(text) != "alive\n" || !alive && len(text) > 0 && !strings.Contains(string(text), errDenied.Error()) {
					t.Errorf("%s %s %s: %s %q", protocol, method, path, answer.Status, text)
				}
				for key := range answer.Header {
					if strings.EqualFold(key, "Server") {
						t.Errorf("%s tells who serves", path)
					}
				}
			}
		}
	}
}

// TestHandshakesThatNeverFinish: those who connect and say nothing are cut off, and meanwhile keep nobody out.
func TestHandshakesThatNeverFinish(t *testing.T) {
	h := serveHere(t)
	h.apply(0, file(open))
	ann := h.somebody("viewer/ann")
	var silent []net.Conn
	for range 40 {
		conn, err := net.Dial("tcp", h.address)
		must(t, err)
		defer func() { _ = conn.Close() }()
		silent = append(silent, conn)
	}
	half, err := net.Dial("tcp", h.address)
	must(t, err)
	defer func() { _ = half.Close() }()
	_, err = half.Write([]byte("\x16\x03\x01\x02\x00\x01")) // the beginning of a record
	must(t, err)
	if _, err := ann.fabric().ListRevisions(t.Context(), &ropewayv1.ListRevisionsRequest{}); err != nil {
		t.Errorf("somebody else meanwhile: %v", err)
	}
	for _, conn := range append(silent, half) {
		must(t, conn.SetReadDeadline(time.Now().Add(time.Minute)))
		if _, err := io.Copy(io.Discard, conn); err != nil && strings.Contains(err.Error(), "timeout") {
			t.Errorf("it is open after a minute")
		}
	}
}

// TestManyConnectionsOfOne: a member has so many connections and no more, and may have another when one has ended.
func TestManyConnectionsOfOne(t *testing.T) {
	h := serveHere(t)
	ann := h.somebody("viewer/ann")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	dial := func() (*tls.Conn, error) {
		conn, err := (&tls.Dialer{Config: ann.config("h2")}).DialContext(ctx, "tcp", h.address)
		if err != nil {
			return nil, err
		}
		c := conn.(*tls.Conn)
		_ = c.SetReadDeadline(time.Now().Add(time.Minute))
		_, err = c.Read(make([]byte, 1)) // SETTINGS, once it is let in
		return c, err
	}
	var open []*tls.Conn
	for range 16 {
		c, err := dial()
		must(t, err)
		defer func() { _ = c.Close() }()
		open = append(open, c)
	}
	if _, err := dial(); err == nil {
		t.Error("one too many was let in")
	}
	_ = open[0].Close()
	eventually(t, "there is room again", func() bool {
		c, err := dial()
		if err == nil {
			defer func() { _ = c.Close() }()
		}
		return err == nil
	})
}
