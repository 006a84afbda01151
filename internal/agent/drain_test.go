package agent

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"ropeway/internal/diag"
	"ropeway/internal/plan"
)

func TestADrainOutlivesItsAgent(t *testing.T) {
	file := filepath.Join(t.TempDir(), drainName)
	at := time.Unix(1_000_000, 0).UTC()
	first := &drain{file: file}
	must(t, first.restore())
	if first.drained() {
		t.Error("drained from the beginning")
	}
	if since, err := first.set(at); err != nil || !since.Equal(at) {
		t.Errorf("%v, %v", since, err)
	}
	if since, err := first.set(at.Add(time.Hour)); err != nil || !since.Equal(at) {
		t.Errorf("drained again: since %v, %v", since, err)
	}
	second := &drain{file: file}
	must(t, second.restore())
	if since := second.sinceWhen(); since == nil || !since.Equal(at) || !second.drained() {
		t.Errorf("the next agent knows %v", since)
	}
	for _, want := range []bool{true, false} {
		if lifted, err := second.lift(); err != nil || lifted != want {
			t.Errorf("lifted: %v, %v, want %v", lifted, err, want)
		}
	}
	third := &drain{file: file}
	must(t, third.restore())
	if third.leave(); third.sinceWhen() != nil || !third.drained() {
		t.Error("an agent that ends drains its gateway, and nobody else did")
	}
	if _, err := os.Lstat(file); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("that is kept: %v", err)
	}
	must(t, os.WriteFile(file, []byte("{"), 0o600))
	damaged := &drain{file: file}
	if err := damaged.restore(); err == nil || !damaged.drained() {
		t.Errorf("a damaged file: %v, drained %v", err, damaged.drained())
	}
}

func TestQuiet(t *testing.T) {
	const late = 10 * time.Second
	for _, c := range []struct {
		name      string
		forwarded func(since time.Duration) uint64
		quiet     bool
		took      time.Duration
		perSecond float64
	}{
		{"nothing from the beginning", func(time.Duration) uint64 { return 7 }, true, quietFor, 0},
		{"a stream that ends", func(d time.Duration) uint64 { return uint64(min(d, 3*time.Second) / time.Millisecond) }, true, 3*time.Second + quietFor, 0},
		{"a stream", func(d time.Duration) uint64 { return uint64(d / (10 * time.Millisecond)) }, false, late, 100},
		{"one packet a second", func(d time.Duration) uint64 { return uint64(d / time.Second) }, false, late, 1},
	} {
		synctest.Test(t, func(t *testing.T) {
			begun := time.Now()
			ctx, cancel := context.WithTimeout(t.Context(), late)
			defer cancel()
			quiet, perSecond, err := awaitQuiet(ctx, func() (uint64, error) { return c.forwarded(time.Since(begun)), nil })
			if took := time.Since(begun); err != nil || quiet != c.quiet || took != c.took || perSecond < c.perSecond*0.9 || perSecond > c.perSecond*1.1 {
				t.Errorf("%s: quiet %v after %s, %v packets a second, %v; want %v after %s, %v", c.name, quiet, took, perSecond, err, c.quiet, c.took, c.perSecond)
			}
		})
	}
}

func TestForwarded(t *testing.T) {
	const v4 = "Ip: Forwarding DefaultTTL InReceives InHdrErrors InAddrErrors ForwDatagrams InUnknownProtos\nIp: 1 64 100 0 0 42 0\nIcmp: InMsgs\nIcmp: 3\n"
	const v6 = "Ip6InReceives                   \t9\nIp6OutForwDatagrams             \t1000\n"
	if n, err := forwardedOf([]byte(v4), []byte(v6)); err != nil || n != 1042 {
		t.Errorf("%d, %v", n, err)
	}
	if n, err := forwardedOf([]byte(v4), nil); err != nil || n != 42 {
		t.Errorf("without IPv6: %d, %v", n, err)
	}
	for _, bad := range []string{"", "Ip: ForwDatagrams\n", "Ip: ForwDatagrams\nIp: many\n", "Tcp: ForwDatagrams\nTcp: 3\n"} {
		if _, err := forwardedOf([]byte(bad), nil); err == nil {
			t.Errorf("%q says something", bad)
		}
	}
	if _, err := forwarded(); err != nil {
		t.Errorf("this kernel: %v", err)
	}
}

func TestWhatCannotBeDrained(t *testing.T) {
	a, err := New(Options{State: t.TempDir(), Run: t.TempDir(), Log: slog.New(slog.DiscardHandler)})
	must(t, err)
	refused := func(says string) {
		t.Helper()
		_, err := a.Drain(t.Context(), time.Second)
		var p diag.Problem
		if !errors.As(err, &p) || p.Code != codeNotDrained || p.Hint == "" || !strings.Contains(p.Message, says) {
			t.Errorf("%v, want %s", err, says)
		}
		if a.machine.drain.drained() {
			t.Error("it was drained all the same")
		}
	}
	refused("no plan")
	a.record.wanted = &plan.Document{Revision: "r1", Gateway: plan.Gateway{Name: "gw1"}}
	refused("static")
	a.record.wanted.Gateway.BGP = &plan.BGP{}
	a.record.applied = "r1"
	if _, err := a.Drain(t.Context(), 0); err != nil || !a.machine.drain.drained() {
		t.Errorf("with BGP: %v", err)
	}
	if settled, _ := a.lastTime("r1"); settled {
		t.Error("what draining changes would be taken for drift")
	}
	if settled, _ := a.lastTime("r1"); !settled {
		t.Error("what comes after that is drift")
	}
	out, err := a.Drain(t.Context(), 3*settle) // no loop runs that would tell neighbours
	if err != nil || out.Quiet || out.Applied || !strings.Contains(out.Text(), "not been told") {
		t.Errorf("%+v, %v", out, err)
	}
}

func TestFlows(t *testing.T) {
	look := func(bytes ...uint64) []DeviceStatus {
		var out []DeviceStatus
		for i, n := range bytes {
			out = append(out, DeviceStatus{Name: "rw" + string(rune('a'+i)), Peers: []PeerStatus{{Gateway: "gw" + string(rune('a'+i)), Received: n, Sent: 2 * n}}})
		}
		return out
	}
	d := Drainage{Applied: true, Took: 30, Packets: 12, Flows: flowsBetween(look(0, 100, 50, 9), look(1000, 100, 5050, 3), 10*time.Second)}
	const want = "after 30s it still forwards 12 packets a second; its tunnels carry, their sessions included, rwc gwc: 500 B/s in, 1000 B/s out, rwa gwa: 100 B/s in, 200 B/s out"
	if got := d.Text(); got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
}
