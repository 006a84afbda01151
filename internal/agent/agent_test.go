package agent

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/mdlayher/netlink"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"golang.org/x/sys/unix"

	"ropeway/internal/diag"
	"ropeway/internal/firewall"
	"ropeway/internal/key"
	"ropeway/internal/plan"
	"ropeway/internal/route"
	"ropeway/internal/wireguard"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// known is some public key.
func known(n byte) key.Public { return key.PublicFromBytes([32]byte{1, n}) }

func TestStateOf(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	ago := func(d time.Duration) *wireguard.Peer { return &wireguard.Peer{LastHandshake: now.Add(-d)} }
	dials := &plan.Peer{PublicKey: known(1), Keepalive: 25}
	waits := &plan.Peer{PublicKey: known(1)}
	for _, c := range []struct {
		name  string
		want  *plan.Peer
		found *wireguard.Peer
		state PeerState
	}{
		{"no key", &plan.Peer{Keepalive: 25}, nil, Pending},
		{"fresh session", waits, ago(179 * time.Second), Up},
		{"session that ended, nobody needs it", waits, ago(180 * time.Second), Idle},
		{"session that ended, although it is kept", dials, ago(180 * time.Second), Stale},
		{"never a session", waits, &wireguard.Peer{}, Idle},
		{"never a session, although it is kept", dials, &wireguard.Peer{}, Stale},
		{"not in the device", dials, nil, Stale},
		{"clock set back", waits, ago(-time.Hour), Up},
	} {
		if got := stateOf(c.want, c.found, now); got != c.state {
			t.Errorf("%s: %s, want %s", c.name, got, c.state)
		}
	}
}

