package e2e

import (
	"encoding/json"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"ropeway/internal/lab/netns"
	"ropeway/internal/verify"
)

// silentAccess lets one side of silentPort open connections. The lab's own servers take the ends of the range.
const (
	silentAccess = "    - {from: site/hq, to: region/use1, ports: [tcp/9000-9002]}\n"
	silentPort   = "9001"
)

// A download is a TCP connection whose server sends all the time, and whose client says nothing once it is made: where an answer is dropped that nobody asked for, no
// question of the client comes to help.
type download struct {
	t        *testing.T
	lab      string
	from, to netip.Addr
	got      atomic.Int64 // bytes
}

// newDownload begins one from a host of use1 to a host of hq. It ends with the test.
func newDownload(t *testing.T, lab string) *download {
	t.Helper()
	client, server := hostOf(t, lab, "hq.host1"), hostOf(t, lab, "use1.host1")
	d := &download{t: t, lab: lab, from: addressIn(t, client, "192.168.0.0/16"), to: addressIn(t, server, "10.10.0.0/16")}
	var listener net.Listener
	var c net.Conn
	err := server.Do(func() (err error) {
		config := net.ListenConfig{KeepAlive: -1}
		listener, err = config.Listen(t.Context(), "tcp", net.JoinHostPort(d.to.String(), silentPort))
		return err
	})
	if err == nil {
		t.Cleanup(func() { _ = listener.Close() })
		err = client.Do(func() (err error) {
			dialer := net.Dialer{KeepAlive: -1, Timeout: 10 * time.Second, LocalAddr: &net.TCPAddr{IP: d.from.AsSlice()}}
			c, err = dialer.DialContext(t.Context(), "tcp", listener.Addr().String())
			return err
		})
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	go d.serve(listener)
	go d.receive(c)
	return d
}

// serve sends 100 kB a second until the connection is closed.
func (d *download) serve(listener net.Listener) {
	c, err := listener.Accept()
	if err != nil {
		return
	}
	defer c.Close()
	for err == nil {
		_, err = c.Write(make([]byte, 1000))
		time.Sleep(10 * time.Millisecond)
	}
}

func (d *download) receive(c net.Conn) {
	buf := make([]byte, 1<<16)
	for {
		n, err := c.Read(buf)
		if err != nil {
			return
		}
		d.got.Add(int64(n))
	}
}

// carrier returns which of those gateways the prover says that it crosses now.
func (d *download) carrier(file string, among ...string) string {
	d.t.Helper()
	out := must(d.t, 0, "trace", file, d.from.String(), d.to.String(), "--proto", "tcp", "--port", silentPort, "-o", "json").out
	var trace verify.Trace
	if err := json.Unmarshal([]byte(out), &trace); err != nil {
		d.t.Fatal(err)
	}
	i := slices.IndexFunc(trace.Forward.Gateways, func(g string) bool { return slices.Contains(among, g) })
	if i < 0 {
		d.t.Fatalf("none of %v carries what goes by %v", among, trace.Forward.Gateways)
	}
	return trace.Forward.Gateways[i]
}

// goesOn waits until a second's worth more has come, and returns how long that took. A TCP that has lost for a second or two sends again after one or two more.
func (d *download) goesOn(after string) {
	d.t.Helper()
	const more, patience = 100_000, 15 * time.Second
	begun, before := time.Now(), d.got.Load()
	for d.got.Load() < before+more {
		if time.Since(begun) > patience {
			d.t.Fatalf("%s: the download had %d bytes more within %v", after, d.got.Load()-before, patience)
		}
		time.Sleep(50 * time.Millisecond)
	}
	d.t.Logf("%s: the download went on, and had %d bytes more after %v", after, more, time.Since(begun).Round(time.Millisecond))
}

// hostOf opens the network namespace of a machine.
func hostOf(t *testing.T, lab, machine string) *netns.Space {
	t.Helper()
	space, err := netns.Open("rwlab." + lab + "." + machine)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = space.Close() })
	return space
}

// addressIn returns the first address of a machine in a prefix.
func addressIn(t *testing.T, space *netns.Space, prefix string) (found netip.Addr) {
	t.Helper()
	err := space.Do(func() error {
		list, err := net.InterfaceAddrs()
		for _, a := range list {
			if p, err := netip.ParsePrefix(strings.TrimSpace(a.String())); err == nil && netip.MustParsePrefix(prefix).Contains(p.Addr()) && !found.IsValid() {
				found = p.Addr()
			}
		}
		return err
	})
	if err != nil || !found.IsValid() {
		t.Fatalf("%s has no address in %s: %v", space.Name, prefix, err)
	}
	return found
}
