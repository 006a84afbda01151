package wireguard

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"ropeway/internal/key"
	"ropeway/internal/nstest"
	"ropeway/internal/plan"
)

// oceanDelay is what a packet takes from one end to the other.
const oceanDelay = 60 * time.Millisecond

// inTime is before WireGuard would try again by itself, after 5 s.
const inTime = 4800 * time.Millisecond

// TestBootTogether sets the two ends of many sessions up in the same instant, on wires that take their time: their handshakes cross. None
// may wait until WireGuard tries again, after 5 s.
func TestBootTogether(t *testing.T) {
	for name, keepalive := range map[string][2]int{ // of the end with the lower key, and of the other
		"none": {0, 0}, "of the lower": {25, 0}, "of the higher": {0, 25}, "of both": {25, 25},
	} {
		t.Run("keepalive "+name, func(t *testing.T) {
			var all sync.WaitGroup
			for range 3 {
				a, b := overseas(t, keepalive)
				all.Go(func() {
					took, err := boot(a, b)
					if err != nil || took > inTime {
						t.Errorf("the session is there after %s, want %s at most; %v", took, inTime, err)
					}
					for _, e := range []*end{a, b} {
						if left := Diff([]plan.Device{e.device}, []Device{e.observe()}); len(left) > 0 {
							t.Errorf("not as planned any more, to do: %v", lines(left))
						}
					}
				})
			}
			all.Wait()
		})
	}
}

// TestBootBesideAStranger is the same where one end is no agent's: nobody there looks after handshakes.
func TestBootBesideAStranger(t *testing.T) {
	for name, stranger := range map[string]int{"lower": 0, "higher": 1} {
		t.Run(name, func(t *testing.T) {
			a, b := overseas(t, [2]int{})
			ends := [2]*end{a, b}
			ends[stranger].pause = time.Minute
			if took, err := boot(a, b); err != nil || took > inTime {
				t.Errorf("the session is there after %s, want %s at most; %v", took, inTime, err)
			}
		})
	}
}

// overseas is two gateways far from each other, the one with the lower key first. Their devices are there, down and without peers, so
// that nothing but handshakes is left to do.
func overseas(t *testing.T, keepalive [2]int) (a, b *end) {
	t.Helper()
	a, b = newEnd(t, nstest.Enter(t), 1), newEnd(t, nstest.New(t), 2)
	if !lower(a.private.Public(), b.private.Public()) {
		a.private, b.private = b.private, a.private
	}
	seaA, seaB := harbour(t, a), harbour(t, b) // what an end takes for the other
	for _, e := range []*end{a, b} {
		e.apply()
		e.link(netlink.LinkSetDown)
		e.client = New(e.opts) // which has not seen the device yet
	}
	a.device.Peers = []*plan.Peer{b.peer("b", seaA.LocalAddr().String(), keepalive[0])}
	b.device.Peers = []*plan.Peer{a.peer("a", seaB.LocalAddr().String(), keepalive[1])}
	go ferry(seaA, seaB)
	go ferry(seaB, seaA)
	return a, b
}

// harbour is a socket in the namespace of an end that stands for the other end.
func harbour(t *testing.T, e *end) (conn *net.UDPConn) {
	t.Helper()
	nstest.In(t, e.ns, func() {
		var err error
		if conn, err = net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)}); err != nil {
			t.Fatal(err)
		}
	})
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// ferry brings packets from one harbour to the device at the other, until it is closed.
func ferry(from, to *net.UDPConn) {
	device := &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 51820}
	buf := make([]byte, 2048)
	for {
		n, err := from.Read(buf)
		if err != nil {
			return
		}
		packet := bytes.Clone(buf[:n])
		time.AfterFunc(oceanDelay, func() { _, _ = to.WriteTo(packet, device) })
	}
}

// boot lets ends live at the same time, until each has had a handshake, and tells how long that took.
func boot(ends ...*end) (time.Duration, error) {
	begun := time.Now()
	errs := make(chan error, len(ends))
	for _, e := range ends {
		go func() { errs <- e.live(10 * time.Second) }()
	}
	var all error
	for range ends {
		all = errors.Join(all, <-errs)
	}
	return time.Since(begun), all
}

// live does what an agent does, once a second, until there was a handshake.
func (e *end) live(most time.Duration) (err error) {
	pause := cmp.Or(e.pause, time.Second)
	nstest.In(e.t, e.ns, func() {
		for begun, next := time.Now(), time.Now(); time.Since(begun) < most; time.Sleep(5 * time.Millisecond) {
			if !time.Now().Before(next) {
				next = next.Add(pause)
				if _, err = e.client.Apply(context.Background(), []plan.Device{e.device}, e.keys); err != nil {
					return
				}
			}
			var found []Device
			if found, err = e.client.Observe(context.Background()); err != nil || !found[0].Peers[0].LastHandshake.IsZero() {
				return
			}
		}
		err = errors.New("there was no handshake")
	})
	return err
}

// TestCrossed: only a peer that was heard and has no session is made anew, and only by the end whose turn it is.
func TestCrossed(t *testing.T) {
	self, low, high := key.PublicFromBytes([32]byte{5}), key.PublicFromBytes([32]byte{1}), key.PublicFromBytes([32]byte{9})
	at := netip.MustParseAddrPort("192.0.2.1:51820")
	for name, c := range map[string]struct {
		peer    Peer
		ourTurn bool
		want    bool
	}{
		"heard":                {Peer{PublicKey: high, Received: 148, Endpoint: at}, true, true},
		"heard, not our turn":  {Peer{PublicKey: high, Received: 148, Endpoint: at}, false, false},
		"heard, the late turn": {Peer{PublicKey: low, Received: 148, Endpoint: at}, false, true},
		"never heard":          {Peer{PublicKey: high, Endpoint: at}, true, false},
		"nowhere":              {Peer{PublicKey: high, Received: 148}, true, false},
		"a session":            {Peer{PublicKey: high, Received: 148, Endpoint: at, LastHandshake: time.Now()}, true, false},
	} {
		begin, restore := crossed(&status{Peers: []Peer{c.peer}}, self, c.ourTurn)
		if got := len(begin) == 2 && len(restore) == 1; got != c.want {
			t.Errorf("%s: made anew: %v, want %v", name, got, c.want)
		}
	}
}
