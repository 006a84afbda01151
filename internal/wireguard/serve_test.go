package wireguard

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"log"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/tailscale/wireguard-go/device"
	"github.com/tailscale/wireguard-go/tun/tuntest"
	"golang.org/x/sys/unix"

	"ropeway/internal/key"
)

// testServer is a server on a device whose interface is a channel, and what it logs.
func testServer(tb testing.TB) (*server, *bytes.Buffer) {
	tb.Helper()
	var out bytes.Buffer
	r := newRoamer()
	dev := device.NewDevice(tuntest.NewChannelTUN().TUN(), r, logger(log.New(&out, "", 0)))
	tb.Cleanup(dev.Close)
	in, err := look(dev)
	if err != nil {
		tb.Fatal(err)
	}
	r.inside.Store(in)
	return newServer(dev, r, "tun"), &out
}

// TestSinglePeersAreToldAsAll holds what is read of single peers against what get says of all.
func TestSinglePeersAreToldAsAll(t *testing.T) {
	s, _ := testServer(t)
	own := mustKey(t)
	keepalive := 25
	set := appendConfig(nil, config{Private: &own, Peers: []section{
		{PublicKey: numbered(1), Endpoint: wantEndpoint("192.0.2.1:1"), Keepalive: &keepalive, AllowedIPs: prefixes("10.0.0.0/8", "2001:db8::/32")},
		{PublicKey: numbered(2), Endpoint: wantEndpoint("[2001:db8::1]:7")},
		{PublicKey: numbered(3)},
	}})
	if err := s.set(string(set[len(opSet)+1:])); err != nil {
		t.Fatal(err)
	}
	for _, k := range []key.Public{numbered(1), numbered(2), numbered(3), numbered(4)} {
		raw := k.Bytes()
		var one, all bytes.Buffer
		body := "public_key=" + hex.EncodeToString(raw[:]) + "\nupdate_only=true\n"
		if err := s.change(&one, fmt.Sprint(s.count), body); err != nil {
			t.Fatal(err)
		}
		if err := s.get(&all); err != nil {
			t.Fatal(err)
		}
		p, q := parse(t, one.String()), parse(t, all.String())
		if want := find(q, k); fmt.Sprint(find(p, k)) != fmt.Sprint(want) || len(p.Peers) > 1 {
			t.Errorf("peer %s: %v, want %v", k, p.Peers, want)
		}
	}
}

func parse(t *testing.T, text string) status {
	t.Helper()
	var p parser
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
		if err := p.line([]byte(name), []byte(value)); err != nil {
			t.Fatal(err)
		}
	}
	finish(p.status.Peers, time.Now())
	return p.status
}

func find(s status, k key.Public) *Peer {
	for i := range s.Peers {
		if s.Peers[i].PublicKey == k {
			return &s.Peers[i]
		}
	}
	return nil
}

func TestCountGuardsAChange(t *testing.T) {
	s, _ := testServer(t)
	var out bytes.Buffer
	before := s.count
	body := "public_key=" + strings.Repeat("01", key.Size) + "\n"
	if err := s.change(&out, fmt.Sprint(before-1), body); errno(err) == 0 || s.count != before {
		t.Errorf("an old count was taken: %v", err)
	}
	if err := s.change(&out, fmt.Sprint(before), ""); err != nil || s.count != before {
		t.Errorf("asking for the count changed it: %v", err)
	}
	if err := s.change(&out, fmt.Sprint(before), "listen_port=7\n"); errno(err) == 0 || s.count != before {
		t.Errorf("a change of the device was taken: %v", err)
	}
	if err := s.change(&out, fmt.Sprint(before), body); err != nil || s.count != before+1 {
		t.Errorf("the right count was refused: %v", err)
	}
}

// TestDrop takes prefixes from whoever has them, and leaves the rest and the list of peers as they are.
func TestDrop(t *testing.T) {
	s, _ := testServer(t)
	set := appendConfig(nil, config{Peers: []section{
		{PublicKey: numbered(1), AllowedIPs: prefixes("10.0.0.0/8", "10.1.0.0/16", "2001:db8::/32")},
		{PublicKey: numbered(2), AllowedIPs: prefixes("10.1.2.0/24", "192.0.2.0/24")},
	}})
	if err := s.set(string(set[len(opSet)+1:])); err != nil {
		t.Fatal(err)
	}
	before := s.count
	var out bytes.Buffer
	if err := s.change(&out, fmt.Sprint(before), lineDrop+"10.1.0.0/16\n"+lineDrop+"192.0.2.0/24\n"+lineDrop+"198.51.100.0/24\n"); err != nil || s.count != before+1 {
		t.Fatalf("count %d after %d, %v", s.count, before, err)
	}
	if err := s.get(&out); err != nil {
		t.Fatal(err)
	}
	all := parse(t, out.String())
	for k, want := range map[key.Public]string{numbered(1): "[10.0.0.0/8 2001:db8::/32]", numbered(2): "[10.1.2.0/24]"} {
		if p := find(all, k); p == nil || fmt.Sprint(p.AllowedIPs) != want || len(all.Peers) != 2 {
			t.Errorf("peer %s of %d: %v, want %s", k, len(all.Peers), p, want)
		}
	}
}

