package build_test

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// The layers hold through every import of an import; the linter sees only the first. What a package of the module may lead to,
// beside itself and what stands before it:
func TestLayers(t *testing.T) {
	words := []string{"fabric", "key", "plankey", "diag", "prefixes", "token"}
	thought := []string{"intent", "plan", "state", "compile", "verify", "reach", "proposal", "export", "scope", "rollout", "diagnose", "adopt", "audit", "decision"}
	spoken := slices.Concat(words, []string{"role", "api/ropeway/v1", "api/ropeway/v1/ropewayv1connect"})
	for _, layer := range []struct {
		name     string
		packages []string
		may      []string
	}{
		{"words", words, words},
		{"a word of the API", []string{"role"}, spoken},
		{"thought", thought, slices.Concat(words, thought)},
		{"a thought of the API", []string{"grant"}, slices.Concat(spoken, thought)},
		{"what binds thoughts of it", []string{"seal"}, slices.Concat(spoken, thought, []string{"grant"})},
		{"a hand", []string{"wireguard"}, slices.Concat(words, []string{"plan", "rtnl"})},
		{"a hand", []string{"route"}, slices.Concat(words, []string{"plan", "rtnl"})},
		{"a hand", []string{"firewall"}, slices.Concat(words, []string{"plan"})},
		{"a hand", []string{"tune"}, slices.Concat(words, []string{"plan", "files"})},
		{"a hand", []string{"bgp", "bgp/frr", "bgp/bird"}, slices.Concat(words, []string{"plan", "files", "bgp"})},
		{"a hand", []string{"cloud", "cloud/command"}, []string{"cloud"}},
		{"a hand", []string{"probe"}, nil},
		{"beside the hands", []string{"gate"}, nil},
		{"beside the hands", []string{"pin"}, spoken},
		{"beside the hands", []string{"authority"}, slices.Concat(spoken, []string{"files", "pin"})},
		{"a hand", []string{"store"}, []string{"key", "diag", "files", "rollout", "audit"}},
		{"what binds two of them", []string{"backup"}, slices.Concat(spoken, []string{"files", "pin", "authority", "store", "rollout", "audit"})},
		{"a hand", []string{"signer"}, []string{"diag", "files", "plankey"}},
		{"a hand", []string{"keeper"}, []string{"diag"}},
		{"what a drill says", []string{"lab/drill"}, nil},
		{"a hand", []string{"sink"}, []string{"diag", "files", "audit"}},
	} {
		for _, name := range layer.packages {
			for _, dep := range deps(t, "ropeway/internal/"+name) {
				inside, ours := strings.CutPrefix(dep, "ropeway/")
				inside = strings.TrimPrefix(inside, "internal/")
				if ours && inside != name && !slices.Contains(layer.may, inside) {
					t.Errorf("%s (%s) leads to %s", name, layer.name, inside)
				}
			}
		}
	}
}

// A gateway's agent is small, and knows nothing but its own plan.
func TestTheAgentStaysSmall(t *testing.T) {
	for _, dep := range deps(t, "ropeway/cmd/ropeway-gateway") {
		for _, never := range []string{
			"k8s.io/", "sigs.k8s.io/", "github.com/aws/", "github.com/Azure/", "cloud.google.com/", "gocloud.dev/", "github.com/hashicorp/", "go.etcd.io/",
			"ropeway/internal/intent", "ropeway/internal/compile", "ropeway/internal/verify", "ropeway/internal/lab",
			"ropeway/internal/authority", "ropeway/internal/signer", "ropeway/internal/keeper",
		} {
			if strings.HasPrefix(dep, never) {
				t.Errorf("ropeway-gateway links %s", dep)
			}
		}
	}
}

func deps(t *testing.T, pkg string) []string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", pkg).Output()
	if err != nil {
		t.Fatalf("list what %s imports: %v", pkg, err)
	}
	return strings.Fields(string(out))
}
