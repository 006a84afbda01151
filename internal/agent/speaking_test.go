package agent

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mdlayher/netlink"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"golang.org/x/sys/unix"

	"ropeway/internal/bgp"
	"ropeway/internal/fabric"
	"ropeway/internal/plan"
)

// spokenState is a daemon with three sessions, one of which is down, and routes.
func spokenState() (*plan.BGP, *bgp.State) {
	p := netip.MustParsePrefix
	want := &plan.BGP{Daemon: fabric.BIRD, ASN: 64512, RouterID: netip.MustParseAddr("100.64.0.1"), Neighbors: []*plan.Neighbor{
		neighborOf("a", "192.0.2.1"), neighborOf("b", "192.0.2.2"), {Name: "colo", Address: netip.MustParseAddr("10.0.0.1"), ASN: 65000}, neighborOf("d", "2001:db8::1")}}
	return want, &bgp.State{Running: true, Version: "BIRD 2.0.12",
		Neighbors: []bgp.Neighbor{
			{Name: "a", Address: netip.MustParseAddr("192.0.2.1"), State: "Established", Up: true, Since: time.Minute, Received: 3, Sent: 2, BFD: "up"},
			{Name: "b", Address: netip.MustParseAddr("192.0.2.2"), State: "Active", Since: 20 * time.Second, Flaps: 4, BFD: "down"},
			{Name: "colo", Address: netip.MustParseAddr("10.0.0.1"), State: "Idle", Since: time.Hour, LastError: "evil\"} 1\n\u202e"},
		},
		Routes: []bgp.Route{
			{Prefix: p("10.1.0.0/16"), Best: true},
			{Prefix: p("10.2.0.0/16"), Neighbor: "a", Best: true}, {Prefix: p("10.2.0.0/16"), Neighbor: "b"},
			{Prefix: p("10.2.3.0/24"), Neighbor: "a", Best: true}, {Prefix: p("2001:db8:2::/48"), Neighbor: "a", Best: true},
		}}
}

func spokenDevices() []DeviceStatus {
	var out []DeviceStatus
	for _, name := range []string{"a", "b", "d"} {
		out = append(out, DeviceStatus{Name: "rw" + name, Up: true, Peers: []PeerStatus{{Gateway: name, State: Up}}})
	}
	return out
}

