package wireguard

import (
	"context"
	"errors"
	"net/netip"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"ropeway/internal/fabric"
	"ropeway/internal/key"
	"ropeway/internal/plan"
)

// A notebook is a control that notes what is written, and when.
type notebook struct {
	control
	at    []time.Time
	peers []map[key.Public][]int // keepalives in their order
}

func (n *notebook) write(c config) error {
	seen := map[key.Public][]int{}
	for _, s := range c.Peers {
		seen[s.PublicKey] = append(seen[s.PublicKey], *s.Keepalive)
	}
	n.at, n.peers = append(n.at, time.Now()), append(n.peers, seen)
	return nil
}

func far(n int) key.Public { return key.PublicFromBytes([key.Size]byte{byte(n), byte(n >> 8), 1}) }

// TestGreetingsArePaced: a few peers are greeted at once, and thousands at 2,000 a second; who has no address is left alone.
func TestGreetingsArePaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		endpoint, err := fabric.ParseEndpoint("192.0.2.1:51820")
		if err != nil {
			t.Fatal(err)
		}
		const many = 1000
		var peers []*plan.Peer
		for i := range many {
			peers = append(peers, &plan.Peer{PublicKey: far(i + 1), Endpoint: endpoint, Keepalive: 25 * (i % 2)})
		}
		peers = append(peers, &plan.Peer{PublicKey: far(many + 1)}, &plan.Peer{Endpoint: endpoint})
		var n notebook
		start := time.Now()
		if err := (&job{control: &n}).greet(t.Context(), peers, &Device{}); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(start); took < 400*time.Millisecond || took > 600*time.Millisecond || n.at[0] != start {
			t.Errorf("%d peers took %s, want half a second and the first at once", many, took)
		}
		greeted := 0
		for _, group := range n.peers {
			greeted += len(group)
			if len(group) > greetAtOnce {
				t.Errorf("%d peers were greeted at once", len(group))
			}
		}
		if k := n.peers[0][far(1)]; greeted != many || len(k) != 2 || k[0] == 0 || k[1] != 0 {
			t.Errorf("%d peers were greeted, one without keepalive by %v", greeted, k)
		}
		if k := n.peers[0][far(2)]; len(k) != 2 || k[0] != 0 || k[1] != 25 {
			t.Errorf("one with a keepalive was greeted by %v", k)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := (&job{control: &n}).greet(ctx, peers, &Device{}); !errors.Is(err, context.Canceled) {
			t.Errorf("cut short: %v", err)
		}
	})
}

// TestLateAddress: a gateway boots and cannot look its peer's name up. As soon as it can, it begins the handshake, without a packet; with a
// keepalive it has tried in vain, and WireGuard lets it try again 5 s after that (REKEY_TIMEOUT) and a third of a second of chance.
func TestLateAddress(t *testing.T) {
	for name, keepalive := range map[string]int{"without keepalive": 0, "with keepalive": 25} {
		t.Run(name, func(t *testing.T) {
			a, b := pair(t)
			var found atomic.Bool
			a.opts.Lookup = func(context.Context, string) ([]netip.Addr, error) {
				if !found.Load() {
					return nil, errors.New("no name server is there yet")
				}
				return []netip.Addr{netip.MustParseAddr("192.0.2.2")}, nil
			}
			a.client = New(a.opts)
			a.device.Peers[0] = b.peer("b", "b.example.net:51820", keepalive)
			b.device.Peers[0] = a.peer("a", "", 0)
			b.apply()
			if _, err := a.try(); err == nil {
				t.Fatal("a name that cannot be resolved is no error")
			}
			found.Store(true)
			start := time.Now()
			for a.observe().Peers[0].LastHandshake.IsZero() {
				if time.Since(start) > 6*time.Second {
					t.Fatal("no handshake, though the address is known")
				}
				_, _ = a.try() // an agent's pass
				time.Sleep(50 * time.Millisecond)
			}
			took := time.Since(start)
			t.Logf("handshake %s after the name could be looked up", took)
		})
	}
}
