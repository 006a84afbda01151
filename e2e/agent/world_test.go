// Package agent_test drives the real ropeway-gateway between real network stacks: gateways and hosts in network namespaces that the
// tests make, joined by an Ethernet bridge that stands for the Internet.
//
// Every gateway has a mount namespace of its own with its own /run, because control sockets of userspace devices are named by
// interface and the directory is the machine's.
package agent_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"ropeway/internal/agent"
	"ropeway/internal/fabric"
	"ropeway/internal/key"
	"ropeway/internal/nstest"
	"ropeway/internal/plan"
)

// program is the binary under test, built with failpoints.
var program string

func TestMain(m *testing.M) { os.Exit(testMain(m)) }

func testMain(m *testing.M) int {
	dir, err := os.MkdirTemp("", "ropeway-agent-")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o755); err != nil { // a test runs it as another user
		panic(err)
	}
	if programs := os.Getenv("ROPEWAY_TEST_PROGRAMS"); programs != "" { // tools/kernel brings them along
		program = filepath.Join(programs, "ropeway-gateway")
		return m.Run()
	}
	program = filepath.Join(dir, "ropeway-gateway")
	args := append([]string{"build", "-tags", "failpoint", "-o", program}, buildFlags...)
	build := exec.Command("go", append(args, "ropeway/cmd/ropeway-gateway")...)
	if out, err := build.CombinedOutput(); err != nil {
		panic(fmt.Sprintf("build the agent: %v\n%s", err, out))
	}
	return m.Run()
}

// A world is gateways with a host behind each, and what joins them.
type world struct {
	t        *testing.T
	gateways []*gateway
}

// A gateway is gw1, gw2, …: number n has 192.0.2.n outside, 10.n.0.1 inside, 100.64.0.n in the fabric, and a host at 10.n.0.10.
type gateway struct {
	t         *testing.T
	n         int
	name      string
	ns, host  netns.NsHandle
	dir       string
	key       key.Public
	env       []string // added to the program's
	under     []string // a command that runs the program, in front of it
	smallDisk bool     // the state directory is on a file system of 64 KiB
	agent     *process
}

