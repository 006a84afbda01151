package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"ropeway/internal/diag"
)

// threeRegions is a mesh of three regions with two gateways each and a site behind NAT.
const threeRegions = `apiVersion: ropeway/v1
kind: Fabric
metadata: {name: acme}
spec:
  topology: {mode: mesh}
  regions:
    - name: use1
      prefixes: [10.10.0.0/16]
      gateways:
        - {name: use1-a, endpoint: 203.0.113.10}
        - {name: use1-b, endpoint: 203.0.113.11}
    - name: euw1
      prefixes: [10.20.0.0/16]
      gateways:
        - {name: euw1-a, endpoint: 198.51.100.20}
        - {name: euw1-b, endpoint: 198.51.100.21}
    - name: apse1
      prefixes: [10.30.0.0/16]
      gateways:
        - {name: apse1-a, endpoint: 192.0.2.30}
        - {name: apse1-b, endpoint: 192.0.2.31}
  sites:
    - name: hq
      prefixes: [192.168.0.0/16]
      gateways: [{name: hq-1, nat: true}]
  access:
    - {from: any, to: any}
  tests:
    - {from: site/hq, to: "10.10.4.5:5432/tcp", expect: reachable, symmetric: true}
`

func labName(t *testing.T) string {
	t.Helper()
	name := fmt.Sprintf("t%d-", os.Getpid())
	for _, r := range strings.ToLower(t.Name()) {
		if len(name) < 63 && (r >= 'a' && r <= 'z' || r >= '0' && r <= '9') {
			name += string(r)
		}
	}
	return name
}

// up brings up a lab that the end of the test takes down.
func up(t *testing.T, text string, change ...func(*Options)) *Lab {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	opts := Options{Name: labName(t), Agent: agentPath, Responder: []string{self, "serve"}}
	for _, c := range change {
		c(&opts)
	}
	begun := time.Now()
	opts.Progress = func(s string) { t.Logf("%s after %s", s, time.Since(begun).Round(time.Millisecond)) }
	l, silent, err := Up(t.Context(), "fabric.yaml", []byte(text), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("up after %s", time.Since(begun).Round(time.Millisecond))
	t.Cleanup(func() {
		if err := l.Down(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
		leavesNothing(t, l.Name)
	})
	if len(silent) > 0 && opts.Damage == nil {
		for _, k := range silent {
			for _, g := range []string{k.A, k.B} {
				log, _ := os.ReadFile(machineDir(l.Name, g) + "/" + logFile)
				t.Logf("log of %s:\n%s", g, log)
			}
		}
		t.Fatalf("silent links: %v", silent)
	}
	return l
}

func leavesNothing(t *testing.T, name string) {
	t.Helper()
	if _, err := os.Lstat(home(name)); err == nil {
		t.Errorf("%s is left", home(name))
	}
	entries, _ := os.ReadDir("/run/netns")
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), labPrefix(name)) {
			t.Errorf("namespace %s is left", e.Name())
		}
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil || strings.Contains(string(mounts), labPrefix(name)) || strings.Contains(string(mounts), home(name)) {
		t.Errorf("a mount is left, or %v", err)
	}
	procs, _ := os.ReadDir("/proc")
	for _, p := range procs {
		args, err := os.ReadFile("/proc/" + p.Name() + "/cmdline")
		if err == nil && strings.Contains(string(args), home(name)) {
			t.Errorf("process %s is left: %q", p.Name(), args)
		}
	}
}

func TestThreeRegionsComeUp(t *testing.T) {
	l := up(t, threeRegions)
	if len(l.links()) != 18 {
		t.Errorf("%d links, want 18", len(l.links()))
	}
	agrees(t, l)
}

// agrees tests a lab and fails where packets and prover disagree.
func agrees(t *testing.T, l *Lab) *Report {
	t.Helper()
	begun := time.Now()
	r, err := l.Test(t.Context(), TestOptions{Everything: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d flows after %s", r.Sent, time.Since(begun).Round(time.Millisecond))
	if r.Sent == 0 || len(r.Results) != r.Sent {
		t.Errorf("%d flows, %d results", r.Sent, len(r.Results))
	}
	shown := 0
	for _, res := range r.Results {
		if !res.Agree && shown < 20 {
			shown++
			t.Errorf("%s (%s) → %s (%s) %s size %d stream %v: predicted %s, observed %s (%s)", res.From, res.FromHost, res.To, res.ToHost,
				res.Service, res.Size, res.Stream, res.Predicted, res.Observed, res.Reason)
		}
	}
	return r
}

func TestOneCommandAtATime(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	name := labName(t)
	release, err := claim(name)
	if err != nil {
		t.Fatal(err)
	}
	var p diag.Problem
	if err := Down(t.Context(), name); !errors.As(err, &p) || p.Code != "RW5004" {
		t.Errorf("down while another command works: %v, want RW5004", err)
	}
	if _, err := claim(name); !errors.As(err, &p) || p.Code != "RW5007" {
		t.Errorf("the same name again: %v, want RW5007", err)
	}
	if err := release(); err != nil {
		t.Fatal(err)
	}
	if err := Down(t.Context(), name); err != nil {
		t.Error(err)
	}
	leavesNothing(t, name)
}
