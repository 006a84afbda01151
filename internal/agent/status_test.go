package agent

import (
	"encoding/json"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ropeway/internal/key"
	"ropeway/internal/plan"
	"ropeway/internal/wireguard"
)

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
