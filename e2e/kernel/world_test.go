package kernel_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	drawn "ropeway/internal/lab/world"
)

// A world is a lab in the virtual machine.
type world struct{ name string }

// up brings up a lab; the end of the test takes it down. Routing daemons start slowly on an emulated CPU: FRR's three on four gateways take up to 24 s on an idle host.
func up(t *testing.T, file, name string) *world {
	t.Helper()
	w := &world{name}
	begun := time.Now()
	t.Log(w.must(t, "lab", "up", file, "--name", name, "--patience", "5m"))
	t.Cleanup(func() {
		if t.Failed() {
			w.showAgents(t)
		}
		w.must(t, "lab", "down", "--name", name)
	})
	t.Logf("up after %.1f s", time.Since(begun).Seconds())
	return w
}

// must runs ropeway, fails unless it succeeds, and returns what it printed.
func (w *world) must(t *testing.T, args ...string) string {
	t.Helper()
	cmd := exec.Command(filepath.Join(os.Getenv("ROPEWAY_TEST_PROGRAMS"), "ropeway"), args...) //nolint:noctx // a cleanup runs it, too
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		t.Fatalf("ropeway %s: %v\n%s%s", strings.Join(args, " "), err, &out, &errs)
	}
	if errs.Len() > 0 {
		t.Logf("ropeway %s:\n%s", strings.Join(args, " "), &errs)
	}
	return out.String()
}

// on runs a command on a machine of the lab and returns what it printed.
func (w *world) on(t *testing.T, machine string, command ...string) string {
	t.Helper()
	return w.must(t, append([]string{"lab", "exec", "--name", w.name, machine, "--"}, command...)...)
}

// apart makes a packet take half of rtt from each gateway to each other: what leaves the core waits there.
func (w *world) apart(t *testing.T, rtt time.Duration) {
	t.Helper()
	ns, err := netns.GetFromName("rwlab." + w.name + "." + strings.ReplaceAll(drawn.CoreSpace, "/", "."))
	if err != nil {
		t.Fatal(err)
	}
	defer ns.Close()
	core, err := netlink.NewHandleAt(ns, unix.NETLINK_ROUTE)
	if err != nil {
		t.Fatal(err)
	}
	defer core.Close()
	links, err := core.LinkList()
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range links {
		if l.Type() != "veth" {
			continue
		}
		wait := netlink.NewNetem(netlink.QdiscAttrs{LinkIndex: l.Attrs().Index, Parent: netlink.HANDLE_ROOT, Handle: netlink.MakeHandle(1, 0)},
			netlink.NetemQdiscAttrs{Latency: uint32((rtt / 2).Microseconds())}) //nolint:gosec // far below an hour
		if err := core.QdiscAdd(wait); err != nil {
			t.Fatalf("let %s of the core wait: %v", l.Attrs().Name, err)
		}
	}
}

// pings is how many packets ping sends.
const pings = 10

var fastest = regexp.MustCompile(`min/avg/max/mdev = ([0-9.]+)/`)

// ping sends packets from a host in use1 to one in euw1, fails unless all are answered, and returns the shortest round trip.
func (w *world) ping(t *testing.T) time.Duration {
	t.Helper()
	out := w.on(t, "use1/host1", "ping", "-q", "-c", strconv.Itoa(pings), "-i", "0.2", "-W", "5", "10.20.0.1")
	found := fastest.FindStringSubmatch(out)
	if found == nil || !strings.Contains(out, fmt.Sprintf(" %d received", pings)) {
		t.Fatalf("packets were lost:\n%s", out)
	}
	ms, err := strconv.ParseFloat(found[1], 64)
	if err != nil {
		t.Fatal(err)
	}
	return time.Duration(ms * float64(time.Millisecond))
}

// answers waits until a packet from use1 to euw1 is answered. ping ends with the first that is (-w with -c 1).
func (w *world) answers(t *testing.T) {
	t.Helper()
	w.on(t, "use1/host1", "ping", "-q", "-c", "1", "-i", "0.2", "-w", "60", "10.20.0.1")
}

// forwarded returns how many packets of others the kernel of a gateway has sent on. Sessions and tunnels of its own are none of them.
func (w *world) forwarded(t *testing.T, gateway string) int {
	t.Helper()
	var lines [][]string // "Ip:" twice: the names of counters, and the counters
	for line := range strings.Lines(w.on(t, gateway, "cat", "/proc/net/snmp")) {
		if strings.HasPrefix(line, "Ip:") {
			lines = append(lines, strings.Fields(line))
		}
	}
	for i, name := range lines[0] {
		if name == "ForwDatagrams" {
			n, err := strconv.Atoi(lines[1][i])
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	t.Fatalf("%s does not count what it forwards", gateway)
	return 0
}

// showAgents prints what the agents said last.
func (w *world) showAgents(t *testing.T) {
	t.Helper()
	logs, _ := filepath.Glob("/run/ropeway-lab/" + w.name + "/gateways/*/agent.log")
	for _, log := range logs {
		text, err := os.ReadFile(log)
		t.Logf("%s: %v\n%s", log, err, text[max(0, len(text)-4000):])
	}
}
