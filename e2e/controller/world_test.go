// Package controller_test drives the three programs together: a real controller, people who speak to it, and real gateways in network namespaces
// with hosts behind them, joined by a wire that stands for the Internet.
package controller_test

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"ropeway/e2e/testbuild"
	"ropeway/internal/nstest"
)

// programs is the directory of the programs under test, built once, with failpoints.
var programs string

func TestMain(m *testing.M) {
	os.Exit(testbuild.Run(m, &programs, "-tags", "failpoint", "ropeway/cmd/..."))
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// eventually waits until something is so.
func eventually(t testing.TB, limit time.Duration, what string, so func() bool) {
	t.Helper()
	for begun := time.Now(); time.Since(begun) < limit; time.Sleep(50 * time.Millisecond) {
		if so() {
			return
		}
	}
	t.Fatalf("after %s it is still not so that %s", limit, what)
}

// A process is a program that runs until it is stopped, and what it said.
type process struct {
	cmd  *exec.Cmd
	done chan error
}

func start(t testing.TB, ns netns.NsHandle, logFile string, argv ...string) *process {
	t.Helper()
	flags := os.O_CREATE | os.O_WRONLY | os.O_APPEND
	said, err := os.OpenFile(logFile+".out", flags, 0o600)
	must(t, err)
	defer func() { _ = said.Close() }()
	f, err := os.OpenFile(logFile, flags, 0o600)
	must(t, err)
	defer func() { _ = f.Close() }()
	p := &process{cmd: exec.Command(argv[0], argv[1:]...), done: make(chan error, 1)}
	p.cmd.Stdout, p.cmd.Stderr = said, f
	p.cmd.SysProcAttr = &unix.SysProcAttr{Pdeathsig: unix.SIGKILL}
	nstest.In(t, ns, func() { err = p.cmd.Start() })
	must(t, err)
	go func() { p.done <- p.cmd.Wait() }()
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			text, _ := os.ReadFile(logFile)
			t.Logf("%s:\n%s", filepath.Base(logFile), text)
		}
	})
	return p
}

func (p *process) kill() {
	if p.cmd != nil {
		_ = p.cmd.Process.Kill()
		<-p.done
		p.cmd = nil
	}
}

// A world is a controller and two gateways, gw1 of place east and gw2 of place west: number n has 192.0.2.n outside, 10.n.0.1 inside, and a
// host at 10.n.0.10. The controller is at 192.0.2.100.
type world struct {
	t          testing.TB
	dir        string
	office     netns.NsHandle // where controller and people are
	controller *process
	gateways   []*gateway
}

type gateway struct {
	w        *world
	n        int
	ns, host netns.NsHandle
	agent    *process
}

const server = "https://192.0.2.100:8443"

func newWorld(t testing.TB) *world { return newWorldOf(t, 2) }

// newWorldOf has more gateways, as many places, numbered alike.
func newWorldOf(t testing.TB, gateways int) *world {
	t.Helper()
	nstest.Enter(t)
	w := &world{t: t, dir: t.TempDir(), office: nstest.New(t)}
	wan := nstest.New(t)
	nstest.Join(t, nstest.Plug{NS: wan, Name: "port0"}, nstest.Plug{NS: w.office, Name: "wan0", Addr: "192.0.2.100/24"})
	ports := []string{"port0"}
	for n := 1; n <= gateways; n++ {
		g := &gateway{w: w, n: n, ns: nstest.New(t), host: nstest.New(t)}
		w.gateways = append(w.gateways, g)
		port := fmt.Sprintf("port%d", n)
		ports = append(ports, port)
		nstest.Join(t, nstest.Plug{NS: wan, Name: port}, nstest.Plug{NS: g.ns, Name: "wan0", Addr: fmt.Sprintf("192.0.2.%d/24", n)})
		nstest.Join(t, nstest.Plug{NS: g.ns, Name: "lan0", Addr: fmt.Sprintf("10.%d.0.1/24", n)}, nstest.Plug{NS: g.host, Name: "eth0", Addr: fmt.Sprintf("10.%d.0.10/24", n)})
		nstest.In(t, g.host, func() { must(t, netlink.RouteAdd(&netlink.Route{Gw: net.IPv4(10, byte(n), 0, 1)})) })
		t.Cleanup(g.down)
	}
	nstest.Bridge(t, wan, "br0", ports...)
	return w
}

