package wireguard

import (
	"context"
	"net/netip"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"ropeway/internal/key"
	"ropeway/internal/nstest"
	"ropeway/internal/plan"
)

// dialedBy is pair, but a's plan has no endpoint of b, as where b is behind NAT. Both are up and have a session.
func dialedBy(t *testing.T, keepalive int) (a, b *end) {
	t.Helper()
	a, b = pair(t)
	a.device.Peers = []*plan.Peer{b.peer("b", "", keepalive)}
	a.apply()
	b.apply()
	a.route("100.64.0.2/32")
	b.route("100.64.0.1/32")
	a.listen(tunnelAddr(1))
	if _, ok := reaches(b.dial(tunnelAddr(1)), 5*time.Second); !ok {
		t.Fatal("no packet came back")
	}
	return a, b
}

func (e *end) heard() Endpoints {
	e.t.Helper()
	var out Endpoints
	nstest.In(e.t, e.ns, func() {
		var err error
		if out, err = e.client.Heard(context.Background(), []plan.Device{e.device}); err != nil {
			e.t.Fatalf("Heard: %v", err)
		}
	})
	return out
}

// lose takes the device away as a crash does, and has another client make it anew, which recalls what it is given.
func (e *end) lose(remembered Endpoints) {
	e.t.Helper()
	if tested() == Userspace {
		e.kill()
	} else {
		e.link(netlink.LinkDel)
	}
	e.opts.Recall = func(device string, peer key.Public) netip.AddrPort { return remembered[device][peer] }
	e.client = New(e.opts)
}

// TestRestartRecallsWhoDials: b's session looks alive to b, and a's new device has no endpoint of b in its plan. It begins the handshake where b was heard last.
func TestRestartRecallsWhoDials(t *testing.T) {
	for name, keepalive := range map[string]int{"without keepalive": 0, "with keepalive": 25} {
		t.Run(name, func(t *testing.T) {
			a, b := dialedBy(t, keepalive)
			remembered := a.heard()
			if got := remembered["rw0"][b.private.Public()]; got != wantEndpoint("192.0.2.2:51820") {
				t.Fatalf("b was heard at %v", got)
			}
			a.lose(remembered)
			a.apply()
			a.route("100.64.0.2/32")
			if took, ok := reaches(b.dial(tunnelAddr(1)), 20*time.Second); !ok || took > time.Second {
				t.Errorf("packets came through %v after the restart (%v), want at most 1 s", took, ok)
			}
			if changes := a.apply(); len(changes) > 0 {
				t.Errorf("what was recalled is drift: %v", changes)
			}
		})
	}
}

// TestARemovedPeerIsRecalled: somebody takes a peer away from a device that is up; the one that comes back greets at once.
func TestARemovedPeerIsRecalled(t *testing.T) {
	a, b := dialedBy(t, 0)
	remembered := a.heard()
	a.opts.Recall = func(device string, peer key.Public) netip.AddrPort { return remembered[device][peer] }
	a.client = New(a.opts)
	peers := a.device.Peers
	a.device.Peers = nil
	a.apply()
	a.device.Peers = peers
	a.apply()
	if took, ok := reaches(b.dial(tunnelAddr(1)), 20*time.Second); !ok || took > time.Second {
		t.Errorf("packets came through %v later (%v), want at most 1 s", took, ok)
	}
}

// TestAStaleRecall: where b is not any more nobody answers. That is no session and so not heard; b is found when it dials, and an endpoint in the plan wins at once.
func TestAStaleRecall(t *testing.T) {
	a, b := dialedBy(t, 0)
	peer := b.private.Public()
	stale := Endpoints{"rw0": {peer: wantEndpoint("192.0.2.77:4711")}}
	nothing := func() {
		t.Helper()
		if got := a.heard(); len(got) != 1 || len(got["rw0"]) != 0 {
			t.Errorf("nobody was heard yet, but %v", got)
		}
	}
	a.lose(stale)
	a.apply()
	if got := a.observe().Peers[0].Endpoint; got != stale["rw0"][peer] {
		t.Errorf("the endpoint is %v", got)
	}
	nothing()
	a.device.Peers = []*plan.Peer{b.peer("b", "192.0.2.2:51820", 0)}
	a.apply()
	if got := a.observe().Peers[0].Endpoint; got != wantEndpoint("192.0.2.2:51820") {
		t.Errorf("with an endpoint in the plan it is %v", got)
	}
	if got := a.heard(); len(got) != 0 {
		t.Errorf("whom the plan knows needs nobody to remember, but %v", got)
	}

	a.lose(stale)
	a.device.Peers = []*plan.Peer{b.peer("b", "", 0)}
	a.apply()
	a.route("100.64.0.2/32")
	nothing()
	b.lose(nil) // and dials, as its plan has an endpoint
	b.apply()
	b.route("100.64.0.1/32")
	if took, ok := reaches(b.dial(tunnelAddr(1)), 20*time.Second); !ok || took > 2*time.Second {
		t.Errorf("packets came through %v after b dialed (%v), want at most 2 s", took, ok)
	}
	if got := a.heard()["rw0"][peer]; got != wantEndpoint("192.0.2.2:51820") {
		t.Errorf("b was heard at %v", got)
	}
}
