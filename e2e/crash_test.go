package e2e

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestDownAfterACrash kills "lab up" at many moments of its work. Whatever it left, down takes away, and the name is free again.
func TestDownAfterACrash(t *testing.T) {
	t.Parallel()
	file := "../examples/three-regions.yaml"
	killed := 0
	for i := range 12 {
		name := labName(fmt.Sprintf("crash%d", i))
		cmd := exec.Command(filepath.Join(programs, "ropeway"), "lab", "up", file, "--name", name) //nolint:noctx // killed below
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(i) * 90 * time.Millisecond)
		_ = cmd.Process.Kill()
		if err := cmd.Wait(); err != nil {
			killed++
		}
		left := leftovers(t, name)
		if len(left) == 0 {
			continue // it had not begun
		}
		if cmd.ProcessState.ExitCode() != 0 {
			r := ropeway(t, "lab", "test", "--name", name)
			if r.code != 1 {
				t.Errorf("a test of what a kill after %d ms left: exit %d, %s", i*90, r.code, r.errors)
			}
			if r := must(t, 1, "lab", "up", file, "--name", name); !strings.Contains(r.errors, "RW5007") {
				t.Errorf("up over what a kill left: %s", r.errors)
			}
		}
		must(t, 0, "lab", "down", "--name", name)
		if left := leftovers(t, name); len(left) > 0 {
			t.Errorf("down after a kill at %d ms left %q", i*90, left)
		}
	}
	if killed < 3 {
		t.Errorf("only %d of 12 were killed in the middle", killed)
	}
}

// TestDownFindsALabWithoutItsDirectory takes away namespaces and processes of which nothing is recorded any more.
func TestDownFindsALabWithoutItsDirectory(t *testing.T) {
	t.Parallel()
	name := labName("lost")
	up(t, "../examples/dual-stack.yaml", name)
	if out, err := exec.CommandContext(t.Context(), "rm", "-r", "/run/ropeway-lab/"+name).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	must(t, 0, "lab", "down", "--name", name)
	if left := leftovers(t, name); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
}

// TestAnInterruptedUpLeavesNothing is Ctrl-C.
func TestAnInterruptedUpLeavesNothing(t *testing.T) {
	t.Parallel()
	for i := range 6 {
		name := labName(fmt.Sprintf("int%d", i))
		cmd := exec.Command(filepath.Join(programs, "ropeway"), "lab", "up", "../examples/three-regions.yaml", "--name", name) //nolint:noctx // ended below
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(50+i*120) * time.Millisecond)
		_ = exec.CommandContext(t.Context(), "kill", "-INT", fmt.Sprint(cmd.Process.Pid)).Run()
		if cmd.Wait() == nil { // it was up already
			must(t, 0, "lab", "down", "--name", name)
		}
		if left := leftovers(t, name); len(left) > 0 {
			t.Errorf("interrupted after %d ms, it left %q", 50+i*120, left)
		}
	}
}
