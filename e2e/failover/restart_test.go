package failover

import (
	"encoding/binary"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netns"

	"ropeway/internal/nstest"
)

// A restart is two ends of a plain WireGuard tunnel, of which the far one is killed and started again with the same key. It says nothing of its own accord, so the near one
// goes on in a session that is gone until it gives up on it, 15 s later (KEEPALIVE_TIMEOUT + REKEY_TIMEOUT; WireGuard whitepaper, section 6.5). Ours begins a handshake
// instead (see internal/wireguard/greet.go).
type restart struct {
	b         *testing.B
	near, far *plainEnd
	probes    net.Conn // from the near end to an echo at the far one
}

// A plainEnd is a device of the upstream wireguard-go, configured by wg(8).
type plainEnd struct {
	b                     *testing.B
	ns                    netns.NsHandle
	program, device, conf string
	address               string
	process               *exec.Cmd
}

func newRestart(b *testing.B) *restart {
	b.Helper()
	program := strings.TrimSpace(output(b, "", "../../tools/build", "upstream-wireguard"))
	here := nstest.Enter(b)
	there := nstest.New(b)
	nstest.Veth(b, here, "192.0.2.1/24", there, "192.0.2.2/24")
	end := func(ns netns.NsHandle, letter, address string) *plainEnd {
		return &plainEnd{b: b, ns: ns, program: program, device: fmt.Sprintf("wgb%d%s", os.Getpid(), letter), address: address, conf: filepath.Join(b.TempDir(), "conf")}
	}
	r := &restart{b, end(here, "a", "100.64.0.1"), end(there, "b", "100.64.0.2"), nil}
	keys := [2]string{output(b, "", "wg", "genkey"), output(b, "", "wg", "genkey")}
	for i, e := range []*plainEnd{r.near, r.far} {
		peer := output(b, keys[1-i], "wg", "pubkey")
		conf := fmt.Sprintf("[Interface]\nPrivateKey = %sListenPort = 51820\n[Peer]\nPublicKey = %sEndpoint = 192.0.2.%d:51820\nAllowedIPs = 100.64.0.0/24\n", keys[i], peer, 2-i)
		if err := os.WriteFile(e.conf, []byte(conf), 0o600); err != nil {
			b.Fatal(err)
		}
		e.start()
		b.Cleanup(e.kill)
	}
	nstest.In(b, there, func() { echo(b, ":7") })
	nstest.In(b, here, func() {
		var err error
		if r.probes, err = net.Dial("udp", "100.64.0.2:7"); err != nil {
			b.Fatal(err)
		}
	})
	b.Cleanup(func() { _ = r.probes.Close() })
	return r
}

// start starts the device and gives it its configuration and address.
func (e *plainEnd) start() {
	e.b.Helper()
	nstest.In(e.b, e.ns, func() {
		e.process = exec.Command(e.program, "-f", e.device) //nolint:noctx // kill ends it
		if err := e.process.Start(); err != nil {
			e.b.Fatal(err)
		}
		for deadline := time.Now().Add(5 * time.Second); exec.CommandContext(e.b.Context(), "wg", "setconf", e.device, e.conf).Run() != nil; {
			if time.Now().After(deadline) {
				e.b.Fatalf("%s takes no configuration", e.device)
			}
			time.Sleep(10 * time.Millisecond)
		}
		output(e.b, "", "ip", "address", "add", e.address+"/24", "dev", e.device)
		output(e.b, "", "ip", "link", "set", e.device, "up")
	})
}

func (e *plainEnd) kill() {
	if e.process == nil {
		return
	}
	_ = e.process.Process.Kill() // it has ended where that fails
	_ = e.process.Wait()         // by a signal, which is an error
	e.process = nil
	_ = os.Remove("/run/wireguard/" + e.device + ".sock")
}

// blackout kills the far end, starts it again, and returns for how long the near one got no answer.
func (r *restart) blackout() time.Duration {
	r.b.Helper()
	answers := make(chan uint64, 1<<12)
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.listen(answers)
	}()
	defer func() { _ = r.probes.SetReadDeadline(time.Now()); <-done; _ = r.probes.SetReadDeadline(time.Time{}) }()
	r.until(answers, time.Now()) // before, all is well
	killed := time.Now()
	r.far.kill()
	r.far.start()
	return r.until(answers, killed).Sub(killed)
}

// until sends a probe every 10 ms and returns when the first of those was sent that was answered, of all since some moment.
func (r *restart) until(answers <-chan uint64, since time.Time) time.Time {
	r.b.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for limit := time.After(time.Minute); ; {
		select {
		case sent := <-answers:
			if at := time.Unix(0, int64(sent)); at.After(since) {
				return at
			}
		case <-tick.C:
			_, _ = r.probes.Write(binary.BigEndian.AppendUint64(nil, uint64(time.Now().UnixNano()))) // lost like any packet
		case <-limit:
			r.b.Fatal("no packet comes back from a plain tunnel")
		}
	}
}

// listen hands on what comes back, until the deadline for reading.
func (r *restart) listen(answers chan<- uint64) {
	buf := make([]byte, 8)
	for {
		n, err := r.probes.Read(buf)
		if os.IsTimeout(err) {
			return
		}
		if err == nil && n == len(buf) {
			select {
			case answers <- binary.BigEndian.Uint64(buf):
			default: // more than anybody asks for
			}
		}
	}
}

// echo sends datagrams back, until the end of the benchmark.
func echo(b *testing.B, address string) {
	b.Helper()
	conn, err := net.ListenPacket("udp", address)
	if err != nil {
		b.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, 1<<11)
		for {
			n, from, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			_, _ = conn.WriteTo(buf[:n], from) // lost like any packet
		}
	}()
	b.Cleanup(func() { _ = conn.Close(); <-done })
}

// output runs a program and returns what it printed.
func output(b *testing.B, in, program string, args ...string) string {
	b.Helper()
	cmd := exec.CommandContext(b.Context(), program, args...)
	cmd.Stdin = strings.NewReader(in)
	out, err := cmd.Output()
	if err != nil {
		b.Fatalf("%s %s: %v", program, strings.Join(args, " "), err)
	}
	return string(out)
}
