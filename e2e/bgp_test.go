package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestTheSameFabricWithBIRD: the daemon is a word in the file, and packets and proof agree all the same, also where a gateway is lost and packets go by the other.
func TestTheSameFabricWithBIRD(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../examples/hybrid-bgp.yaml")
	if err != nil {
		t.Fatal(err)
	}
	other := strings.Replace(string(text), "daemon: frr", "daemon: bird", 1)
	if other == string(text) {
		t.Fatal("the example does not name FRR as its daemon")
	}
	file, name := filepath.Join(t.TempDir(), "bird.yaml"), labName("bird")
	if err := os.WriteFile(file, []byte(other), 0o600); err != nil {
		t.Fatal(err)
	}
	up(t, file, name)
	tested(t, 0, name)
	must(t, 0, "lab", "fault", "--name", name, "gateway-kill", "use1-b")
	if r := tested(t, 0, name); len(r.Faults) != 1 {
		t.Errorf("the report tells of faults %v", r.Faults)
	}
	must(t, 0, "lab", "fault", "--name", name, "undo", "all")
	tested(t, 0, name)
}
