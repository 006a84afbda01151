package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestDaemonsTakeOver: another daemon in the file is a change like any other. On every gateway the one that was there hands over and ends, the other begins, and no
// gateway goes without a session that it had for longer than a daemon takes to start. And back.
func TestDaemonsTakeOver(t *testing.T) {
	t.Parallel()
	name := labName("daemons")
	lab := "--lab=" + name
	up(t, "../examples/hybrid-bgp.yaml", name, "--controllers", "1")
	until(t, "all sessions are up", func() bool { return len(down(t, lab)) == 0 })
	whole := speakers(t, name)
	if len(whole) != 7 {
		t.Fatalf("gateways that speak: %v", whole)
	}
	for _, c := range []struct {
		file     string
		programs []string
	}{{withBIRD(t, ""), []string{"bird"}}, {"../examples/hybrid-bgp.yaml", []string{"bfdd", "bgpd", "zebra"}}} {
		applied := make(chan result)
		go func() { applied <- ropeway(t, "apply", c.file, "--auto-approve", lab) }()
		without := wanting(t, name, whole, c.programs)
		if r := <-applied; r.code != 0 {
			t.Fatalf("apply: exit %d\n%s%s", r.code, r.out, r.errors)
		}
		t.Logf("to %s: gateways had not all of their sessions for %v", c.programs, without)
		for gateway, took := range without {
			if took > mostWithout {
				t.Errorf("%s had not all of its sessions for %s, want at most %s", gateway, took, mostWithout)
			}
		}
		asProven(t, name)
		until(t, "all sessions are up", func() bool { return len(down(t, lab)) == 0 })
	}
}

// mostWithout is for how long in one piece a gateway may have fewer sessions than at first, its own change and those of its neighbours together. With BIRD it is 2 s; FRR takes 3 s
// to start, and on a machine that has other work 12.
const mostWithout = 30 * time.Second

// withBIRD writes the example with the other daemon, and more access.
func withBIRD(t *testing.T, more string) string {
	t.Helper()
	text, err := os.ReadFile("../examples/hybrid-bgp.yaml")
	if err != nil {
		t.Fatal(err)
	}
	other := strings.Replace(string(text), "daemon: frr", "daemon: bird", 1)
	if other == string(text) {
		t.Fatal("the example does not name FRR as its daemon")
	}
	other = strings.Replace(other, "  access:\n", "  access:\n"+more, 1)
	file := filepath.Join(t.TempDir(), "bird.yaml")
	if err := os.WriteFile(file, []byte(other), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// A speaker is what there is of BGP on a gateway.
type speaker struct {
	programs []string // processes of routing daemons, sorted
	sessions int      // connections of port 179
}

// wanting looks at gateways until each runs those programs and no other and has as many sessions as at first, and returns for how long in one piece each had fewer.
func wanting(t *testing.T, lab string, whole map[string]speaker, programs []string) map[string]time.Duration {
	t.Helper()
	since, longest := map[string]time.Time{}, map[string]time.Duration{}
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(100 * time.Millisecond) {
		now, done := speakers(t, lab), true
		for gateway, was := range whole {
			is := now[gateway]
			done = done && slices.Equal(is.programs, programs) && is.sessions == was.sessions
			switch began, wants := since[gateway]; {
			case is.sessions < was.sessions && !wants:
				since[gateway] = time.Now()
			case is.sessions >= was.sessions && wants:
				longest[gateway] = max(longest[gateway], time.Since(began).Round(100*time.Millisecond))
				delete(since, gateway)
			}
		}
		if done {
			return longest
		}
		if time.Now().After(deadline) {
			t.Fatalf("two minutes later not every gateway has its sessions and %v: %v", programs, now)
		}
	}
}

// speakers returns the gateways of a lab on which a routing daemon runs.
func speakers(t *testing.T, lab string) map[string]speaker {
	t.Helper()
	gateways := map[uint64]string{} // by the inode of the network namespace
	prefix := "/run/netns/rwlab." + lab + "."
	spaces, err := filepath.Glob(prefix + "*-*")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range spaces {
		var st unix.Stat_t
		if gateway := strings.TrimPrefix(path, prefix); !strings.Contains(gateway, ".") && unix.Stat(path, &st) == nil {
			gateways[st.Ino] = gateway
		}
	}
	processes, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]speaker{}
	for _, dir := range processes {
		var st unix.Stat_t
		comm, err := os.ReadFile(dir + "/comm")
		program := strings.TrimSpace(string(comm))
		if err != nil || !slices.Contains([]string{"bfdd", "bgpd", "bird", "zebra"}, program) || unix.Stat(dir+"/ns/net", &st) != nil || gateways[st.Ino] == "" {
			continue
		}
		s := out[gateways[st.Ino]]
		s.programs = slices.Sorted(slices.Values(append(s.programs, program)))
		s.sessions = max(s.sessions, established(dir))
		out[gateways[st.Ino]] = s
	}
	return out
}

// established counts the connections of BGP in the network namespace of a process (proc_net_tcp.txt of the kernel: addresses as ADDRESS:PORT, state 01).
func established(process string) (n int) {
	for _, table := range []string{"/net/tcp", "/net/tcp6"} {
		text, _ := os.ReadFile(process + table) // the process may have ended
		for line := range strings.Lines(string(text)) {
			var number, local, remote, state string
			_, err := fmt.Sscan(line, &number, &local, &remote, &state)
			if err == nil && state == "01" && (strings.HasSuffix(local, ":00B3") || strings.HasSuffix(remote, ":00B3")) {
				n++
			}
		}
	}
	return n
}