func (w *world) path(name string) string { return filepath.Join(w.dir, name) }

// serve starts the controller.
func (w *world) serve(more ...string) {
	w.t.Helper()
	w.controller = start(w.t, w.office, w.path("ropewayd.log"), append([]string{
		filepath.Join(programs, "ropewayd"), "serve", "--data", w.path("data"), "--fabric", "shop", "--listen", "192.0.2.100:8443", "--name", "192.0.2.100",
	}, more...)...)
	eventually(w.t, 20*time.Second, "the controller serves", func() bool {
		var conn net.Conn
		var err error
		nstest.In(w.t, w.office, func() { conn, err = net.DialTimeout("tcp", "192.0.2.100:8443", time.Second) })
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	})
}

// firstToken returns the token that the first start printed.
func (w *world) firstToken() string {
	text, err := os.ReadFile(w.path("ropewayd.log.out"))
	must(w.t, err)
	_, rest, _ := strings.Cut(string(text), "--token ")
	token, _, _ := strings.Cut(rest, "\n")
	return token
}

// ropeway runs the command line as a person whose membership is in a directory of that name.
func (w *world) ropeway(person string, args ...string) (out string, code int) {
	w.t.Helper()
	cmd := exec.Command(filepath.Join(programs, "ropeway"), args...)
	cmd.Env = append(os.Environ(), "ROPEWAY_CONFIG="+w.path("person-"+person))
	var both []byte
	var err error
	nstest.In(w.t, w.office, func() { both, err = cmd.CombinedOutput() })
	if cmd.ProcessState == nil {
		w.t.Fatalf("ropeway %s: %v", args[0], err)
	}
	return string(both), cmd.ProcessState.ExitCode()
}

// do is ropeway as the administrator, which must not fail.
func (w *world) do(args ...string) string {
	w.t.Helper()
	out, code := w.ropeway("admin", args...)
	if code != 0 {
		w.t.Fatalf("ropeway %s: exit %d\n%s", strings.Join(args, " "), code, out)
	}
	return out
}

// A line is a row of get gateways -o json.
type line struct {
	Name, State    string
	Epoch, Applied uint64
	Connected      bool
	Message        string
}

func (w *world) lines() map[string]line {
	w.t.Helper()
	var list []line
	must(w.t, json.Unmarshal([]byte(w.do("get", "gateways", "-o", "json")), &list))
	out := map[string]line{}
	for _, l := range list {
		out[l.Name] = l
	}
	return out
}

func (g *gateway) name() string            { return fmt.Sprintf("gw%d", g.n) }
func (g *gateway) path(name string) string { return g.w.path(g.name() + "-" + name) }

// command is the agent's program in the gateway's namespace, in a mount namespace with a /run of its own: control sockets are named by interface.
func (g *gateway) command(args ...string) []string {
	must(g.w.t, os.MkdirAll(g.path("run"), 0o700))
	args = append(args, "--state", g.path("state"))
	return append([]string{"unshare", "-m", "sh", "-c", `mount --bind "$0" /run && exec "$@"`, g.path("run"), filepath.Join(programs, "ropeway-gateway")}, args...)
}

func (g *gateway) enroll(token string, more ...string) (out string, err error) {
	argv := g.command(append([]string{"enroll", "--server", server, "--token", token}, more...)...)
	var both []byte
	nstest.In(g.w.t, g.ns, func() { both, err = exec.Command(argv[0], argv[1:]...).CombinedOutput() })
	return string(both), err
}

func (g *gateway) run(more ...string) {
	g.agent = start(g.w.t, g.ns, g.path("agent.log"), g.command(append([]string{"run", "--listen", ""}, more...)...)...)
}

// down takes away what the gateway is: its device is a process that outlives the agent.
func (g *gateway) down() {
	if g.agent == nil {
		return
	}
	g.agent.kill()
	argv := g.command("down")
	nstest.In(g.w.t, g.ns, func() {
		if out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput(); err != nil {
			g.w.t.Errorf("down: %v\n%s", err, out)
		}
	})
}

// reaches reports whether the host behind the gateway gets an answer from the one behind the other.
func (g *gateway) reaches(other *gateway) bool {
	var err error
	nstest.In(g.w.t, g.host, func() {
		err = exec.Command("ping", "-c", "1", "-W", "1", "-q", fmt.Sprintf("10.%d.0.10", other.n)).Run()
	})
	return err == nil
}
