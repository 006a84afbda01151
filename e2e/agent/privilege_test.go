package agent_test

import (
	"bufio"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"ropeway/internal/agent"
)

const unit = "../../deploy/systemd/ropeway-gateway.service"

// unitValues returns the values of a directive of the systemd unit.
func unitValues(t *testing.T, directive string) []string {
	t.Helper()
	data, err := os.ReadFile(unit)
	must(t, err)
	var values []string
	for line := range strings.Lines(string(data)) {
		if v, ok := strings.CutPrefix(strings.TrimSpace(line), directive+"="); ok {
			values = append(values, strings.Fields(v)...)
		}
	}
	return values
}

// capabilities returns the unit's capabilities as setpriv names them: "net_admin".
func capabilities(t *testing.T) []string {
	t.Helper()
	names := unitValues(t, "CapabilityBoundingSet")
	if len(names) == 0 {
		t.Fatal("the unit bounds no capabilities")
	}
	for i, n := range names {
		names[i] = strings.ToLower(strings.TrimPrefix(n, "CAP_"))
	}
	return names
}

// TestWithTheCapabilitiesOfTheUnit: the agent does all of its work with what the systemd unit leaves it, as root and as a user of
// its own, and no less would do.
func TestWithTheCapabilitiesOfTheUnit(t *testing.T) {
	set := "-all,+" + strings.Join(capabilities(t), ",+")
	asRoot := []string{"setpriv", "--bounding-set=" + set, "--no-new-privs"}
	asUser := append(withTUN(t), "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps="+set, "--ambient-caps="+set,
		"--bounding-set="+set, "--no-new-privs")
	for name, under := range map[string][]string{"root": asRoot, "a user of its own": asUser} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, 2)
			a, b := w.gateways[0], w.gateways[1]
			b.echo()
			a.under = under
			if name != "root" {
				for _, dir := range []string{"state", "state/keys", "state/keys/rw0.key", "wireguard", "run"} {
					_ = os.Mkdir(a.path("run"), 0o700)
					must(t, os.Chown(a.path(dir), 65534, 65534))
				}
			}
			w.start()
			eventually(t, 20e9, "the hosts reach each other", func() bool { return a.reaches(b) })
			pids := a.processes()
			if len(pids) == 0 {
				t.Fatal("no process of the gateway is found")
			}
			for _, pid := range pids {
				if got, want := effective(t, pid), mask(t); got != want {
					t.Errorf("process %d has capabilities %#x, want %#x", pid, got, want)
				}
			}
			a.sysctl(t, "net/ipv4/ip_forward", "0")
			a.nft(t, "flush", "ruleset")
			if pid := a.deviceProcess(); pid != 0 {
				must(t, unix.Kill(pid, unix.SIGKILL))
			}
			a.waitStatus("repaired", func(st *agent.Status) bool { return st.Healthy && repairs(st) > 2 })
			eventually(t, 20e9, "the hosts reach each other again", func() bool { return a.reaches(b) })
			a.agent.stop()
			must(t, a.down())
			eventually(t, 2e9, "no process is left", func() bool { return len(a.processes()) == 0 })
		})
	}
	t.Run("without any", func(t *testing.T) {
		w := newWorld(t, 2)
		a := w.gateways[0]
		a.write(w.plan(1, 2))
		a.under = []string{"setpriv", "--bounding-set=-all", "--no-new-privs"}
		a.start()
		st := a.waitStatus("failing", func(st *agent.Status) bool { return st.LastError != "" })
		if !strings.Contains(st.LastError, "not permitted") || st.Healthy {
			t.Errorf("without capabilities: %q, healthy %v", st.LastError, st.Healthy)
		}
		a.agent.kill()
		a.under = nil
	})
}

// withTUN is a command that runs another with a /dev/net/tun that everybody may open, as udev makes it (50-udev-default.rules) and containers
// often do not.
func withTUN(t *testing.T) []string {
	node := filepath.Join(t.TempDir(), "tun")
	must(t, unix.Mknod(node, unix.S_IFCHR, int(unix.Mkdev(10, 200))))
	must(t, os.Chmod(node, 0o666))
	return []string{"unshare", "-m", "sh", "-c", `mount --bind "$0" /dev/net/tun && exec "$@"`, node}
}

func effective(t *testing.T, pid int) (caps uint64) {
	t.Helper()
	f, err := os.Open(fmt.Sprintf("/proc/%d/status", pid))
	must(t, err)
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if v, ok := strings.CutPrefix(lines.Text(), "CapEff:"); ok {
			_, err := fmt.Sscanf(strings.TrimSpace(v), "%x", &caps)
			must(t, err)
		}
	}
	return caps
}

func mask(t *testing.T) (caps uint64) {
	t.Helper()
	numbers := map[string]int{"net_admin": unix.CAP_NET_ADMIN, "net_bind_service": unix.CAP_NET_BIND_SERVICE, "net_raw": unix.CAP_NET_RAW}
	for _, name := range capabilities(t) {
		n, ok := numbers[name]
		if !ok {
			t.Fatalf("the test does not know capability %s", name)
		}
		caps |= 1 << n
	}
	return caps
}

