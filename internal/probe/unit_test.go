package probe_test

import (
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"ropeway/internal/nstest"
	"ropeway/internal/probe"
)

const underTheUnit = "ROPEWAY_TEST_UNDER_THE_UNIT"

// directive returns the value of a setting in a file of NAME=VALUE lines.
func directive(t *testing.T, path, name string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if key, value, ok := strings.Cut(line, "="); ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	t.Fatalf("%s says nothing of %s", path, name)
	return ""
}

// With what the systemd unit leaves an agent, and the setting that is installed beside it, gateways can be asked; without the setting the kernel may refuse,
// and it is said what is missing.
func TestWithWhatTheUnitLeaves(t *testing.T) {
	if device := os.Getenv(underTheUnit); device != "" {
		answered, err := probe.Echo(t.Context(), []probe.Target{{Name: "gw2", Device: device, Addresses: []netip.Addr{netip.MustParseAddr("100.64.0.2")}}}, 30*time.Second)
		if err != nil || !answered["gw2"] {
			t.Fatalf("%v answered, %v", answered, err)
		}
		return
	}
	var bounding []string
	for _, name := range strings.Fields(directive(t, "../../deploy/systemd/ropeway-gateway.service", "CapabilityBoundingSet")) {
		bounding = append(bounding, "+"+strings.ToLower(strings.TrimPrefix(name, "CAP_")))
	}
	set := "-all," + strings.Join(bounding, ",")
	near := nstest.Enter(t)
	far := nstest.New(t)
	nstest.Join(t, nstest.Plug{NS: near, Name: "rw0", Addr: "100.64.0.1/24"}, nstest.Plug{NS: far, Name: "far0", Addr: "100.64.0.2/24"})
	ask := func(groups string) (string, error) {
		t.Helper()
		if err := os.WriteFile("/proc/sys/net/ipv4/ping_group_range", []byte(groups), 0o600); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command("setpriv", "--bounding-set="+set, "--no-new-privs", os.Args[0], "-test.run=^TestWithWhatTheUnitLeaves$")
		cmd.Env = append(os.Environ(), underTheUnit+"=rw0")
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	if out, err := ask("1 0"); err == nil || !strings.Contains(out, "ping_group_range") {
		t.Errorf("the kernel's default: %v\n%s", err, out)
	}
	if out, err := ask(directive(t, "../../deploy/sysctl/40-ropeway-gateway.conf", "net.ipv4.ping_group_range")); err != nil {
		t.Errorf("the setting: %v\n%s", err, out)
	}
}