func TestHealth(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	doc := &plan.Document{Revision: "r2"}
	good := record{wanted: doc, applied: "r2", lastPass: now.Add(-time.Second)}
	for _, c := range []struct {
		name  string
		spoil func(*record, *Status)
		want  string // in the reasons; "": healthy
	}{
		{"all is well", func(*record, *Status) {}, ""},
		{"a refused plan file", func(r *record, _ *Status) { r.refused = &Refusal{} }, ""},
		{"no plan", func(r *record, _ *Status) { r.wanted = nil }, "no plan"},
		{"an older plan applied", func(r *record, _ *Status) { r.applied = "r1" }, "not applied"},
		{"a failed pass", func(r *record, _ *Status) { r.lastError = errors.New("x") }, "not as the plan says"},
		{"a loop that hangs", func(r *record, _ *Status) { r.lastPass = now.Add(-time.Minute) }, "looked at 1m0s ago"},
		{"a device that is down", func(_ *record, st *Status) { st.Devices[0].Up = false }, "rw0 is down"},
		{"no firewall", func(_ *record, st *Status) { st.Firewall.InPlace = false }, "firewall"},
	} {
		r := good
		st := Status{Devices: []DeviceStatus{{Name: "rw0", Up: true}}, Firewall: FirewallStatus{InPlace: true}}
		c.spoil(&r, &st)
		got := strings.Join(st.reasons(r, now), "; ")
		if (got == "") != (c.want == "") || !strings.Contains(got, c.want) {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

func TestStillWanted(t *testing.T) {
	p := netip.MustParsePrefix
	have := route.State{
		Nexthops: []route.Nexthop{{ID: 1, Device: "rw0"}, {ID: 2, Device: "rw1"}},
		Routes: []route.Route{{Prefix: p("10.1.0.0/16"), Nexthop: 1, MTU: 1440}, {Prefix: p("10.2.0.0/16"), Nexthop: 2, MTU: 1400},
			{Prefix: p("10.3.0.0/16"), Nexthop: 1, MTU: 1440}, {Prefix: p("10.4.0.0/16"), Nexthop: 0, MTU: 1440}},
	}
	want := func(prefixes ...string) []*plan.Route {
		r := &plan.Route{Device: "rw9", MTU: 1}
		for _, s := range prefixes {
			r.Prefixes = append(r.Prefixes, p(s))
		}
		return []*plan.Route{r}
	}
	if _, all := stillWanted(want("10.1.0.0/16", "10.2.0.0/16", "10.3.0.0/16", "10.4.0.0/16", "10.9.0.0/16"), have); !all {
		t.Error("every prefix is wanted, and something is to be withdrawn")
	}
	kept, all := stillWanted(want("10.1.0.0/16", "10.2.0.0/16", "10.4.0.0/16"), have)
	if all {
		t.Error("10.3.0.0/16 is not wanted, and nothing is to be withdrawn")
	}
	expected := []*plan.Route{ // as they are: moving them is a later step's work
		{Device: "rw0", MTU: 1440, Prefixes: []netip.Prefix{p("10.1.0.0/16")}},
		{Device: "rw1", MTU: 1400, Prefixes: []netip.Prefix{p("10.2.0.0/16")}},
	}
	if diff := cmp.Diff(expected, kept, cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); diff != "" {
		t.Error(diff)
	}
}

func TestRecordTellsRepairsFromPlans(t *testing.T) {
	var r record
	doc := &plan.Document{Revision: "r1"}
	did := func(n int, err error) *outcome {
		out := &outcome{changes: map[string][]string{"routes": make([]string, n)}, errs: map[string]error{}}
		if err != nil {
			out.errs["devices"] = err
		}
		return out
	}
	r.note(doc, did(5, errors.New("half")), false, time.Now())
	if r.applied != "" || r.lastError == nil || r.repairs["routes"] != 0 || r.failures["devices"] != 1 {
		t.Errorf("a failed first pass: %+v", r)
	}
	r.note(doc, did(3, nil), false, time.Now())
	if r.applied != "r1" || r.lastError != nil || r.repairs["routes"] != 0 || r.lastApply.Changes != 3 || r.applies != 2 {
		t.Errorf("a pass that succeeded: %+v", r)
	}
	before := r.lastApply
	r.note(doc, did(0, nil), true, time.Now())
	if r.lastApply != before || r.applies != 2 {
		t.Errorf("a pass without changes is not an apply: %+v", r)
	}
	r.note(doc, did(2, nil), true, time.Now())
	if r.repairs["routes"] != 2 || r.lastApply.Changes != 2 {
		t.Errorf("a repair: %+v", r)
	}
}

func TestListen(t *testing.T) {
	for address, ok := range map[string]bool{"": true, "127.0.0.1:9586": true, "[::1]:1": true, "127.9.9.9:1": true, "[::ffff:127.0.0.1]:1": true,
		"0.0.0.0:9586": false, ":9586": false, "192.0.2.1:9586": false, "[::]:9586": false, "localhost:9586": false, "127.0.0.1": false, "127.0.0.1:x": false} {
		err := checkListen(address, false)
		var p diag.Problem
		if ok != (err == nil) || err != nil && (!errors.As(err, &p) || p.Code != codeListen) {
			t.Errorf("%q: %v, want ok %v", address, err, ok)
		}
	}
	if err := checkListen("0.0.0.0:9586", true); err != nil {
		t.Errorf("anywhere, by flag: %v", err)
	}
	if err := checkListen("example.net:9586", true); err == nil {
		t.Error("a name was taken")
	}
}

func TestPrintable(t *testing.T) {
	for in, want := range map[string]string{
		"plain text, as it is": "plain text, as it is",
		"two\nlines":           "two; lines",
		"\x1b[31m\x00\t":       `\x1b[31m\x00\t`,
		"\u202egnp":            `\u202egnp`,
		"\xff":                 `\xff`,
		`back\slash "quote"`:   `back\slash "quote"`,
	} {
		if got := Printable(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
	if got := Printable(strings.Repeat("é", maxPrinted)); len(got) > 5*maxPrinted {
		t.Errorf("%d bytes", len(got))
	}
}

func FuzzPrintable(f *testing.F) {
	f.Add("a\nb\u202e\xff\x00é")
	f.Fuzz(func(t *testing.T, s string) {
		for _, c := range []byte(Printable(s)) {
			if c < ' ' || c > '~' {
				t.Fatalf("byte %#x in %q", c, Printable(s))
			}
		}
		for _, format := range []Format{Text, JSON} {
			var b bytes.Buffer
			log, err := NewLogger(&b, format)
			must(t, err)
			log.Error("m", "text", s, "error", errors.New(s), "slice", []string{s}, "struct", struct{ S string }{s})
			if strings.Count(b.String(), "\n") != 1 {
				t.Fatalf("%s: more than one line: %q", format, b.String())
			}
			for _, c := range b.Bytes() {
				if c != '\n' && (c < ' ' || c > '~') {
					t.Fatalf("%s: byte %#x in %q", format, c, b.String())
				}
			}
		}
	})
}

func TestKernelMessages(t *testing.T) {
	header := func(kind netlink.HeaderType) netlink.Header { return netlink.Header{Type: kind} }
	attr := func(skip int, kind uint16, value string) []byte {
		ae := netlink.NewAttributeEncoder()
		ae.Uint32(7, 7) // another one first
		ae.String(kind, value)
		b, err := ae.Encode()
		must(t, err)
		return append(make([]byte, skip), b...)
	}
	ours := make([]byte, 12)
	ours[5] = route.Protocol
	hop := make([]byte, 8)
	hop[2] = route.Protocol
	for _, c := range []struct {
		name string
		m    netlink.Message
		want bool
	}{
		{"our route", netlink.Message{Header: header(unix.RTM_DELROUTE), Data: ours}, true},
		{"somebody's route", netlink.Message{Header: header(unix.RTM_DELROUTE), Data: make([]byte, 12)}, false},
		{"our nexthop", netlink.Message{Header: header(unix.RTM_DELNEXTHOP), Data: hop}, true},
		{"our interface", netlink.Message{Header: header(unix.RTM_DELLINK), Data: attr(unix.SizeofIfInfomsg, unix.IFLA_IFNAME, "rw0")}, true},
		{"somebody's interface", netlink.Message{Header: header(unix.RTM_NEWLINK), Data: attr(unix.SizeofIfInfomsg, unix.IFLA_IFNAME, "eth0")}, false},
		{"an address", netlink.Message{Header: header(unix.RTM_DELADDR)}, true},
		{"cut short", netlink.Message{Header: header(unix.RTM_DELROUTE), Data: []byte{1}}, false},
		{"neighbour", netlink.Message{Header: header(unix.RTM_NEWNEIGH), Data: ours}, false},
	} {
		if got := ourRoutes(c.m); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
	if !ourRules(netlink.Message{Data: attr(4, 1, "ropeway")}) || ourRules(netlink.Message{Data: attr(4, 1, "filter")}) || ourRules(netlink.Message{}) {
		t.Error("nftables messages are told apart by their table")
	}
}

func FuzzAttribute(f *testing.F) {
	f.Add([]byte{0, 0, 0, 0, 12, 0, 1, 0, 'r', 'o', 'p', 'e'}, uint16(1))
	f.Add([]byte{0, 0, 0, 0, 255, 255, 1, 0}, uint16(1))
	f.Fuzz(func(t *testing.T, data []byte, kind uint16) {
		if got := attribute(data, 4, kind); len(got) > len(data) {
			t.Fatal("longer than the message")
		}
	})
}

// TestExposition: Prometheus' parser reads it, and hostile values stay values.
func TestExposition(t *testing.T) {
	at, age := time.Unix(1_000_000, 0), 3.0
	st := Status{
		Fabric: "evil\"} 1\nropeway_healthy 1\u202e", Gateway: "gw1", Healthy: false,
		Plan:      PlanStatus{Wanted: "r2", Applied: "r1", Refused: &Refusal{Code: "RW4003"}, Refusals: 4},
		Backend:   BackendStatus{wireguard.Userspace, "why"},
		LastApply: &Applied{At: at, Duration: 0.25, Changes: 3},
		Repairs:   map[string]int{"routes": 2},
		Firewall:  FirewallStatus{InPlace: true, Dropped: dropped(firewall.Counters{Dropped: map[string]firewall.Counter{"guard": {Packets: 9}}})},
		Devices: []DeviceStatus{{Name: "rw0", Up: true, Peers: []PeerStatus{
			{Gateway: "gw2", State: Up, Handshake: &at, Age: &age, Received: 1 << 40, Sent: 7}, {Gateway: "gw3", State: Pending}}}},
	}
	text := exposition(st)
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(text))
	if err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	for _, line := range []string{"ropeway_healthy 0", "ropeway_plan_applied 0", "ropeway_plan_refused 1", "ropeway_plan_refusals_total 4",
		`ropeway_drift_repairs_total{step="routes"} 2`, `ropeway_firewall_dropped_packets_total{why="guard"} 9`,
		`ropeway_peer_received_bytes_total{device="rw0",peer="gw2"} 1099511627776`, `ropeway_peer_up{device="rw0",peer="gw3"} 0`} {
		if !bytes.Contains(text, []byte("\n"+line+"\n")) {
			t.Errorf("the exposition lacks %s:\n%s", line, text)
		}
	}
	if n := len(families["ropeway_healthy"].GetMetric()); n != 1 {
		t.Errorf("%d samples of ropeway_healthy: a label escaped", n)
	}
	if n := len(families["ropeway_peer_last_handshake_seconds"].GetMetric()); n != 1 {
		t.Errorf("%d handshakes, want one: a peer that never had one has none", n)
	}
}

func TestExpositionOfTenThousandPeers(t *testing.T) {
	st := Status{Devices: []DeviceStatus{{Name: "rw0"}}}
	for i := range 10_000 {
		st.Devices[0].Peers = append(st.Devices[0].Peers, PeerStatus{Gateway: fmt.Sprintf("gw%d", i), State: Up, Received: uint64(i)})
	}
	if n := bytes.Count(exposition(st), []byte("ropeway_peer_received_bytes_total{")); n != 10_000 {
		t.Errorf("%d samples", n)
	}
}

// TestStatusHoldsNoSecret: every type that a status is made of marshals, which a private key refuses to do, and comes back.
func TestStatusGoesThroughJSON(t *testing.T) {
	at, age := time.Unix(1_000_000, 0).UTC(), 3.5
	st := Status{Gateway: "gw1", Devices: []DeviceStatus{{Name: "rw0", PublicKey: known(1), Addresses: []netip.Prefix{netip.MustParsePrefix("100.64.0.1/32")},
		Peers: []PeerStatus{{Gateway: "gw2", State: Up, PublicKey: known(2), Endpoint: netip.MustParseAddrPort("192.0.2.2:51820"), Handshake: &at, Age: &age}}}}}
	data, err := json.Marshal(st)
	must(t, err)
	var back Status
	must(t, json.Unmarshal(data, &back))
	compare := cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })
	if diff := cmp.Diff(st, back, compare, cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b }), cmp.Comparer(func(a, b key.Public) bool { return a == b })); diff != "" {
		t.Error(diff)
	}
}

func TestTheLock(t *testing.T) {
	state, run := filepath.Join(t.TempDir(), "state"), filepath.Join(t.TempDir(), "run")
	release, err := claim(state, run)
	must(t, err)
	_, err = claim(state, run)
	var p diag.Problem
	if !errors.As(err, &p) || p.Code != codeRunning || p.Hint == "" {
		t.Errorf("a second claim: %v, want %s", err, codeRunning)
	}
	release()
	release, err = claim(state, run)
	must(t, err)
	release()
	must(t, os.Chmod(state, 0o777))
	if _, err := claim(state, run); !errors.As(err, &p) || p.Code != codeUnusable {
		t.Errorf("a state directory that everybody may write: %v, want %s", err, codeUnusable)
	}
}

// TestTheSocketIsForItsUserAndRoot: the socket has its mode from the moment it has its name, and others are turned away.
func TestTheSocketIsForItsUserAndRoot(t *testing.T) {
	if !mayAsk(0, 1000) || !mayAsk(1000, 1000) || mayAsk(1001, 1000) || mayAsk(1000, 0) {
		t.Error("root and the agent's own user may ask, nobody else")
	}
	if os.Geteuid() != 0 {
		t.Skip("needs root to be somebody else")
	}
	dir := t.TempDir()
	l, err := new(net.ListenConfig).Listen(t.Context(), "unix", filepath.Join(dir, "s"))
	must(t, err)
	defer func() { _ = l.Close() }()
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	must(t, err)
	file := os.NewFile(uintptr(pair[0]), "pair")
	conn, err := net.FileConn(file)
	must(t, errors.Join(err, file.Close(), unix.Close(pair[1])))
	defer func() { _ = conn.Close() }()
	if uid, ok := peerOf(conn); !ok || uid != os.Geteuid() {
		t.Errorf("the kernel names user %d (%v), want ourselves", uid, ok)
	}
	client, server := net.Pipe()
	defer func() { _, _ = client.Close(), server.Close() }()
	if _, ok := peerOf(server); ok {
		t.Error("a connection that is no unix socket has a user")
	}
}

// TestRefusalsAreSaidOnce: a plan file that stays bad is one refusal and one line of the log, however often it is looked at.
func TestRefusalsAreSaidOnce(t *testing.T) {
	var b bytes.Buffer
	log, err := NewLogger(&b, Text)
	must(t, err)
	a := &Agent{log: log}
	for range 5 {
		a.noteRefusal(errors.New("bad\u202e"))
	}
	a.noteRefusal(errors.New("worse"))
	a.noteRefusal(nil)
	a.noteRefusal(nil)
	if a.record.refusals != 2 || a.record.refused != nil || strings.Count(b.String(), "\n") != 3 {
		t.Errorf("%d refusals, log:\n%s", a.record.refusals, b.String())
	}
}

// TestThePollNeedsNoEvent: without any event the loop looks about once a second; time is the test's.
func TestThePollNeedsNoEvent(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		a := &Agent{log: slog.New(slog.DiscardHandler), source: &source{file: filepath.Join(dir, "none"), kept: filepath.Join(dir, "kept")}}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { defer close(ended); a.loop(ctx, nil) }()
		var last time.Time
		for range 5 {
			time.Sleep(2 * time.Second)
			a.mu.Lock()
			now := a.record.lastPass
			a.mu.Unlock()
			if age := time.Since(now); age > 2*time.Second || !now.After(last) {
				t.Errorf("the last look is %v old", age)
			}
			last = now
		}
		cancel()
		<-ended
	})
}
