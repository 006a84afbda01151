package failover

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/vishvananda/netns"

	"ropeway/bench"
	"ropeway/internal/bgp"
	"ropeway/internal/bgp/bird"
	"ropeway/internal/bgp/frr"
	"ropeway/internal/fabric"
	"ropeway/internal/nstest"
	"ropeway/internal/plan"
)

// BenchmarkDaemonStart starts the routing daemon of a gateway that has four neighbours, which run the same one and are there, and takes the time until all sessions are up,
// and until BFD watches them. The bars for sessions are 3 s with FRR and 1.5 s with BIRD.
func BenchmarkDaemonStart(b *testing.B) {
	const rounds, neighbors = 7, 4
	for _, c := range []struct {
		name fabric.Daemon
		open func(dir string) bgp.Daemon
		most time.Duration
	}{
		{fabric.FRR, func(dir string) bgp.Daemon { return frr.New(frr.Options{Dir: dir}) }, 3 * time.Second},
		{fabric.BIRD, func(dir string) bgp.Daemon { return bird.New(bird.Options{Dir: dir}) }, 1500 * time.Millisecond},
	} {
		b.Run(string(c.name), func(b *testing.B) {
			hub := newSpeaker(b, c.name, 0, c.open)
			for i := 1; i <= neighbors; i++ {
				spoke := newSpeaker(b, c.name, i, c.open)
				spoke.join(hub)
				spoke.apply()
			}
			for b.Loop() {
				var up, watched []time.Duration
				for range rounds {
					begun := time.Now()
					hub.apply()
					hub.await("up", func(n bgp.Neighbor) bool { return n.Up })
					up = append(up, time.Since(begun))
					hub.await("watched", func(n bgp.Neighbor) bool { return n.Up && n.BFD == "up" })
					watched = append(watched, time.Since(begun))
					hub.stop()
				}
				b.ReportMetric(0, "ns/op")
				b.Logf("all %d sessions are up after %v, and watched after %v", neighbors, up, watched)
				b.ReportMetric(ms(bench.Median(watched)), "watched-p50-ms")
				bench.Within(b, up, c.most)
			}
		})
	}
}

// A speaker is a routing daemon in a namespace of its own.
type speaker struct {
	b      *testing.B
	name   string
	ns     netns.NsHandle
	daemon bgp.Daemon
	want   plan.BGP
}

// newSpeaker makes a speaker that nothing has started yet. Its number is in its AS number and addresses.
func newSpeaker(b *testing.B, daemon fabric.Daemon, number int, open func(dir string) bgp.Daemon) *speaker {
	b.Helper()
	dir, err := os.MkdirTemp("", "start") //nolint:usetesting // FRR's user has to get there, and names of sockets are short
	if err != nil {
		b.Fatal(err)
	}
	s := &speaker{b: b, name: fmt.Sprintf("g%d", number), daemon: open(filepath.Join(dir, "d"))}
	if number == 0 {
		s.ns = nstest.Enter(b)
	} else {
		s.ns = nstest.New(b)
	}
	s.want = plan.BGP{
		Daemon: daemon, ASN: uint32(65001 + number), RouterID: netip.AddrFrom4([4]byte{10, 255, 0, byte(number + 1)}), MaxPaths: 1,
		Own: []netip.Prefix{netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(number), 0, 0}), 16)},
	}
	b.Cleanup(func() {
		s.stop()
		_ = os.RemoveAll(dir)
	})
	return s
}

// join lays a cable to another speaker and makes each the other's neighbour.
func (s *speaker) join(other *speaker) {
	s.b.Helper()
	addresses := [2]netip.Addr{netip.AddrFrom4([4]byte{10, 254, byte(s.want.ASN), 0}), netip.AddrFrom4([4]byte{10, 254, byte(s.want.ASN), 1})}
	nstest.Join(s.b,
		nstest.Plug{NS: s.ns, Name: "to-" + other.name, Addr: addresses[0].String() + "/31"},
		nstest.Plug{NS: other.ns, Name: "to-" + s.name, Addr: addresses[1].String() + "/31"})
	for i, end := range [2]struct{ near, far *speaker }{{s, other}, {other, s}} {
		end.near.want.Neighbors = append(end.near.want.Neighbors, &plan.Neighbor{
			Name: end.far.name, Device: "to-" + end.far.name, Local: addresses[i], Address: addresses[1-i], ASN: end.far.want.ASN, Tell: plan.TellOwn,
			Accept: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, MaxHops: 1, MaxPrefixes: 10, BFD: &plan.BFD{Interval: 300, Multiplier: 3},
		})
	}
}

func (s *speaker) apply() {
	s.b.Helper()
	var err error
	nstest.In(s.b, s.ns, func() { _, err = s.daemon.Apply(s.b.Context(), &bgp.Config{BGP: &s.want}) })
	if err != nil {
		s.b.Fatalf("apply to %s: %v", s.name, err)
	}
}

func (s *speaker) stop() {
	s.b.Helper()
	nstest.In(s.b, s.ns, func() {
		if err := s.daemon.Stop(context.WithoutCancel(s.b.Context())); err != nil {
			s.b.Errorf("stop %s: %v", s.name, err)
		}
	})
}

// await waits until all neighbours are so.
func (s *speaker) await(what string, so func(bgp.Neighbor) bool) {
	s.b.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		var state *bgp.State
		var err error
		nstest.In(s.b, s.ns, func() { state, err = s.daemon.Observe(s.b.Context()) })
		if err != nil {
			s.b.Fatal(err)
		}
		missing := slices.DeleteFunc(slices.Clone(state.Neighbors), so)
		if len(state.Neighbors) == len(s.want.Neighbors) && len(missing) == 0 {
			return
		}
		if time.Now().After(deadline) {
			s.b.Fatalf("these neighbours are not %s: %+v", what, missing)
		}
	}
}
