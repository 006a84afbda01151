package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ropeway/internal/lab"
	"ropeway/internal/verify"
)

// proof runs verify and returns its report.
func proof(t *testing.T, file string, more ...string) *verify.Report {
	t.Helper()
	r := ropeway(t, append([]string{"verify", "-o", "json", file}, more...)...)
	var out verify.Report
	if err := json.Unmarshal([]byte(r.out), &out); err != nil {
		t.Fatalf("exit %d, %v: %s", r.code, err, r.errors)
	}
	return &out
}

// TestEveryLossBreaksWhatWasForetold kills every gateway of a lab and cuts every link of another, one after the other, and compares
// the tests that packets then break with those that verify --failures 1 names.
func TestEveryLossBreaksWhatWasForetold(t *testing.T) {
	file := "../examples/hub-and-spoke.yaml"
	foretold := proof(t, file, "--failures", "1").Failures
	for what, fault := range map[string]lab.FaultKind{"gateway": lab.GatewayKill, "link": lab.LinkCut} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			name := labName("lost-" + what)
			up(t, file, name)
			for _, f := range foretold {
				if words := strings.Fields(f.Lost); words[0] == what {
					t.Run(strings.Join(words[1:], "_"), func(t *testing.T) {
						loses(t, name, f, append([]string{string(fault)}, words[1:]...))
					})
				}
			}
			tested(t, 0, name) // all is well again
		})
	}
}

func loses(t *testing.T, name string, f verify.Failure, fault []string) {
	t.Helper()
	must(t, 0, append([]string{"lab", "fault", "--name", name}, fault...)...)
	defer must(t, 0, "lab", "fault", "--name", name, "undo", "all")
	code := 0
	if len(f.Tests) > 0 {
		code = 3
	}
	var broken []int
	for i, tt := range tested(t, code, name).Tests {
		if !tt.Observed {
			broken = append(broken, i+1)
		}
	}
	if !slices.Equal(broken, f.Tests) {
		t.Errorf("packets break tests %v, verify foretold %v", broken, f.Tests)
	}
}

func faults(t *testing.T, name string) []lab.Fault {
	t.Helper()
	var out []lab.Fault
	if err := json.Unmarshal([]byte(must(t, 0, "lab", "fault", "--name", name, "list", "-o", "json").out), &out); err != nil {
		t.Fatal(err)
	}
	return out
}

func TestFaults(t *testing.T) {
	t.Parallel()
	file, name := "../examples/three-regions.yaml", labName("faults")
	up(t, file, name)
	fault := func(t *testing.T, args ...string) {
		t.Helper()
		must(t, 0, append([]string{"lab", "fault", "--name", name}, args...)...)
		t.Cleanup(func() { must(t, 0, "lab", "fault", "--name", name, "undo", "all") })
	}
	carrier := proof(t, file).Tests[0].Forward.Gateways[0] // some gateway that traffic crosses

	t.Run("a route that is lost comes back", func(t *testing.T) {
		prefix := routeOf(t, name, carrier)
		r := must(t, 0, "lab", "fault", "--name", name, "route-drop", carrier, prefix)
		if !strings.Contains(r.out, "put the route to "+prefix+" back") || len(faults(t, name)) != 0 {
			t.Errorf("said %q, and there are faults %v", r.out, faults(t, name))
		}
		tested(t, 0, name)
	})
	t.Run("a route that is held down", func(t *testing.T) {
		fault(t, "route-drop", carrier, routeOf(t, name, carrier), "--hold")
		if r := tested(t, 3, name); len(r.Faults) != 1 {
			t.Errorf("faults: %v", r.Faults)
		}
	})
	t.Run("several at once, mended one by one", func(t *testing.T) {
		fault(t, "link-cut", "use1", "euw1")
		fault(t, "gateway-kill", "apse1-a")
		fault(t, "icmp-block", "use1", "hq")
		tested(t, 3, name)
		if got := faults(t, name); len(got) != 3 {
			t.Fatalf("faults: %v", got)
		}
		if r := must(t, 1, "lab", "fault", "--name", name, "undo"); !strings.Contains(r.errors, "3 faults") {
			t.Errorf("undo without saying which: %s", r.errors)
		}
		must(t, 0, "lab", "fault", "--name", name, "undo", fmt.Sprint(faults(t, name)[0].ID))
		if got := faults(t, name); len(got) != 2 || got[0].Kind != lab.GatewayKill {
			t.Errorf("faults: %v", got)
		}
		tested(t, 3, name)
	})
	t.Run("the prover not told", func(t *testing.T) {
		fault(t, "link-cut", "use1", "euw1")
		r := ropeway(t, "lab", "test", "--name", name, "--predict-faults=false", "-o", "json")
		var report lab.Report
		if err := json.Unmarshal([]byte(r.out), &report); err != nil {
			t.Fatal(err)
		}
		if r.code != 3 || report.Agree == report.Sent {
			t.Errorf("exit %d, %d of %d flows agree with a proof that knows nothing of the cut", r.code, report.Agree, report.Sent)
		}
	})
	t.Run("faults that cannot be", func(t *testing.T) {
		for _, args := range [][]string{
			{"gateway-kill", "nobody"}, {"link-cut", "use1", "use1"}, {"link-cut", "use1", "use1-a"}, {"icmp-block", "use1", "$(reboot)"},
			{"underlay-mtu", "use1", "euw1", "20"}, {"underlay-mtu", "use1", "euw1", "70000"}, {"underlay-mtu", "use1", "mars", "1400"},
			{"route-drop", "use1-a", "10.99.0.0/16"}, {"undo", "77"},
		} {
			if r := must(t, 1, append([]string{"lab", "fault", "--name", name}, args...)...); !strings.Contains(r.errors, "RW5009") {
				t.Errorf("%v: %s", args, r.errors)
			}
		}
		if got := faults(t, name); len(got) != 0 {
			t.Errorf("a refused fault is there: %v", got)
		}
	})
	tested(t, 0, name)
}