func TestWhyRoutingIsUnwell(t *testing.T) {
	for _, c := range []struct {
		name  string
		spoil func(*bgp.State, []DeviceStatus, *hearing)
		want  string
	}{
		{"a session is down and its link works", func(*bgp.State, []DeviceStatus, *hearing) {}, "the session with b over rwb is down for 20s (Active), though its link works"},
		{"for a moment only", func(s *bgp.State, _ []DeviceStatus, _ *hearing) { s.Neighbors[1].Since = 9 * time.Second }, ""},
		{"its link is down", func(_ *bgp.State, d []DeviceStatus, _ *hearing) { d[1].Peers[0].State = Stale }, ""},
		{"its link has a session, and the other end is silent", func(_ *bgp.State, _ []DeviceStatus, h *hearing) { delete(h.grew, "rwb") }, ""},
		{"what was heard may be older than the fault", func(_ *bgp.State, _ []DeviceStatus, h *hearing) { h.ago = 21 * time.Second }, ""},
		{"it does not run", func(s *bgp.State, _ []DeviceStatus, _ *hearing) { *s = bgp.State{} }, "the routing daemon bird does not run"},
	} {
		want, state := spokenState()
		devices, heard := spokenDevices(), hearing{2 * time.Second, map[string]bool{"rwa": true, "rwb": true, "rwd": true}}
		c.spoil(state, devices, &heard)
		got := bgpStatus(want, state, devices, heard).reasons()
		if strings.Join(got, "; ") != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
	if (*BGPStatus)(nil).reasons() != nil {
		t.Error("static routing has no such reasons")
	}
}

func TestALinkIsHeard(t *testing.T) {
	look := func(a, b uint64) []DeviceStatus {
		return []DeviceStatus{{Name: "rwa", Peers: []PeerStatus{{Received: a}}}, {Name: "rwb", Peers: []PeerStatus{{Received: b}}}}
	}
	var l listener
	at := time.Unix(1_000_000, 0)
	if h := l.hear(look(5, 5), at); h.since("rwa", 1e9) {
		t.Error("one look tells nothing")
	}
	h := l.hear(look(6, 5), at.Add(4*time.Second))
	if !h.since("rwa", 5) || h.since("rwa", 3) || h.since("rwb", 5) {
		t.Errorf("%+v", h)
	}
	if h := l.hear(look(7, 7), at.Add(4500*time.Millisecond)); h.grew["rwb"] {
		t.Error("two looks within a second are one")
	}
}

func TestExpositionOfRouting(t *testing.T) {
	want, state := spokenState()
	at := time.Unix(1_000_000, 0)
	st := Status{Drained: &at, BGP: bgpStatus(want, state, spokenDevices(), hearing{})}
	st.BGP.Converged = &Convergence{at, 0.25, 12}
	text := exposition(st)
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(text))
	if err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	for _, line := range []string{
		`ropeway_bgp_daemon_up{daemon="bird",version="BIRD 2.0.12"} 1`, "ropeway_drained 1", "ropeway_bgp_prefixes 3", "ropeway_bgp_paths 4",
		`ropeway_bgp_session_up{neighbor="a",address="192.0.2.1",device="rwa"} 1`, `ropeway_bgp_session_up{neighbor="d",address="2001:db8::1",device="rwd"} 0`,
		`ropeway_bgp_session_flaps_total{neighbor="b",address="192.0.2.2",device="rwb"} 4`, `ropeway_bgp_prefixes_received{neighbor="a",address="192.0.2.1",device="rwa"} 3`,
		`ropeway_bgp_prefixes_sent{neighbor="a",address="192.0.2.1",device="rwa"} 2`, `ropeway_bfd_up{neighbor="b",address="192.0.2.2",device="rwb"} 0`,
		"ropeway_bgp_last_convergence_seconds 0.25", "ropeway_bgp_last_convergence_changes 12", "ropeway_bgp_last_convergence_time_seconds 1000000",
	} {
		if !bytes.Contains(text, []byte("\n"+line+"\n")) {
			t.Errorf("the exposition lacks %s:\n%s", line, text)
		}
	}
	if n := len(families["ropeway_bfd_up"].GetMetric()); n != 2 {
		t.Errorf("%d samples of BFD, want those of the two neighbours that it watches", n)
	}
	if text := exposition(Status{}); bytes.Contains(text, []byte("ropeway_bgp_")) || !bytes.Contains(text, []byte("\nropeway_drained 0\n")) {
		t.Error("static routing has figures of BGP")
	}
}

func TestMatching(t *testing.T) {
	_, state := spokenState()
	for of, want := range map[string]string{
		"": "10.1.0.0/16 10.2.0.0/16 10.2.0.0/16 10.2.3.0/24 2001:db8:2::/48", "10.2.0.0/16": "10.2.0.0/16 10.2.0.0/16 10.2.3.0/24", "10.2.3.0/24": "10.2.3.0/24",
		"10.2.3.4": "10.2.3.0/24", "10.2.4.4": "10.2.0.0/16 10.2.0.0/16", "10.2.255.1/16": "10.2.0.0/16 10.2.0.0/16 10.2.3.0/24", "192.0.2.1": "",
		"::/0": "2001:db8:2::/48", "0.0.0.0/0": "10.1.0.0/16 10.2.0.0/16 10.2.0.0/16 10.2.3.0/24",
	} {
		routes, err := bgp.Select(state.Routes, of)
		var got []string
		for _, r := range routes {
			got = append(got, r.Prefix.String())
		}
		if text := strings.Join(got, " "); err != nil || text != want || routes == nil {
			t.Errorf("%q: %s, %v, want %s", of, text, err, want)
		}
	}
	if _, err := bgp.Select(state.Routes, "everything"); err == nil {
		t.Error("a word is no prefix")
	}
}

