package e2e

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ropeway/internal/lab"
)

// edited writes a copy of the example with one text in the place of another.
func edited(t *testing.T, old, new string) string {
	t.Helper()
	text, err := os.ReadFile("../examples/three-regions.yaml")
	if err != nil || !strings.Contains(string(text), old) {
		t.Fatalf("the example has no %q, or %v", old, err)
	}
	file := filepath.Join(t.TempDir(), "edited.yaml")
	if err := os.WriteFile(file, []byte(strings.Replace(string(text), old, new, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// TestALabWithAController is what make lab shows, and what a person does then.
func TestALabWithAController(t *testing.T) {
	t.Parallel()
	name := labName("ctl")
	up(t, "../examples/three-regions.yaml", name, "--controllers", "1")
	if r := tested(t, 0, name); r.Revision != 1 {
		t.Errorf("the lab is at revision %d", r.Revision)
	}
	t.Run("an edited example moves the lab", func(t *testing.T) {
		file := edited(t, ", 10.30.0.0/17]", "]") // apse1 leaves segment prod
		if r := must(t, 0, "apply", file, "--auto-approve", "--lab="+name); !strings.Contains(r.out, "Revision 2") {
			t.Errorf("apply said: %s%s", r.out, r.errors)
		}
		denied := 0
		for _, res := range tested(t, 0, name, "--everything").Results {
			if res.FromHost == "apse1/host1" && res.ToHost == "use1/host1" && res.Observed == lab.Denied {
				denied++
			}
		}
		if denied == 0 {
			t.Error("what lost its path still gets through")
		}
	})
	t.Run("everybody is well", func(t *testing.T) {
		var lines []struct{ Name, State string }
		deadline := time.Now().Add(time.Minute)
		for well := false; !well; time.Sleep(200 * time.Millisecond) {
			if err := json.Unmarshal([]byte(must(t, 0, "get", "gateways", "-o", "json", "--lab="+name).out), &lines); err != nil {
				t.Fatal(err)
			}
			well = len(lines) == 7
			for _, l := range lines {
				well = well && l.State == "well"
			}
			if time.Now().After(deadline) {
				t.Fatalf("gateways: %+v", lines)
			}
		}
		if table := must(t, 0, "lab", "status", "--name", name).out; !strings.Contains(table, "controller serving") || !strings.Contains(table, "at revision 2") {
			t.Errorf("the table shows no controller:\n%s", table)
		}
	})
	t.Run("faults", func(t *testing.T) {
		for _, f := range []string{
			"controller-kill all", "controller-kill use1", "controller-stop use1", "controller-partition use1", "disk-full use1",
			"clock-skew use1 +1h", "clock-skew use1 -90m", "agent-kill euw1-a", "agent-stop euw1-b",
		} {
			must(t, 0, append([]string{"lab", "fault", "--name", name}, strings.Fields(f)...)...)
			if got := faults(t, name); len(got) != 1 || !strings.HasPrefix(strings.ReplaceAll(got[0].String(), "0m0s", ""), strings.TrimSuffix(f, "90m")) {
				t.Errorf("%s: there is %v", f, got)
			}
			tested(t, 0, name) // no packet notices
			must(t, 0, "lab", "fault", "--name", name, "undo")
		}
		must(t, 0, "lab", "fault", "--name", name, "region-partition", "euw1")
		tested(t, 3, name) // prover and packets agree on what that costs
		must(t, 0, "lab", "fault", "--name", name, "undo")
		for _, f := range []string{"controller-kill euw1", "disk-full nobody", "controller-stop all", "clock-skew use1 0h", "clock-skew use1 9999h", "region-partition mars", "agent-kill use1"} {
			if r := must(t, 1, append([]string{"lab", "fault", "--name", name}, strings.Fields(f)...)...); !strings.Contains(r.errors, "RW5009") {
				t.Errorf("%s: %s", f, r.errors)
			}
		}
		if r := must(t, 1, "lab", "fault", "--name", name, "clock-skew", "use1", "soon"); !strings.Contains(r.errors, "RW6001") {
			t.Errorf("no offset: %s", r.errors)
		}
		tested(t, 0, name)
	})
	t.Run("another gateway needs another lab", func(t *testing.T) {
		file := edited(t, "- {name: euw1-b,", "- {name: euw1-c, endpoint: 198.51.100.12}\n        - {name: euw1-b,")
		if r := must(t, 1, "apply", file, "--auto-approve", "--lab="+name); !strings.Contains(r.errors, "RW5016") || !strings.Contains(r.errors, "euw1-c") {
			t.Errorf("said: %s", r.errors)
		}
		must(t, 0, "apply", "../examples/three-regions.yaml", "--auto-approve", "--lab="+name)
		tested(t, 0, name)
	})
	t.Run("nothing secret", func(t *testing.T) {
		for _, log := range []string{"controllers/use1/controller.log", "controllers/use1/welcome", "gateways/use1-a/agent.log", "lab.json"} {
			text, err := os.ReadFile(filepath.Join("/run/ropeway-lab", name, log))
			if err != nil || strings.Contains(string(text), "rwt1.") {
				t.Errorf("%s holds a token, or %v", log, err)
			}
		}
	})
}

func TestControllersThatCannotBe(t *testing.T) {
	t.Parallel()
	file, name := "../examples/three-regions.yaml", labName("noctl")
	for _, number := range []string{"2", "5", "-1"} {
		if r := must(t, 1, "lab", "up", file, "--name", name, "--controllers", number); !strings.Contains(r.errors, "RW5014") {
			t.Errorf("%s controllers: %s", number, r.errors)
		}
	}
	if r := must(t, 1, "lab", "up", file, "--name", name, "--controllers", "1", "--ropewayd", "/no/such/program"); !strings.Contains(r.errors, "RW5005") {
		t.Errorf("no ropewayd: %s", r.errors)
	}
	failing := edited(t, "{from: region/apse1, to: site/hq, expect: denied}", "{from: region/apse1, to: site/hq, expect: reachable}")
	if r := must(t, 1, "lab", "up", failing, "--name", name, "--controllers", "1"); !strings.Contains(r.errors, "ropeway apply") {
		t.Errorf("a fabric that a controller refuses: %s", r.errors)
	}
	if left := leftovers(t, name); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
	up(t, "../examples/dual-stack.yaml", name)
	if r := must(t, 1, "get", "gateways", "--lab="+name); !strings.Contains(r.errors, "RW5017") {
		t.Errorf("a lab without controllers: %s", r.errors)
	}
	if r := must(t, 1, "lab", "fault", "--name", name, "controller-kill", "all"); !strings.Contains(r.errors, "RW5009") {
		t.Errorf("a fault of a controller: %s", r.errors)
	}
}

// TestDownAfterACrashWithControllers kills "lab up" at many moments; down takes away disks and controllers, too.
func TestDownAfterACrashWithControllers(t *testing.T) {
	t.Parallel()
	for i := range 6 {
		name := labName("ctlcrash")
		cmd := exec.Command(filepath.Join(programs, "ropeway"), "lab", "up", "../examples/three-regions.yaml", "--name", name, "--controllers", "1") //nolint:noctx // killed below
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(300+i*500) * time.Millisecond)
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if len(leftovers(t, name)) > 0 {
			must(t, 0, "lab", "down", "--name", name)
		}
		if left := leftovers(t, name); len(left) > 0 {
			t.Errorf("down after a kill left %q", left)
		}
	}
}
