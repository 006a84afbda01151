package wireguard

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"ropeway/bench"
	"ropeway/internal/key"
	"ropeway/internal/nstest"
	"ropeway/internal/plan"
)

// manyPeers makes peers with random public keys, one tunnel address and two prefixes each.
func manyPeers(tb testing.TB, n int) []*plan.Peer {
	tb.Helper()
	peers := make([]*plan.Peer, n)
	for i := range peers {
		var raw [key.Size]byte
		_, _ = rand.Read(raw[:])
		peers[i] = &plan.Peer{
			Gateway:   fmt.Sprintf("g%05d", i),
			PublicKey: key.PublicFromBytes(raw),
			AllowedIPs: []netip.Prefix{
				netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), 0}), 24),
				netip.PrefixFrom(netip.AddrFrom4([4]byte{100, 65, byte(i >> 8), byte(i)}), 32),
			},
			MTU: 1420,
		}
	}
	return peers
}

// clone makes a plan that shares no memory with another, as one that was read from a file.
func clone(d plan.Device) plan.Device {
	peers := make([]*plan.Peer, len(d.Peers))
	for i, p := range d.Peers {
		c := *p
		c.AllowedIPs = append([]netip.Prefix(nil), p.AllowedIPs...)
		c.Gateway = string([]byte(p.Gateway))
		peers[i] = &c
	}
	d.Peers = peers
	return d
}

// BenchmarkChangeOnePeer changes the prefixes of one peer of 10,000: Apply with a whole new plan, read from elsewhere, against wg syncconf with a whole
// new file. Each works on a device of its own, in a namespace of its own.
func BenchmarkChangeOnePeer(b *testing.B) {
	if _, err := exec.LookPath("wg"); err != nil {
		b.Skip("wg is not installed")
	}
	ours := newEnd(b, nstest.Enter(b), 1)
	theirs := newEnd(b, nstest.New(b), 2)
	ours.device.Peers = manyPeers(b, 10_000)
	theirs.device.Peers = ours.device.Peers
	ours.apply()
	theirs.apply()

	plans := [2]plan.Device{clone(ours.device), clone(ours.device)}
	plans[1].Peers[5000].AllowedIPs[0] = netip.MustParsePrefix("10.200.0.0/24")
	shell := newWgShell(b, theirs)
	files := [2]string{shell.file("0.conf", plans[0]), shell.file("1.conf", plans[1])}
	turn := [2]int{}
	apply := func() (time.Duration, error) {
		turn[0]++
		want := []plan.Device{clone(plans[turn[0]%2])} // fresh memory, as after reading a file
		start := time.Now()
		changes, err := ours.client.Apply(context.Background(), want, ours.keys)
		took := time.Since(start)
		if err == nil && len(changes) != 1 {
			err = fmt.Errorf("%d changes, want 1", len(changes))
		}
		return took, err
	}
	syncconf := func() (time.Duration, error) {
		turn[1]++
		return shell.run("wg syncconf rw0 " + files[turn[1]%2])
	}
	for b.Loop() {
		a, t := bench.Compare(b, 41, apply, syncconf)
		bench.Report(b, a, t, time.Millisecond, 100)
	}
}

// A wgShell runs wg on the devices of an end: wg looks for sockets in /run/wireguard only, so it runs in a mount namespace where that is the end's
// directory.
type wgShell struct {
	tb  testing.TB
	end *end
	dir string
	in  io.Writer
	out *bufio.Reader
}

func newWgShell(tb testing.TB, e *end) *wgShell {
	tb.Helper()
	s := &wgShell{tb: tb, end: e, dir: tb.TempDir()}
	cmd := exec.Command("unshare", "-m", "sh", "-c", `mkdir -p /run/wireguard && mount --bind "$0" /run/wireguard && exec sh`, e.opts.SocketDir)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		tb.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		tb.Fatal(err)
	}
	nstest.In(tb, e.ns, func() { err = cmd.Start() })
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = in.Close(); _ = cmd.Wait() })
	s.in, s.out = in, bufio.NewReader(out)
	return s
}

// run runs a command and waits for it.
func (s *wgShell) run(command string) (time.Duration, error) {
	start := time.Now()
	if _, err := fmt.Fprintln(s.in, command+"; echo $?"); err != nil {
		return 0, err
	}
	line, err := s.out.ReadString('\n')
	took := time.Since(start)
	if err == nil && line != "0\n" {
		err = fmt.Errorf("%s: exit %q", command, line)
	}
	return took, err
}

// file writes a plan as wg's configuration.
func (s *wgShell) file(name string, d plan.Device) string {
	s.tb.Helper()
	var b bytes.Buffer
	private := s.end.private.Reveal()
	fmt.Fprintf(&b, "[Interface]\nPrivateKey = %s\nListenPort = %d\n", base64.StdEncoding.EncodeToString(private[:]), d.ListenPort)
	for _, p := range d.Peers {
		fmt.Fprintf(&b, "[Peer]\nPublicKey = %s\nAllowedIPs = %s, %s\n", p.PublicKey, p.AllowedIPs[0], p.AllowedIPs[1])
	}
	path := filepath.Join(s.dir, name)
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		s.tb.Fatal(err)
	}
	return path
}