// routeOf returns a prefix that a gateway has a route for and that some place owns.
func routeOf(t *testing.T, name, gateway string) string {
	t.Helper()
	out := must(t, 0, "lab", "exec", "--name", name, gateway, "--", "ip", "-4", "route", "show", "proto", "114").out
	for _, line := range strings.Split(out, "\n") {
		if word, _, _ := strings.Cut(line, " "); strings.HasPrefix(word, "10.") {
			return word
		}
	}
	t.Fatalf("%s has no route for a place:\n%s", gateway, out)
	return ""
}

// TestABlackHoleIsSeenAndNamed is the story of the MTU: the path between two regions loses some bytes, and nobody tells.
func TestABlackHoleIsSeenAndNamed(t *testing.T) {
	t.Parallel()
	file, name := "../examples/three-regions.yaml", labName("mtu")
	up(t, file, name)
	must(t, 0, "lab", "fault", "--name", name, "icmp-block")
	must(t, 0, "lab", "fault", "--name", name, "underlay-mtu", "use1", "euw1", "1400")

	r := tested(t, 3, name)
	small, large, stalled := 0, 0, 0
	for _, res := range r.Results {
		switch {
		case res.FromHost != "use1/host1" || res.ToHost != "euw1/host1":
		case res.Stream && res.Observed == lab.Stalled:
			stalled++
		case res.Size == 0 && res.Observed == lab.Reachable:
			small++
		case res.Size == 1440 && res.Observed == lab.Denied:
			large++
		}
	}
	if small == 0 || large == 0 || stalled == 0 {
		t.Errorf("%d small packets pass, %d full-size ones are lost, %d streams stall: want some of each", small, large, stalled)
	}

	told := ropeway(t, "verify", file, "--underlay", "use1,euw1=1400", "--no-icmp")
	if told.code != 3 || !strings.Contains(told.out, "1400") {
		t.Errorf("verify, told of the new MTU: exit %d\n%s", told.code, told.out)
	}
	must(t, 0, "lab", "fault", "--name", name, "undo", "all")
	tested(t, 0, name)
}

// TestALabOfThirtyGateways is the size that the lab is made for.
func TestALabOfThirtyGateways(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	b.WriteString("apiVersion: ropeway/v1\nkind: Fabric\nmetadata: {name: thirty}\nspec:\n  topology: {mode: mesh}\n  regions:\n")
	for i := range 15 {
		fmt.Fprintf(&b, "    - {name: r%d, prefixes: [10.%d.0.0/16], gateways: [{name: r%d-a, endpoint: 203.0.113.%d}, {name: r%d-b, endpoint: 203.0.113.%d}]}\n",
			i, i, i, 2*i+1, i, 2*i+2)
	}
	b.WriteString("  access: [{from: any, to: any}]\n  tests: [{from: any, to: any, expect: reachable}]\n")
	file := filepath.Join(t.TempDir(), "thirty.yaml")
	if err := os.WriteFile(file, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	name := labName("thirty")
	up(t, file, name)
	if r := tested(t, 0, name); len(r.Results) < 15*14*3 {
		t.Errorf("only %d flows", len(r.Results))
	}
}
