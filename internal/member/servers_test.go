package member

import (
	"io"
	"log"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"ropeway/internal/authority"
)

// Where all controllers are is learnt from any of them, kept, and survives what makes no sense.
func TestLearn(t *testing.T) {
	_, path := enrolled(t)
	m, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	const first, second, third = "https://192.0.2.1:8443", "https://b.example.net:8443", "https://[2001:db8::1]:8443"
	m.learn(first, second+","+third+",http://evil,https://,,"+second+",https://u:p@x,\x00,"+first)
	want := []string{first, second, third}
	if !slices.Equal(m.Servers, want) {
		t.Errorf("learnt %v", m.Servers)
	}
	if again, err := Load(path); err != nil || !slices.Equal(again.Servers, want) {
		t.Errorf("kept %v, %v", again, err)
	}
	for after, next := range map[string]string{"": first, first: second, second: third, third: first, "https://gone": first} {
		if got := m.Next(after); got != next {
			t.Errorf("after %q comes %s, want %s", after, got, next)
		}
	}
	m.learn("https://nat.example.net", second) // it answers to a name that it does not know itself
	if !slices.Equal(m.Servers, []string{"https://nat.example.net", second}) {
		t.Errorf("learnt %v", m.Servers)
	}
	m.learn(first, strings.Repeat(second+"0,", 100)+strings.Join(slices.Repeat([]string{"https://c:1"}, 10), ","))
	if len(m.Servers) > mostServers {
		t.Errorf("learnt %d", len(m.Servers))
	}
}

// A controller answers to healthz, and says where others are.
func serveAlive(t *testing.T, ca *authority.Authority, status int, says string) string {
	t.Helper()
	config, err := ca.ServerTLS("one", authority.Hosts{IPs: []net.IP{net.IPv4(127, 0, 0, 1)}}, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{TLSConfig: config, ErrorLog: log.New(io.Discard, "", 0), Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set(addressHeader, says)
		w.WriteHeader(status)
	})}
	go func() { _ = server.ServeTLS(l, "", "") }()
	t.Cleanup(func() { _ = server.Close() })
	return "https://" + l.Addr().String()
}

// deaf accepts connections and says nothing.
func deaf(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return "https://" + l.Addr().String()
}

// Of several controllers one is taken that works, whatever is the matter with the others.
func TestSettle(t *testing.T) {
	_, path := enrolled(t)
	m, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	ca, err := authority.Open(filepath.Join(t.TempDir(), "ca"), "shop", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	pin := ca.Pin()
	m.Pin = pin[:]
	other, err := authority.Open(filepath.Join(t.TempDir(), "other"), "shop", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	m.Chain = nil // the servers of this test ask for no certificate
	works := serveAlive(t, ca, http.StatusOK, "https://a:1,https://b:1")
	lost := serveAlive(t, ca, http.StatusServiceUnavailable, "")
	stranger := serveAlive(t, other, http.StatusOK, "")
	all := []string{"https://127.0.0.1:1", stranger, lost, deaf(t), works}
	m.Servers = slices.Clone(all)
	m.Settle(t.Context())
	if m.Servers[0] != works {
		t.Errorf("it settled on %s of %v", m.Servers[0], all)
	}
	dead := []string{"https://127.0.0.1:1", stranger}
	m.Servers = slices.Clone(dead)
	m.Settle(t.Context())
	if !slices.Equal(m.Servers, dead) {
		t.Errorf("none works: %v", m.Servers)
	}
}