// TestAnnouncement is that of a change which comes, or does not: the device cannot tell from what was asked otherwise.
func TestAnnouncement(t *testing.T) {
	s, _ := testServer(t)
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	there := os.NewFile(uintptr(fds[1]), "device")
	conn, err := net.FileConn(there)
	if err := errors.Join(err, there.Close()); err != nil {
		t.Fatal(err)
	}
	count, change := s.count, []section{{PublicKey: numbered(1), AllowedIPs: prefixes("10.0.0.0/8")}}
	done := make(chan struct{})
	go func() { defer close(done); s.converse(conn); _ = conn.Close() }()
	c := &socket{fd: fds[0]}
	c.r = bufio.NewReader(c)
	defer func() { _ = c.close(); <-done }()

	c.announce(count)
	c.announce(count)
	if st, err := c.change(count, change); err != nil || st.Count != count+1 || find(st, numbered(1)) == nil {
		t.Fatalf("the change that was announced: %+v, %v", st, err)
	}
	c.announce(count) // an old one
	if _, err := c.change(count, change); !errors.Is(err, errCount) {
		t.Errorf("an old count was announced, and taken: %v", err)
	}
	c.announce(count)
	if st, err := c.change(count+1, change); err != nil || st.Count != count+2 {
		t.Errorf("another change than was announced: %+v, %v", st, err)
	}
	c.announce(count + 2)
	if st, err := c.read(); err != nil || st.Count != count+2 || len(st.Peers) != 1 {
		t.Errorf("a change was announced and did not come: %+v, %v", st, err)
	}
	if st, err := c.heard(); err != nil || st.Count != count+2 || len(st.Peers) != 0 {
		t.Errorf("nobody was heard: %+v, %v", st, err)
	}
}

// talk sends bytes to a server and returns what it answers until it hangs up or is silent.
func talk(tb testing.TB, s *server, request string) string {
	tb.Helper()
	here, there := net.Pipe()
	done := make(chan struct{})
	go func() { defer close(done); s.converse(there); _ = there.Close() }()
	go func() { _, _ = here.Write([]byte(request)); _, _ = here.Write([]byte("end\n\n")) }() // "end" is no operation: it hangs up
	_ = here.SetReadDeadline(time.Now().Add(5 * time.Second))
	var out strings.Builder
	_, _ = bufio.NewReader(here).WriteTo(&out)
	_ = here.Close()
	<-done
	return out.String()
}

func TestHostileRequests(t *testing.T) {
	s, logged := testServer(t)
	secret := strings.Repeat("5e", key.Size)
	for name, request := range map[string]string{
		"no operation":       "hello\n\n",
		"no key":             "set=1\npublic_key=zz\n\n",
		"secret as a line":   "set=1\n" + secret + "\n\n",
		"secret as a name":   "set=1\n" + secret + "=1\n\n",
		"a long line":        "set=1\n" + strings.Repeat("x", 1<<20) + "\n\n",
		"bad count":          opChange + "-1\n\n",
		"bad prefix":         "set=1\npublic_key=" + strings.Repeat("02", key.Size) + "\nallowed_ip=10.0.0.0/99\n\n",
		"cut":                "set=1\npublic_key=",
		"NUL":                "set=1\n\x00=\x00\n\n",
		"change without key": opChange + "1\nallowed_ip=10.0.0.0/8\n\n",
		"drop of no prefix":  opChange + fmt.Sprint(s.count) + "\n" + lineDrop + "10.0.0.0/99\n\n",
		"drop among peers":   opChange + fmt.Sprint(s.count) + "\npublic_key=" + strings.Repeat("02", key.Size) + "\n" + lineDrop + "10.0.0.0/8\n\n",
	} {
		answer := talk(t, s, request)
		if strings.Contains(answer, "errno=0") {
			t.Errorf("%s: taken: %q", name, answer)
		}
		if strings.Contains(answer, secret) {
			t.Errorf("%s: the answer repeats the secret", name)
		}
	}
	if strings.Contains(logged.String(), secret) {
		t.Errorf("the log repeats the secret:\n%s", logged)
	}
	if got := talk(t, s, "get=1\n\n"); !strings.Contains(got, "errno=0") {
		t.Errorf("after all of them: %q", got)
	}
}

func FuzzServer(f *testing.F) {
	s, _ := testServer(f)
	f.Add("set=1\npublic_key=" + strings.Repeat("01", key.Size) + "\nallowed_ip=10.0.0.0/8\n")
	f.Add(opChange + "1\n")
	f.Add(opChange + "1\n" + lineDrop + "10.0.0.0/8\n")
	f.Add(opAll + "\n")
	f.Add(opHeard + "\n")
	f.Fuzz(func(t *testing.T, request string) {
		if strings.Contains(request, "listen_port") { // opens sockets
			t.Skip()
		}
		op, body, _ := strings.Cut(request, "\n")
		if op == opStart {
			t.Skip()
		}
		var out bytes.Buffer
		err := s.answer(&out, op, body)
		if err == nil {
			parse(t, out.String())
		}
		_ = errno(err)
	})
}

func FuzzAnswer(f *testing.F) {
	f.Add("public_key=" + strings.Repeat("01", key.Size) + "\nallowed_ip=10.0.0.0/8\nerrno=0\n\n")
	f.Fuzz(func(t *testing.T, answer string) {
		pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = errors.Join(unix.Close(pair[0]), unix.Close(pair[1])) }()
		s := &socket{fd: pair[0], r: bufio.NewReaderSize(strings.NewReader(answer), 16<<10)}
		if st, err := s.ask([]byte("get=1\n\n")); err == nil {
			for _, p := range st.Peers {
				for _, a := range p.AllowedIPs {
					if !a.IsValid() {
						t.Error("an invalid prefix came through")
					}
				}
			}
		}
	})
}
