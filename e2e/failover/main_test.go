// Package failover measures what it costs to lose a gateway, and that planned work costs nothing. Everything is the real thing in a lab: agents, routing daemons, userspace
// WireGuard, routers of places, and packets between hosts. There are benchmarks alone here: only a machine without other work gives figures that mean something.
//
//	go test -run '^$' -bench GatewayLoss -benchtime 1x -timeout 30m ./e2e/failover
//
// Each makes its labs and takes them down again. The number of rounds is part of each.
package failover

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ropeway/e2e/testbuild"
	"ropeway/internal/lab"
	"ropeway/internal/lab/netns"
)

// programs holds the programs under test, built once.
var programs string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	flag.Parse()
	if flag.Lookup("test.bench").Value.String() == "" || os.Geteuid() != 0 {
		return 0 // there is nothing but benchmarks, and they need root
	}
	return testbuild.Run(m, &programs, "ropeway/cmd/ropeway", "ropeway/cmd/ropeway-gateway")
}

// pair is the text of testdata/pair.yaml with words replaced: old, new, old, new.
func pair(b *testing.B, words ...string) string {
	b.Helper()
	text, err := os.ReadFile("testdata/pair.yaml")
	if err != nil {
		b.Fatal(err)
	}
	out := string(text)
	for i := 0; i < len(words); i += 2 {
		if !strings.Contains(out, words[i]) {
			b.Fatalf("testdata/pair.yaml does not say %q", words[i])
		}
		out = strings.Replace(out, words[i], words[i+1], 1)
	}
	return out
}

// A rig is a lab that is up until the end of the benchmark.
type rig struct {
	*lab.Lab
	b *testing.B
}

// up brings up the lab of a fabric file. What changes its options may be left out.
func up(b *testing.B, what, text string, change ...func(*lab.Options)) *rig {
	b.Helper()
	opts := lab.Options{
		Name: fmt.Sprintf("bench%d-%s", os.Getpid(), what), Agent: filepath.Join(programs, "ropeway-gateway"),
		Responder: []string{filepath.Join(programs, "ropeway"), "lab", "serve"},
	}
	for _, c := range change {
		c(&opts)
	}
	l, silent, err := lab.Up(b.Context(), "pair.yaml", []byte(text), opts)
	if err != nil {
		b.Fatal(err)
	}
	f := &rig{l, b}
	b.Cleanup(func() {
		if b.Failed() {
			f.lastWords()
		}
		if err := l.Down(context.WithoutCancel(b.Context())); err != nil {
			b.Error(err)
		}
	})
	if len(silent) > 0 {
		b.Fatalf("links of %s have not come up: %v", what, silent)
	}
	f.awaitSessions()
	return f
}

// lastWords shows what agents said last.
func (f *rig) lastWords() {
	logs, _ := filepath.Glob(filepath.Join(lab.Dir, f.Name, "gateways/*/agent.log"))
	for _, log := range logs {
		text, err := os.ReadFile(log)
		f.b.Logf("%s: %v\n%s", log, err, text[max(0, len(text)-2000):])
	}
}

// on runs a command on a machine of the lab and returns what it printed.
func (f *rig) on(machine string, argv ...string) string {
	f.b.Helper()
	space, err := f.Find(machine)
	if err != nil {
		f.b.Fatal(err)
	}
	var out strings.Builder
	cmd := exec.CommandContext(f.b.Context(), argv[0], argv[1:]...)
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := f.Run(space, cmd); err != nil {
		f.b.Fatalf("%s on %s: %v\n%s", strings.Join(argv, " "), machine, err, &out)
	}
	return out.String()
}

// space opens the network namespace of a machine, until the end of the benchmark.
func (f *rig) space(machine string) *netns.Space {
	f.b.Helper()
	space, err := netns.Open("rwlab." + f.Name + "." + strings.ReplaceAll(machine, "/", "."))
	if err != nil {
		f.b.Fatal(err)
	}
	f.b.Cleanup(func() { _ = space.Close() })
	return space
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
