// Package kernel_test brings a fabric up under a distribution's kernel: gateways whose tunnels are the kernel's own WireGuard, as far apart as regions of a cloud
// are, with both routing daemons; and one of them is lost.
//
// Elsewhere the tests run on whatever kernel there is, which may have neither WireGuard nor netem. Here tools/kernel boots one that has both, and this package's
// tests run in that machine: on its outside there is only TestUnderTheDistributionsKernel, which boots it.
package kernel_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestUnderTheDistributionsKernel runs in a virtual machine what fits into the time of all tests: a failover with one daemon. make test-kernel runs all of it.
func TestUnderTheDistributionsKernel(t *testing.T) {
	if inside() {
		t.Skip("this is the machine")
	}
	tool := filepath.Join(t.TempDir(), "kernel")
	build := exec.Command("go", "build", "-o", tool, "ropeway/tools/kernel")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the machine: %v\n%s", err, out)
	}
	var out bytes.Buffer
	cmd := exec.CommandContext(t.Context(), tool, "-timeout", "8m", "ropeway/e2e/kernel", "-test.v", "-test.run", "TestFailover/bird")
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	switch reason, skipped := strings.CutPrefix(out.String(), "skipped: "); {
	case err != nil:
		t.Fatalf("%v\n%s", err, &out)
	case skipped:
		t.Skip(strings.TrimSpace(reason))
	case !strings.Contains(out.String(), "--- PASS: TestFailover/bird"):
		t.Errorf("no fabric was brought up:\n%s", &out)
	}
}

// inside reports whether this is the virtual machine.
func inside() bool { return os.Getenv("ROPEWAY_TEST_PROGRAMS") != "" }