// TestTheUnitAllowsItsSystemCalls: every system call and address family that the agent and a device use is one that the unit's
// filters let pass.
func TestTheUnitAllowsItsSystemCalls(t *testing.T) {
	for _, tool := range []string{"strace", "systemd-analyze"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("needs %s", tool)
		}
	}
	w := newWorld(t, 2)
	a, b := w.gateways[0], w.gateways[1]
	b.echo()
	trace := a.path("trace")
	a.under = []string{"strace", "-f", "-qq", "-A", "-o", trace}
	w.start()
	eventually(t, 20e9, "the hosts reach each other", func() bool { return a.reaches(b) })
	a.get("/metrics")
	a.write(w.plan(1))
	a.waitStatus("alone", func(st *agent.Status) bool { return st.Healthy && st.Routes.Installed == 0 })
	a.agent.endTraced(t)
	must(t, a.down())

	allowed := systemCalls(t, unitValues(t, "SystemCallFilter"))
	families := unitValues(t, "RestrictAddressFamilies")
	data, err := os.ReadFile(trace)
	must(t, err)
	used := map[string]bool{}
	for line := range strings.Lines(string(data)) {
		_, call, _ := strings.Cut(line, " ") // "PID  name(args…"
		name, args, ok := strings.Cut(strings.TrimSpace(call), "(")
		if !ok || strings.ContainsAny(name, " <+-?") {
			continue
		}
		used[name] = true
		if family, _, _ := strings.Cut(args, ","); name == "socket" && !slices.Contains(families, family) {
			t.Errorf("a socket of %s, which the unit does not allow", family)
		}
	}
	if len(used) < 30 || !used["sendmmsg"] && !used["sendmsg"] {
		t.Fatalf("only these system calls were seen: %v", slices.Sorted(maps.Keys(used)))
	}
	for name := range used {
		if !allowed[name] {
			t.Errorf("system call %s is used, and the unit does not allow it", name)
		}
	}
}

// endTraced ends the program that runs under a tracer. The tracer itself goes on with the device's process.
func (p *process) endTraced(t *testing.T) {
	t.Helper()
	children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", p.cmd.Process.Pid, p.cmd.Process.Pid))
	must(t, err)
	var pid int
	_, err = fmt.Sscan(string(children), &pid)
	must(t, err)
	must(t, unix.Kill(pid, unix.SIGTERM))
	eventually(t, 10e9, "the traced agent has ended", func() bool { return unix.Kill(pid, 0) != nil })
}

// systemCalls expands the groups of a filter as systemd does.
func systemCalls(t *testing.T, filter []string) map[string]bool {
	t.Helper()
	out, err := exec.Command("systemd-analyze", "--no-pager", "syscall-filter").Output()
	must(t, err)
	groups := map[string][]string{}
	var group string
	for line := range strings.Lines(string(out)) {
		switch text := strings.TrimSpace(line); {
		case text == "" || strings.HasPrefix(text, "#"):
		case strings.HasPrefix(line, "@"):
			group = text
		default:
			groups[group] = append(groups[group], text)
		}
	}
	allowed := map[string]bool{}
	var add func(name string, allow bool)
	add = func(name string, allow bool) {
		if !strings.HasPrefix(name, "@") {
			allowed[name] = allow
			return
		}
		if len(groups[name]) == 0 {
			t.Fatalf("systemd knows no group %s", name)
		}
		for _, n := range groups[name] {
			add(n, allow)
		}
	}
	deny := false
	for _, name := range filter {
		if rest, ok := strings.CutPrefix(name, "~"); ok {
			deny, name = true, rest
		}
		add(name, !deny)
	}
	return allowed
}

// TestTheUnitsAreValid: systemd takes the agent's and the controller's, and calls them well enclosed.
func TestTheUnitsAreValid(t *testing.T) {
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		t.Skip("needs systemd-analyze")
	}
	units, err := filepath.Glob(filepath.Join(filepath.Dir(unit), "*.service"))
	must(t, err)
	if len(units) != 2 {
		t.Errorf("there are %d units", len(units))
	}
	for _, u := range units {
		t.Run(filepath.Base(u), func(t *testing.T) { valid(t, u) })
	}
}

func valid(t *testing.T, unit string) {
	// The unit names an installed binary: a copy names the one that was built.
	data, err := os.ReadFile(unit)
	must(t, err)
	copied := filepath.Join(t.TempDir(), filepath.Base(unit))
	installed := "/usr/local/bin/" + strings.TrimSuffix(filepath.Base(unit), ".service")
	must(t, os.WriteFile(copied, []byte(strings.ReplaceAll(string(data), installed, program)), 0o644))
	if out, err := exec.Command("systemd-analyze", "verify", copied).CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("systemd-analyze verify: %v: %s", err, out)
	}
	// Exposure goes from 0 to 10; the threshold is ten times that.
	if out, err := exec.Command("systemd-analyze", "security", "--offline=yes", "--threshold=25", "--no-pager", copied).CombinedOutput(); err != nil {
		lines := strings.Split(strings.TrimSpace(string(out)), "\n")
		t.Errorf("systemd-analyze security: %v: %s", err, lines[len(lines)-1])
	}
}
