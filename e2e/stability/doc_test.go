// Package stability_test breaks controllers and agents of a lab, in every way that the lab knows, while people apply changes and gateways enroll,
// and holds three things: packets do not notice; what was acknowledged is never lost, and all that anybody was told fits one order of events; and
// everybody catches up once all is well.
//
// What is broken, when, and for how long comes from a seed: -seed repeats a run, -injections makes it as long as you like.
package stability_test

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ropeway/e2e/testbuild"
	"ropeway/internal/lab"
)

var (
	injections  = flag.Int("injections", 15, "how many faults are injected")
	seed        = flag.Uint64("seed", 1, "what is broken, when, and for how long")
	controllers = flag.Int("controllers", 1, "how many controllers there are: 1 or 3")
)

// programs holds the programs under test, built once.
var programs string

func TestMain(m *testing.M) { os.Exit(runTests(m)) }

func runTests(m *testing.M) int {
	flag.Parse()
	if os.Geteuid() != 0 {
		fmt.Fprintln(os.Stderr, "stability: needs root; nothing is tested")
		return 0
	}
	return testbuild.Run(m, &programs, "ropeway/cmd/...")
}

// fabric is three regions that may ping each other and ask each other's echo (RFC 862); services come on top.
func fabric(services ...string) string {
	return fmt.Sprintf(`apiVersion: ropeway/v1
kind: Fabric
metadata: {name: steady}
spec:
  topology: {mode: mesh}
  regions:
    - {name: use1, prefixes: [10.10.0.0/16], gateways: [{name: use1-a, endpoint: 203.0.113.10}]}
    - {name: euw1, prefixes: [10.20.0.0/16], gateways: [{name: euw1-a, endpoint: 198.51.100.10}]}
    - {name: apse1, prefixes: [10.30.0.0/16], gateways: [{name: apse1-a, endpoint: 192.0.2.10}]}
  access:
    - {from: any, to: any, ports: [%s]}
`, strings.Join(append([]string{"icmp", "udp/7"}, services...), ", "))
}

// regions are those of the fabric, and the addresses of their hosts.
var regions = []struct{ name, host string }{{"use1", "10.10.0.1"}, {"euw1", "10.20.0.1"}, {"apse1", "10.30.0.1"}}

// up brings up a lab that the end of the test takes down.
func up(t *testing.T, number int) *lab.Lab {
	t.Helper()
	begun := time.Now()
	program := func(name string) string { return filepath.Join(programs, name) }
	l, silent, err := lab.Up(t.Context(), "steady.yaml", []byte(fabric()), lab.Options{
		Name: fmt.Sprintf("s%d-%s", os.Getpid(), strings.ToLower(t.Name()[len("Test"):min(len(t.Name()), 30)])), Controllers: number,
		Agent: program("ropeway-gateway"), Controller: program("ropewayd"), Command: program("ropeway"), Responder: []string{program("ropeway"), "lab", "serve"},
		Progress: func(s string) { t.Logf("%6.2fs  %s", time.Since(begun).Seconds(), s) },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			showLogs(t, l)
		}
		if err := l.Down(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	if len(silent) > 0 {
		t.Fatalf("silent links: %v", silent)
	}
	return l
}

func home(l *lab.Lab) string { return filepath.Join(lab.Dir, l.Name) }

// lastLines is how much of a log is shown, in bytes.
const lastLines = 1500

func showLogs(t *testing.T, l *lab.Lab) {
	t.Helper()
	for _, pattern := range []string{"controllers/*/controller.log", "gateways/*/agent.log"} {
		files, err := filepath.Glob(filepath.Join(home(l), pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			text, err := os.ReadFile(f)
			t.Logf("%s: %v\n%s", f, err, text[max(0, len(text)-lastLines):])
		}
	}
}

// inject breaks something; mend ends that.
func inject(t *testing.T, l *lab.Lab, f lab.Fault) (mend func()) {
	t.Helper()
	f, err := l.Break(t.Context(), f)
	if err != nil {
		t.Fatal(err)
	}
	return func() {
		t.Helper()
		if _, err := l.Mend(t.Context(), f.ID); err != nil {
			t.Fatal(err)
		}
	}
}

// patience is how long anything may take on a machine that is busy.
const patience = 60 * time.Second

// eventually waits until something is so.
func eventually(t *testing.T, what string, so func() error) {
	t.Helper()
	var err error
	for begun := time.Now(); time.Since(begun) < patience; time.Sleep(100 * time.Millisecond) {
		if err = so(); err == nil {
			return
		}
	}
	t.Fatalf("after %s it is still not so that %s: %v", patience, what, err)
}
