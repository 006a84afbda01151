package kernel_test

import (
	_ "embed"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"ropeway/internal/agent"
	"ropeway/internal/lab"
	"ropeway/internal/wireguard"
)

//go:embed testdata/atlantic.yaml
var atlantic string

// ocean is a round trip between us-east-1 and eu-west-1: pings took 66.6 ms on average (gist.github.com/caius/21eca095ba281393f0616e2325410278), and distances of
// continents do not change.
const ocean = 70 * time.Millisecond

// TestFailover brings the fabric up with each daemon, and loses the gateway that packets go by. They go by the other one of its region, as was proven.
func TestFailover(t *testing.T) {
	if !inside() {
		t.Skip("runs in a virtual machine: make test-kernel")
	}
	for _, daemon := range []string{"bird", "frr"} {
		t.Run(daemon, func(t *testing.T) { failover(t, daemon) })
	}
}

func failover(t *testing.T, daemon string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), daemon+".yaml")
	if err := os.WriteFile(file, []byte(strings.Replace(atlantic, "daemon: frr", "daemon: "+daemon, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	w := up(t, file, daemon)
	w.apart(t, ocean)
	for _, name := range []string{"use1-a", "use1-b", "euw1-a", "euw1-b"} {
		w.isKernels(t, name, daemon)
	}
	w.agrees(t)
	if took := w.ping(t); took < ocean {
		t.Errorf("a round trip over %v took %v", ocean, took)
	}

	lost, other := w.carrier(t, "use1-a", "use1-b")
	w.must(t, "lab", "fault", "--name", w.name, "gateway-kill", lost)
	begun := time.Now()
	w.answers(t)
	t.Logf("%s was lost, and packets went by %s after %.1f s", lost, other, time.Since(begun).Seconds())
	w.agrees(t)
	if now, _ := w.carrier(t, other); now != other {
		t.Errorf("%s is lost, and packets go by %q", lost, now)
	}
}

// isKernels fails unless a gateway's tunnels are the kernel's, and its routes come from that daemon.
func (w *world) isKernels(t *testing.T, gateway, daemon string) {
	t.Helper()
	var s agent.Status
	if err := json.Unmarshal([]byte(w.on(t, gateway, "ropeway-gateway", "status", "-o", "json")), &s); err != nil {
		t.Fatal(err)
	}
	if len(s.Devices) != 2 {
		t.Errorf("%s has %d devices, one for each gateway beyond the ocean", gateway, len(s.Devices))
	}
	for _, d := range s.Devices {
		if d.Backend != wireguard.Kernel {
			t.Errorf("%s of %s is %q", d.Name, gateway, d.Backend)
		}
	}
	if links := strings.Count(w.on(t, gateway, "ip", "-o", "link", "show", "type", "wireguard"), "\n"); links != len(s.Devices) {
		t.Errorf("the kernel knows %d tunnels of %s, and the agent %d", links, gateway, len(s.Devices))
	}
	if s.BGP == nil || string(s.BGP.Daemon) != daemon {
		t.Errorf("%s speaks BGP by %+v", gateway, s.BGP)
	}
}

// agrees holds the proof against packets.
func (w *world) agrees(t *testing.T) {
	t.Helper()
	var r lab.Report
	if err := json.Unmarshal([]byte(w.must(t, "lab", "test", "--name", w.name, "-o", "json")), &r); err != nil {
		t.Fatal(err)
	}
	if !r.OK || len(r.Tests) != 2 || len(r.Results) == 0 {
		t.Errorf("%+v", r)
	}
	for _, res := range r.Results {
		if !res.Agree {
			t.Errorf("%s → %s %s: predicted %s, observed %s", res.From, res.To, res.Service, res.Predicted, res.Observed)
		}
	}
}

// carrier returns the gateway that packets from use1 to euw1 go by, and the last of the others.
func (w *world) carrier(t *testing.T, gateways ...string) (carries, other string) {
	t.Helper()
	before := make([]int, len(gateways))
	for i, g := range gateways {
		before[i] = w.forwarded(t, g)
	}
	w.ping(t)
	for i, g := range gateways {
		if w.forwarded(t, g)-before[i] >= pings {
			if carries != "" {
				t.Errorf("both %s and %s carry packets", carries, g)
			}
			carries = g
		}
	}
	i := slices.IndexFunc(gateways, func(g string) bool { return g != carries })
	if carries == "" || i < 0 && len(gateways) > 1 {
		t.Fatalf("none of %v carries packets", gateways)
	}
	return carries, gateways[max(i, 0)]
}
