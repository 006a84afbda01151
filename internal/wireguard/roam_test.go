package wireguard

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tailscale/wireguard-go/conn"
	"github.com/tailscale/wireguard-go/device"

	"ropeway/internal/key"
	"ropeway/internal/plan"
)

// TestGatewayBehindNAT: one side has no endpoint for the other, answers where packets come from, and follows when that changes.
func TestGatewayBehindNAT(t *testing.T) {
	hub, site := pair(t)
	waiting := *hub.device.Peers[0]
	waiting.Endpoint.Host = ""
	hub.device.Peers = []*plan.Peer{&waiting}
	dialing := *site.device.Peers[0]
	dialing.Keepalive = 25
	site.device.Peers = []*plan.Peer{&dialing}
	hub.apply()
	if p := hub.observe().Peers[0]; p.Endpoint.IsValid() {
		t.Errorf("a peer that nobody has heard of has the endpoint %s", p.Endpoint)
	}
	site.apply()
	hub.route("100.64.0.2/32")
	site.route("100.64.0.1/32")
	site.listen(tunnelAddr(2))
	conn := hub.dial(tunnelAddr(2))
	if took, ok := reaches(conn, 3*time.Second); !ok {
		t.Fatal("the hub cannot reach the site")
	} else {
		t.Logf("the hub reaches the site after %s", took)
	}
	for _, port := range []uint16{4711, 4712} { // as when a NAT forgets and maps anew
		site.device.ListenPort = port
		site.apply()
		if took, ok := reaches(site.dial(tunnelAddr(1)), 100*time.Millisecond); ok {
			t.Errorf("nobody listens there, and yet an answer after %s", took) // it sends, which is what counts
		}
		if took, ok := reaches(conn, 3*time.Second); !ok {
			t.Errorf("the hub lost the site when it went to port %d", port)
		} else if got := hub.observe().Peers[0].Endpoint; got.Port() != port {
			t.Errorf("endpoint %s after %s, want port %d", got, took, port)
		}
	}
	if changes := hub.apply(); len(changes) > 0 {
		t.Errorf("roaming is drift: %v", changes)
	}
}

// TestOnlyGenuineInitiationsMove: a message that claims to come from a peer moves nothing; its endpoint moves when the device answers, as it
// does after verifying it, and only to where that very message came from.
func TestOnlyGenuineInitiationsMove(t *testing.T) {
	s, _ := testServer(t)
	if err := s.set("public_key=" + strings.Repeat("01", key.Size) + "\n"); err != nil {
		t.Fatal(err)
	}
	var k device.NoisePublicKey
	for i := range k {
		k[i] = 1
	}
	r := s.roamer
	from := func(addr string, index uint32) *source {
		return &source{&conn.StdNetEndpoint{AddrPort: netip.MustParseAddrPort(addr)}, r, index}
	}
	at := func() string { return r.inside.Load().endpointOf(k).val.DstToString() }
	answer := func(index uint32) {
		b := make([]byte, device.MessageResponseSize)
		b[0] = device.MessageResponseType
		binary.LittleEndian.PutUint32(b[answeredAt:], index)
		_ = r.Send([][]byte{b}, &conn.StdNetEndpoint{AddrPort: nowhere}, 0) // the sockets are closed
	}
	from("192.0.2.1:1", 100).InitiationMessagePublicKey(k)
	from("192.0.2.66:66", 666).InitiationMessagePublicKey(k) // forged: it is never answered
	if got := at(); got != nowhere.String() {
		t.Fatalf("an unverified message moved the endpoint to %s", got)
	}
	answer(100)
	if got := at(); got != "192.0.2.1:1" {
		t.Errorf("after the answer the endpoint is %s", got)
	}
	answer(999)
	if got := at(); got != "192.0.2.1:1" {
		t.Errorf("an answer to nothing moved the endpoint to %s", got)
	}
	for i := range uint32(10 * pendingInitiations) { // a flood of forgeries
		from("192.0.2.66:66", 1000+i).InitiationMessagePublicKey(k)
	}
	from("192.0.2.2:2", 101).InitiationMessagePublicKey(k)
	answer(101)
	if got := at(); got != "192.0.2.2:2" {
		t.Errorf("after a flood the endpoint is %s", got)
	}
	from("192.0.2.3:3", 0).FromPeer(k)
	if got := at(); got != "192.0.2.3:3" {
		t.Errorf("after a transport packet the endpoint is %s", got)
	}
	if err := s.set("replace_peers=true\n"); err != nil || len(r.seats) != 0 {
		t.Errorf("seats of peers that are gone: %d, %v", len(r.seats), err)
	}
}

// TestPeersBehindOneAddress do not share what the device changes.
func TestPeersBehindOneAddress(t *testing.T) {
	s, _ := testServer(t)
	var keys []device.NoisePublicKey
	for n := range byte(2) {
		k := numbered(n + 1).Bytes()
		keys = append(keys, k)
		if err := s.set(string(appendSection(nil, &section{PublicKey: key.PublicFromBytes(k)}))); err != nil {
			t.Fatal(err)
		}
	}
	one := &source{StdNetEndpoint: &conn.StdNetEndpoint{AddrPort: netip.MustParseAddrPort("192.0.2.1:1")}, roamer: s.roamer}
	var found []conn.Endpoint
	for _, k := range keys {
		one.FromPeer(k)
		found = append(found, s.roamer.inside.Load().endpointOf(k).val)
	}
	if found[0] == found[1] || slices.Contains(found, conn.Endpoint(one.StdNetEndpoint)) {
		t.Error("two peers share an endpoint")
	}
}