func TestBursts(t *testing.T) {
	var b burst
	at := time.Unix(1_000_000, 0)
	b.note(at, 0)
	if b.convergence() != nil {
		t.Error("nothing changed")
	}
	for _, ms := range []int{0, 300, 1200} {
		b.note(at.Add(time.Duration(ms)*time.Millisecond), 2)
	}
	if c := b.convergence(); *c != (Convergence{at, 1.2, 6}) {
		t.Errorf("%+v", c)
	}
	b.note(at.Add(time.Hour), 1)
	if c := b.convergence(); *c != (Convergence{at.Add(time.Hour), 0, 1}) {
		t.Errorf("another one: %+v", c)
	}
	message := func(kind netlink.HeaderType, table, protocol byte) netlink.Message {
		return netlink.Message{Header: netlink.Header{Type: kind}, Data: []byte{unix.AF_INET, 16, 0, 0, table, protocol, 0, 1, 0, 0, 0, 0}}
	}
	for _, c := range []struct {
		m    netlink.Message
		want bool
	}{
		{message(unix.RTM_NEWROUTE, unix.RT_TABLE_MAIN, unix.RTPROT_BGP), true}, {message(unix.RTM_DELROUTE, unix.RT_TABLE_MAIN, unix.RTPROT_BIRD), true},
		{message(unix.RTM_NEWROUTE, 100, unix.RTPROT_BGP), false}, {message(unix.RTM_NEWROUTE, unix.RT_TABLE_MAIN, 114), false},
		{message(unix.RTM_NEWADDR, unix.RT_TABLE_MAIN, unix.RTPROT_BGP), false}, {netlink.Message{Header: netlink.Header{Type: unix.RTM_NEWROUTE}}, false},
	} {
		if learnt(c.m) != c.want {
			t.Errorf("%+v: %v", c.m, !c.want)
		}
	}
}

// countedDaemon counts how often it is asked. A test's goroutine changes it while another asks.
type countedDaemon struct {
	loggedDaemon
	mu    sync.Mutex
	asked int
	err   error
}

func (d *countedDaemon) answers(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.err = err
}

func (d *countedDaemon) times() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.asked
}

func (d *countedDaemon) Watched(context.Context) (map[netip.Addr]string, error) { return nil, nil }

func (d *countedDaemon) Observe(context.Context) (*bgp.State, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.asked++
	_, state := spokenState()
	return state, d.err
}

func TestADaemonIsAskedOnceASecond(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		daemon := &countedDaemon{}
		a, err := New(Options{State: dir, Run: dir, Log: slog.New(slog.DiscardHandler), Daemons: map[fabric.Daemon]bgp.Daemon{fabric.BIRD: daemon}})
		must(t, err)
		want, _ := spokenState()
		a.record.wanted = &plan.Document{Gateway: plan.Gateway{BGP: want}}
		for range 50 {
			_, err := a.Routes(t.Context(), "")
			must(t, err)
			time.Sleep(100 * time.Millisecond)
		}
		if n := daemon.times(); n != 5 {
			t.Errorf("asked %d times in 5 s", n)
		}
		time.Sleep(time.Second)
		daemon.answers(errors.New("it hangs"))
		if _, err := a.Routes(t.Context(), ""); err == nil || !strings.Contains(err.Error(), "bird") {
			t.Errorf("one that does not answer: %v", err)
		}
	})
}

// Controllers hear how routing is a second after routes changed, and every five seconds anyway; nobody else asks the daemon for that.
func TestRoutingIsOverheard(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		daemon := &countedDaemon{}
		a, err := New(Options{State: dir, Run: dir, Log: slog.New(slog.DiscardHandler), Daemons: map[fabric.Daemon]bgp.Daemon{fabric.BIRD: daemon}})
		must(t, err)
		want, _ := spokenState()
		a.record.wanted = &plan.Document{Gateway: plan.Gateway{BGP: want}}
		ctx, stop := context.WithCancel(t.Context())
		var hearing sync.WaitGroup
		hearing.Go(func() { a.overhear(ctx) })
		after := func(d time.Duration, asked int) {
			t.Helper()
			time.Sleep(d)
			synctest.Wait()
			if n := daemon.times(); n != asked {
				t.Errorf("it was asked %d times, want %d", n, asked)
			}
		}
		after(time.Second, 1)
		if s := a.Speaking(); s == nil || !s.Running || len(s.Neighbors) != len(want.Neighbors) || s.Prefixes != 3 || !s.At.Equal(time.Now()) {
			t.Errorf("it tells %+v", s)
		}
		after(4*time.Second, 1)
		after(time.Second, 2)
		a.burst.note(time.Now(), 1)
		after(time.Second, 3)
		daemon.answers(errors.New("busy"))
		after(10*time.Second, 5)
		if a.Speaking() == nil {
			t.Error("what it said last is forgotten where it does not answer")
		}
		daemon.answers(nil)
		a.update(func(r *record) { r.wanted = &plan.Document{} })
		after(5*time.Second, 5)
		if a.Speaking() != nil {
			t.Error("static routing tells of sessions")
		}
		stop()
		hearing.Wait()
	})
}
