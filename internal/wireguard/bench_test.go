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
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netns"

	"ropeway/bench"
	"ropeway/internal/key"
	"ropeway/internal/nstest"
	"ropeway/internal/plan"
)

// manyPeers makes peers with random public keys, one tunnel address and two prefixes each.
func manyPeers(n int) []*plan.Peer {
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
// new file. Each works on a device of its own, in a namespace of its own, and is a process of its own.
func BenchmarkChangeOnePeer(b *testing.B) {
	if _, err := exec.LookPath("wg"); err != nil {
		b.Skip("wg is not installed")
	}
	theirs := newEnd(b, nstest.Enter(b), 1)
	theirs.device.Peers = manyPeers(10_000)
	theirs.apply()
	self, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	ours := newShell(b, nstest.New(b), self, "turns", b.TempDir())

	plans := changedPlans(theirs.device)
	shell := newShell(b, theirs.ns, theirs.inItsDirectory("sh")...)
	files := [2]string{confFile(b, theirs, "0.conf", plans[0]), confFile(b, theirs, "1.conf", plans[1])}
	turn := 0
	for b.Loop() {
		x, y := bench.Compare(b, 41, func() (time.Duration, error) {
			text, _, err := ours.run("turn")
			if err != nil {
				return 0, err
			}
			return time.ParseDuration(text)
		}, func() (time.Duration, error) {
			turn++
			text, took, err := shell.run("wg syncconf rw0 " + files[turn%2] + "; echo $?")
			if err == nil && text != "0" {
				err = fmt.Errorf("wg syncconf: exit %q", text)
			}
			return took, err
		})
		bench.Report(b, x, y, time.Millisecond, 100)
	}
}

// changedPlans returns a plan and one that gives one of its peers another prefix.
func changedPlans(d plan.Device) [2]plan.Device {
	plans := [2]plan.Device{clone(d), clone(d)}
	plans[1].Peers[5000].AllowedIPs[0] = netip.MustParsePrefix("10.200.0.0/24")
	return plans
}

// takeTurns is our side of BenchmarkChangeOnePeer, as an agent is: for every line of input it applies the other of two plans to a device with 10,000
// peers, and prints how long it took.
func takeTurns(dir string) error {
	ctx := context.Background()
	private, err := key.NewPrivate()
	if err != nil {
		return err
	}
	keys := func(string) (key.Private, error) { return private, nil }
	c := New(Options{SocketDir: dir, LogDir: dir, Command: []string{os.Args[0], "device", dir}, Backend: Userspace})
	defer func() { _, _ = c.Remove(ctx) }()
	plans := changedPlans(plan.Device{Name: "rw0", ListenPort: 51820, MTU: 1420, Peers: manyPeers(10_000)})
	if _, err := c.Apply(ctx, plans[:1], keys); err != nil {
		return err
	}
	turn := 0
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		turn++
		want := []plan.Device{clone(plans[turn%2])} // fresh memory, as after reading a file
		runtime.GC()                                // what reading left is not Apply's to clean
		start := time.Now()
		changes, err := c.Apply(ctx, want, keys)
		took := time.Since(start)
		if err != nil || len(changes) != 1 {
			return fmt.Errorf("%d changes, %w", len(changes), err)
		}
		fmt.Println(took)
	}
	return nil
}

// A shell is a process that answers every line with a line.
type shell struct {
	in  io.Writer
	out *bufio.Reader
}

func newShell(tb testing.TB, ns netns.NsHandle, command ...string) *shell {
	tb.Helper()
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		tb.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		tb.Fatal(err)
	}
	nstest.In(tb, ns, func() { err = cmd.Start() })
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		_ = in.Close()
		if err := cmd.Wait(); err != nil {
			tb.Errorf("%s: %v", command[0], err)
		}
	})
	return &shell{in, bufio.NewReader(out)}
}

// run sends a line and returns the answer and how long it took.
func (s *shell) run(line string) (string, time.Duration, error) {
	start := time.Now()
	if _, err := fmt.Fprintln(s.in, line); err != nil {
		return "", 0, err
	}
	answer, err := s.out.ReadString('\n')
	return strings.TrimSpace(answer), time.Since(start), err
}

// confFile writes a plan as wg's configuration.
func confFile(tb testing.TB, e *end, name string, d plan.Device) string {
	tb.Helper()
	var b bytes.Buffer
	private := e.private.Reveal()
	fmt.Fprintf(&b, "[Interface]\nPrivateKey = %s\nListenPort = %d\n", base64.StdEncoding.EncodeToString(private[:]), d.ListenPort)
	for _, p := range d.Peers {
		fmt.Fprintf(&b, "[Peer]\nPublicKey = %s\nAllowedIPs = %s, %s\n", p.PublicKey, p.AllowedIPs[0], p.AllowedIPs[1])
	}
	path := filepath.Join(tb.TempDir(), name)
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		tb.Fatal(err)
	}
	return path
}