// newWorld makes n gateways with keys, and starts nothing.
func newWorld(t *testing.T, n int) *world {
	t.Helper()
	nstest.Enter(t)
	w := &world{t: t}
	wan := nstest.New(t)
	var ports []string
	for i := 1; i <= n; i++ {
		g := &gateway{t: t, n: i, name: fmt.Sprintf("gw%d", i), ns: nstest.New(t), host: nstest.New(t), dir: t.TempDir()}
		w.gateways = append(w.gateways, g)
		port := fmt.Sprintf("port%d", i)
		ports = append(ports, port)
		nstest.Join(t, nstest.Plug{NS: wan, Name: port}, nstest.Plug{NS: g.ns, Name: "wan0", Addr: fmt.Sprintf("192.0.2.%d/24", i)})
		nstest.Join(t, nstest.Plug{NS: g.ns, Name: "lan0", Addr: fmt.Sprintf("10.%d.0.1/24", i)}, nstest.Plug{NS: g.host, Name: "eth0", Addr: fmt.Sprintf("10.%d.0.10/24", i)})
		nstest.In(t, g.host, func() {
			must(t, netlink.RouteAdd(&netlink.Route{Gw: net.IPv4(10, byte(i), 0, 1)}))
		})
		must(t, os.Chmod(filepath.Dir(g.dir), 0o755)) // a test runs the agent as another user
		must(t, os.Mkdir(g.path("wireguard"), 0o700))
		g.key = g.makeKey()
		t.Cleanup(g.clean)
	}
	nstest.Bridge(t, wan, "br0", ports...)
	return w
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (g *gateway) path(name string) string { return filepath.Join(g.dir, name) }

// A private /run with the gateway's own /run/wireguard; then the command itself takes the place of the shell.
const (
	privateRun = `mount -t tmpfs tmpfs /run && mkdir /run/wireguard && mount --bind "$1" /run/wireguard && `
	smallDisk  = `cp -a "$2" /run/kept && mount -t tmpfs -o size=64k,mode=700 tmpfs "$2" && cp -a /run/kept/. "$2" && `
	itself     = `shift 2 && exec "$@"`
)

// as returns a command as this gateway would run it, but for the network namespace, which is that of the thread that starts it.
func (g *gateway) as(args ...string) *exec.Cmd {
	script := privateRun + itself
	if g.smallDisk {
		script = privateRun + smallDisk + itself
	}
	cmd := exec.Command("/bin/sh", append([]string{"-c", script, "sh", g.path("wireguard"), g.path("state")}, args...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: unix.CLONE_NEWNS}
	cmd.Env = slices.Concat(os.Environ(), []string{"GORACE=atexit_sleep_ms=0"}, g.env)
	return cmd
}

// command returns the program with arguments.
func (g *gateway) command(args ...string) *exec.Cmd {
	return g.as(slices.Concat(g.under, []string{program}, args)...)
}

// run runs the program to its end and returns what it wrote.
func (g *gateway) run(args ...string) (stdout, stderr string, err error) {
	g.t.Helper()
	var out, errs bytes.Buffer
	cmd := g.command(args...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	must(g.t, inside(g.ns, cmd.Start))
	err = cmd.Wait()
	return out.String(), errs.String(), err
}

func (g *gateway) makeKey() key.Public {
	g.t.Helper()
	out, errs, err := g.run("key", "--state", g.path("state"))
	if err != nil {
		g.t.Fatalf("make the key: %v: %s", err, errs)
	}
	k, err := key.ParsePublic(strings.TrimSpace(out))
	must(g.t, err)
	return k
}

// down takes the gateway down.
func (g *gateway) down() error {
	g.t.Helper()
	_, errs, err := g.run("down", "--state", g.path("state"), "--run", g.path("run"))
	if err != nil {
		return fmt.Errorf("down: %w: %s", err, errs)
	}
	return nil
}

// clean leaves nothing of the gateway behind. Everything in its namespace was started by this test.
func (g *gateway) clean() {
	if g.agent != nil {
		g.agent.kill()
	}
	if err := g.down(); err != nil {
		g.t.Error(err)
	}
	deadline := time.Now().Add(5 * time.Second)
	for left := g.processes(); len(left) > 0; left = g.processes() {
		if time.Now().After(deadline) {
			g.t.Errorf("processes %v are still in the namespace of %s", left, g.name)
			for _, pid := range left {
				_ = unix.Kill(pid, unix.SIGKILL)
			}
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// processes returns the processes in the gateway's network namespace, this one aside.
func (g *gateway) processes() []int {
	var st unix.Stat_t
	must(g.t, unix.Fstat(int(g.ns), &st))
	dirs, err := filepath.Glob("/proc/[0-9]*")
	must(g.t, err)
	var pids []int
	for _, dir := range dirs {
		var pid int
		fmt.Sscanf(filepath.Base(dir), "%d", &pid)
		var of unix.Stat_t
		if unix.Stat(dir+"/ns/net", &of) == nil && of.Ino == st.Ino && pid != os.Getpid() {
			pids = append(pids, pid)
		}
	}
	return pids
}

// deviceProcess returns the process of the gateway's userspace devices, or 0. One that has lost its last device ends by itself, and is waited for: it is not
// the one that carries anything.
func (g *gateway) deviceProcess() int {
	for deadline := time.Now().Add(2 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		found := g.deviceProcesses()
		switch {
		case len(found) == 0:
			return 0
		case len(found) == 1, time.Now().After(deadline):
			return found[len(found)-1]
		}
	}
}

func (g *gateway) deviceProcesses() (found []int) {
	for _, pid := range g.processes() {
		line, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		if args := bytes.Split(line, []byte{0}); len(args) > 1 && string(args[1]) == "devices" {
			found = append(found, pid)
		}
	}
	return found
}

// A process is an agent that runs.
type process struct {
	cmd  *exec.Cmd
	log  *buffer
	done chan struct{}
}

// buffer is a log that is read while it is written.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// runArgs are the arguments of the agent.
func (g *gateway) runArgs(more ...string) []string {
	return append([]string{"run", "--plan", g.path("plan.json"), "--state", g.path("state"), "--run", g.path("run")}, more...)
}

// start starts the agent.
func (g *gateway) start(more ...string) *process {
	g.t.Helper()
	p := &process{cmd: g.command(g.runArgs(more...)...), log: &buffer{}, done: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = p.log, p.log
	must(g.t, inside(g.ns, p.cmd.Start))
	go func() { defer close(p.done); _ = p.cmd.Wait() }()
	g.agent = p
	g.t.Cleanup(func() {
		device, _ := os.ReadFile(g.path("run/devices.log"))
		if strings.Contains(p.log.String()+string(device), "DATA RACE") {
			g.t.Errorf("%s has a data race", g.name)
		}
		if g.t.Failed() {
			g.t.Logf("log of %s:\n%s\nlog of its device:\n%s", g.name, p.log, device)
		}
	})
	return p
}

// stop ends the agent as a service manager does, and waits for it.
func (p *process) stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	<-p.done
}

func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.done
}

// write puts a plan in place as it should be done: whole, by renaming.
func (g *gateway) write(p *plan.Gateway) string {
	g.t.Helper()
	data, err := plan.Encode("test", p)
	must(g.t, err)
	g.writeRaw(data)
	return plan.Revision(p)
}

func (g *gateway) writeRaw(data []byte) {
	g.t.Helper()
	must(g.t, os.WriteFile(g.path("plan.json.new"), data, 0o644))
	must(g.t, os.Rename(g.path("plan.json.new"), g.path("plan.json")))
}

// plan joins a gateway with others, everything allowed.
func (w *world) plan(n int, others ...int) *plan.Gateway {
	prefix := netip.MustParsePrefix
	own := []netip.Prefix{prefix(fmt.Sprintf("10.%d.0.0/24", n))}
	d := plan.Device{Name: "rw0", ListenPort: 51820, Addresses: []netip.Prefix{prefix(fmt.Sprintf("100.64.0.%d/32", n))}, MTU: 1440,
		PublicKey: w.gateways[n-1].key}
	g := &plan.Gateway{Name: fmt.Sprintf("gw%d", n), Place: fmt.Sprintf("place%d", n), Firewall: plan.Firewall{Own: own, Fabric: own},
		Sysctls: []plan.Sysctl{{Key: "net/ipv4/ip_forward", Value: "1"}}}
	var remote []netip.Prefix
	for _, o := range others {
		theirs := []netip.Prefix{prefix(fmt.Sprintf("10.%d.0.0/24", o)), prefix(fmt.Sprintf("100.64.0.%d/32", o))}
		d.Peers = append(d.Peers, &plan.Peer{Gateway: fmt.Sprintf("gw%d", o), PublicKey: w.gateways[o-1].key,
			Endpoint:   fabric.Endpoint{Host: fmt.Sprintf("192.0.2.%d", o), Port: 51820},
			AllowedIPs: theirs, Keepalive: 25, MTU: 1440, Underlay: 1500, Overhead: 60})
		g.Routes = append(g.Routes, &plan.Route{Device: "rw0", Peer: fmt.Sprintf("gw%d", o), MTU: 1440, Prefixes: theirs})
		remote = append(remote, theirs[0])
	}
	g.Devices = []plan.Device{d}
	g.Firewall.Fabric = slices.Concat(own, remote)
	slices.SortFunc(g.Firewall.Fabric, netip.Prefix.Compare)
	if len(remote) > 0 {
		g.Firewall.Rules = []plan.Rule{{ID: 1, Direction: plan.Out, From: own, To: remote}, {ID: 1, Direction: plan.In, From: remote, To: own}}
	}
	return g
}

// start brings every gateway up, each joined with all others, and waits until they are healthy.
func (w *world) start() {
	w.t.Helper()
	for i, g := range w.gateways {
		var others []int
		for j := range w.gateways {
			if j != i {
				others = append(others, j+1)
			}
		}
		g.write(w.plan(i+1, others...))
		g.start()
	}
	for _, g := range w.gateways {
		g.waitHealthy()
	}
}

// status asks the agent, or returns nil where none answers.
func (g *gateway) status() *agent.Status {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	st, err := agent.Ask(ctx, g.path("run"))
	if err != nil {
		return nil
	}
	return st
}

func (g *gateway) waitHealthy() *agent.Status {
	g.t.Helper()
	return g.waitStatus("healthy", func(st *agent.Status) bool { return st.Healthy })
}

// waitStatus waits until the agent's status is as wanted, and says what it was where that takes too long.
func (g *gateway) waitStatus(what string, is func(*agent.Status) bool) *agent.Status {
	g.t.Helper()
	var st *agent.Status
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if st = g.status(); st != nil && is(st) {
			return st
		}
	}
	text, _ := json.MarshalIndent(st, "", "  ")
	g.t.Fatalf("%s was never %s; its status:\n%s", g.name, what, text)
	return nil
}

// get reads a page of the gateway's loopback address, as somebody on that machine.
func (g *gateway) get(page string) (code int, body string) {
	g.t.Helper()
	client := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true,
		DialContext: func(context.Context, string, string) (net.Conn, error) { return dialIn(g.ns, "tcp", "127.0.0.1:9586") }}}
	resp, err := client.Get("http://" + agent.DefaultListen + page)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	must(g.t, err)
	return resp.StatusCode, string(data)
}

// eventually waits until a condition holds, and returns how long that took.
func eventually(t *testing.T, most time.Duration, what string, holds func() bool) time.Duration {
	t.Helper()
	begun := time.Now()
	for !holds() {
		if time.Since(begun) > most {
			t.Fatalf("after %v it still does not hold that %s", most, what)
		}
		time.Sleep(5 * time.Millisecond)
	}
	return time.Since(begun)
}
