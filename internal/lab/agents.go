package lab

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sync/errgroup"

	"ropeway/internal/diag"
	"ropeway/internal/key"
	"ropeway/internal/lab/netns"
	"ropeway/internal/lab/world"
	"ropeway/internal/plan"
	"ropeway/internal/state"
)

// agentProgram is the name of the agent.
const agentProgram = "ropeway-gateway"

// findAgent returns the path of the agent: the one asked for, else the one beside this program, else the one in PATH.
func findAgent(asked string) (string, error) {
	candidates := []string{asked}
	if asked == "" {
		candidates = nil
		if self, err := os.Executable(); err == nil {
			candidates = append(candidates, filepath.Join(filepath.Dir(self), agentProgram))
		}
		candidates = append(candidates, agentProgram)
	}
	for _, c := range candidates {
		if path, err := exec.LookPath(c); err == nil {
			return filepath.Abs(path)
		}
	}
	return "", problem("RW5005", "program "+diag.Quote(candidates[len(candidates)-1]), "the lab runs the real agent, and it is not there",
		"build it beside ropeway, or name it with --agent")
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
	dir := machineDir(lab, gateway)
	for _, sub := range []string{stateDir, runDir, wireguardDir} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o700); err != nil {
			return key.Public{}, fmt.Errorf("make its directories: %w", err)
		}
	}
	cmd := exec.CommandContext(ctx, agent, "key", "--state", filepath.Join(dir, stateDir))
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return key.Public{}, fmt.Errorf("%w: %s", err, strings.TrimSpace(stderr.String()))
	}
	return key.ParsePublic(strings.TrimSpace(string(out)))
}

// writeMachine puts on a gateway's disk what somebody would have put there: its plan, and the names that it resolves.
func writeMachine(lab string, p *plan.Fabric, g *plan.Gateway, names []world.Name) error {
	doc, err := plan.Encode(p.Name, g)
	if err != nil {
		return err
	}
	hosts := "127.0.0.1 localhost\n::1 localhost\n"
	for _, n := range names {
		hosts += fmt.Sprintf("%s %s\n", n.Addr, n.Host)
	}
	dir := machineDir(lab, g.Name)
	if err := os.WriteFile(filepath.Join(dir, hostsFile), []byte(hosts), 0o644); err != nil { //nolint:gosec // as /etc/hosts is
		return fmt.Errorf("write the hosts of gateway %s: %w", g.Name, err)
	}
	if err := os.WriteFile(filepath.Join(dir, planFile), doc, 0o600); err != nil {
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
	cmd := exec.Command(l.record.Agent, "run", //nolint:noctx // it outlives every context
		"--plan", filepath.Join(dir, planFile), "--state", filepath.Join(dir, stateDir), "--run", agentRun)
	return l.startDaemon(gateway, filepath.Join(dir, logFile), cmd, machineBinds(l.Name, gateway))
}

// startDaemon starts a program in a space, in a session of its own, with its output in a file.
func (l *Lab) startDaemon(space, log string, cmd *exec.Cmd, binds []netns.Bind) error {
	out, err := os.OpenFile(log, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("open a log: %w", err)
	}
	defer out.Close()
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
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
