package lab

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"ropeway/internal/diag"
	"ropeway/internal/key"
	"ropeway/internal/lab/netns"
	"ropeway/internal/lab/world"
	"ropeway/internal/plan"
	"ropeway/internal/state"
)

// The programs that a lab runs.
const (
	agentProgram      = "ropeway-gateway"
	controllerProgram = "ropewayd"
	commandProgram    = "ropeway"
)

// findProgram returns the path of a program: the one asked for, else the one beside this program, else the one in PATH.
func findProgram(asked, name string) (string, error) {
	candidates := []string{asked}
	if asked == "" {
		candidates = nil
		if self, err := os.Executable(); err == nil {
			candidates = append(candidates, filepath.Join(filepath.Dir(self), name))
		}
		candidates = append(candidates, name)
	}
	for _, c := range candidates {
		if path, err := exec.LookPath(c); err == nil {
			return filepath.Abs(path)
		}
	}
	return "", problem("RW5005", "program "+diag.Quote(candidates[len(candidates)-1]), "the lab runs the real "+name+", and it is not there",
		"build it beside ropeway, or say where it is: ropeway lab up --help")
}

// machineDir holds what a gateway would have on its own disk.
func machineDir(lab, gateway string) string { return filepath.Join(home(lab), "gateways", gateway) }

// Files and directories of a gateway in its machineDir.
const (
	planFile     = "plan.json"
	stateDir     = "state"
	runDir       = "run"
	wireguardDir = "wireguard"
	hostsFile    = "hosts"
	logFile      = "agent.log"
)

// wireguardSockets is where every implementation of WireGuard in userspace puts its sockets.
const wireguardSockets = "/run/wireguard"

// agentRun is where an agent's status is asked for unless somebody says otherwise.
const agentRun = "/run/ropeway"

func machineRun(lab, gateway string) string { return filepath.Join(machineDir(lab, gateway), runDir) }

// makeKeys lets every gateway make its private key, and writes the public ones into the lock.
func makeKeys(ctx context.Context, lab, agent string, lock *state.Lock) error {
	var mu sync.Mutex
	public := make(map[string]key.Public, len(lock.Gateways))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(2 * runtime.NumCPU())
	for name := range lock.Gateways {
		g.Go(func() error {
			k, err := makeKey(ctx, lab, agent, name)
			if err != nil {
				return fmt.Errorf("make the key of gateway %s: %w", name, err)
			}
			mu.Lock()
			defer mu.Unlock()
			public[name] = k
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	for name, k := range public {
		entry := lock.Gateways[name]
		entry.PublicKey = k
		lock.Gateways[name] = entry
	}
	return nil
}

func makeKey(ctx context.Context, lab, agent, gateway string) (key.Public, error) {
	if err := makeMachine(lab, gateway); err != nil {
		return key.Public{}, err
	}
	cmd := exec.CommandContext(ctx, agent, "key", "--state", filepath.Join(machineDir(lab, gateway), stateDir))
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return key.Public{}, fmt.Errorf("%w: %s", err, strings.TrimSpace(stderr.String()))
	}
	return key.ParsePublic(strings.TrimSpace(string(out)))
}

// makeMachine makes the directories of a gateway.
func makeMachine(lab, gateway string) error {
	for _, sub := range []string{stateDir, runDir, wireguardDir} {
		if err := os.MkdirAll(filepath.Join(machineDir(lab, gateway), sub), 0o700); err != nil {
			return fmt.Errorf("make the directories of gateway %s: %w", gateway, err)
		}
	}
	return nil
}

// writeHosts puts on a gateway's disk the names that it resolves.
func writeHosts(lab string, gateway *world.Space) error {
	hosts := "127.0.0.1 localhost\n::1 localhost\n"
	for _, n := range gateway.Hosts {
		hosts += fmt.Sprintf("%s %s\n", n.Addr, n.Host)
	}
	if err := os.WriteFile(filepath.Join(machineDir(lab, gateway.Name), hostsFile), []byte(hosts), 0o644); err != nil { //nolint:gosec // as /etc/hosts is
		return fmt.Errorf("write the hosts of gateway %s: %w", gateway.Name, err)
	}
	return nil
}

// writePlan puts on a gateway's disk the plan that nobody brings it.
func writePlan(lab string, p *plan.Fabric, g *plan.Gateway) error {
	doc, err := plan.Encode(p.Name, g)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(machineDir(lab, g.Name), planFile), doc, 0o600); err != nil {
		return fmt.Errorf("write the plan of gateway %s: %w", g.Name, err)
	}
	return nil
}

// machineBinds is what a gateway sees in other places than this machine does. WireGuard's sockets have the names of devices, and
// every gateway's device is called rw0; an agent is asked for its status in one place.
func machineBinds(lab, gateway string) []netns.Bind {
	dir := machineDir(lab, gateway)
	return []netns.Bind{
		{From: filepath.Join(dir, wireguardDir), To: wireguardSockets},
		{From: filepath.Join(dir, hostsFile), To: "/etc/hosts"},
		{From: filepath.Join(dir, runDir), To: agentRun},
	}
}

// startAgent starts the agent of a gateway in its namespace. It goes on when this process ends.
func (l *Lab) startAgent(gateway string) error {
	dir := machineDir(l.Name, gateway)
	args := []string{"run", "--state", filepath.Join(dir, stateDir), "--run", agentRun}
	if !l.controlled() {
		args = append(args, "--plan", filepath.Join(dir, planFile))
	}
	if l.record.Command != "" {
		args = append(args, "--route-table", l.record.Command+" lab table "+l.Name)
	}
	cmd := exec.Command(l.record.Agent, args...) //nolint:noctx // it outlives every context
	return l.startDaemon(gateway, filepath.Join(dir, logFile), cmd, machineBinds(l.Name, gateway))
}

// startDaemon starts a program in a space, in a session of its own, with what it says in a log. What it prints goes there, too, unless the
// caller wants it elsewhere.
func (l *Lab) startDaemon(space, log string, cmd *exec.Cmd, binds []netns.Bind) error {
	out, err := os.OpenFile(log, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("open a log: %w", err)
	}
	defer out.Close()
	if cmd.Stderr = out; cmd.Stdout == nil {
		cmd.Stdout = out
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	// What this process was started with (somebody's lock, for example) is nothing that a daemon should hold open.
	if err := unix.CloseRange(3, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC); err != nil {
		return fmt.Errorf("keep descriptors from a daemon: %w", err)
	}
	ns, err := netns.Open(spaceName(l.Name, space))
	if err != nil {
		return err
	}
	defer ns.Close()
	if err := ns.Start(cmd, binds...); err != nil {
		return err
	}
	l.children.Go(func() { _ = cmd.Wait() }) // how it ended stands in its log
	return nil
}
