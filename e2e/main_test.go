// Package e2e drives the whole of Ropeway on this machine: the programs as they are built, real WireGuard, real network stacks.
//
// TestKernelAgreesWithProof is the heart of it: random fabrics, some of them with plans that were damaged on purpose, are brought up,
// and what the prover says of every packet is held against what becomes of real ones.
package e2e

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"ropeway/e2e/testbuild"
)

var (
	fabrics  = flag.Int("fabrics", 25, "how many random fabrics the kernel is asked about")
	speaking = flag.Int("speaking", 4, "how many random fabrics whose gateways speak BGP the kernel is asked about")
	seed     = flag.Uint64("seed", 1, "the first fabric's seed; the others follow")
	keep     = flag.Bool("keep", false, "leave labs with random fabrics up, to look around in")
	together = flag.Int("together", 3, "how many labs are up at a time")
)

// programs holds the programs under test, built once.
var programs string

func TestMain(m *testing.M) { os.Exit(runTests(m)) }

func runTests(m *testing.M) int {
	flag.Parse()
	if os.Geteuid() != 0 {
		fmt.Fprintln(os.Stderr, "e2e: needs root; nothing is tested")
		return 0
	}
	return testbuild.Run(m, &programs, "ropeway/cmd/...")
}

// A result is what a command said.
type result struct {
	code        int
	out, errors string
}

// ropeway runs the command line and returns what it said, whatever its exit code.
func ropeway(t *testing.T, args ...string) result {
	t.Helper()
	var out, errs bytes.Buffer
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), filepath.Join(programs, "ropeway"), args...) // a cleanup runs it, too
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("ropeway %s: %v", strings.Join(args, " "), err)
	}
	return result{cmd.ProcessState.ExitCode(), out.String(), errs.String()}
}

// must runs the command line and fails unless it exits with the code.
func must(t *testing.T, code int, args ...string) result {
	t.Helper()
	r := ropeway(t, args...)
	if r.code != code {
		t.Fatalf("ropeway %s: exit %d, want %d\n%s%s", strings.Join(args, " "), r.code, code, r.out, r.errors)
	}
	return r
}

// labName is a name that no other test on this machine uses.
func labName(what string) string { return fmt.Sprintf("e2e%d-%s", os.Getpid(), what) }

// leftovers returns what this machine still has of a lab.
func leftovers(t *testing.T, lab string) []string {
	t.Helper()
	var left []string
	if _, err := os.Lstat("/run/ropeway-lab/" + lab); err == nil {
		left = append(left, "its directory")
	}
	names, err := filepath.Glob("/run/netns/rwlab." + lab + ".*")
	if err != nil {
		t.Fatal(err)
	}
	left = append(left, names...)
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range strings.Split(string(mounts), "\n") {
		if strings.Contains(line, "rwlab."+lab+".") || strings.Contains(line, "ropeway-lab/"+lab+"/") {
			left = append(left, "mount "+line)
		}
	}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		args, err := os.ReadFile("/proc/" + e.Name() + "/cmdline")
		text := strings.ReplaceAll(string(args), "\x00", " ")
		if err == nil && (strings.Contains(text, "/run/ropeway-lab/"+lab+"/") || strings.HasSuffix(text, "lab serve "+lab+" ")) {
			left = append(left, "process "+e.Name()+": "+text)
		}
	}
	return left
}
