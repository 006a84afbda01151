package wireguard

import (
	"errors"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/ipv4"

	"ropeway/bench"
	"ropeway/internal/nstest"
)

// BenchmarkTwoTunnels sends small datagrams, 100 bytes in eight flows, as fast as they go between two gateways, by one tunnel and by two that share the flows, turn by turn.
// No more are under way than queues hold, since a sender that nothing holds back takes the CPU from those that carry its packets. The devices are those of ropeway-gateway,
// one process at each end. The bar is 1.4 times as many with two, where one leaves a CPU to use. Where one tunnel, its other end and the programs at both fill the machine,
// as on two CPUs, a second can bring nothing, and must cost next to nothing. There two tunnels carried 1.47 times as many while every process took all CPUs, 26,100 a second
// against 17,400; since processes take as many as they can use (pace.go), one carries 28,200.
func BenchmarkTwoTunnels(b *testing.B) {
	if tested() != Userspace {
		b.Skip("about the process of userspace devices")
	}
	const rounds, least, noWorse = 15, 1.4, 0.9
	program := build(b, "ropeway/cmd/ropeway-gateway")
	one, two := newSpray(b, program, 1), newSpray(b, program, 2)
	for b.Loop() {
		var ones, twos, ratios, cpusOne, cpusTwo [rounds]float64
		for i := range rounds {
			ones[i], cpusOne[i] = one.rate()
			twos[i], cpusTwo[i] = two.rate()
			ratios[i] = twos[i] / ones[i] // of neighbours in time, as the machine may have other work
		}
		b.ReportMetric(0, "ns/op")
		b.Logf("packets a second: one tunnel %.0f, two %.0f, ratios %.3g; CPUs in use %.2g, %.2g", ones, twos, ratios, cpusOne, cpusTwo)
		b.ReportMetric(middle(ones[:]), "one-packets/s")
		b.ReportMetric(middle(twos[:]), "two-packets/s")
		b.ReportMetric(middle(cpusOne[:]), "one-cpus")
		b.ReportMetric(middle(cpusTwo[:]), "two-cpus")
		ratio := middle(ratios[:])
		b.ReportMetric(ratio, "ratio")
		want := least
		if idle := float64(runtime.NumCPU()) - middle(cpusOne[:]); idle < 0.5 {
			want = noWorse
			b.Logf("one tunnel leaves %.2f CPUs to use: the bar is %.1f", idle, want)
		}
		if ratio < want {
			bench.Miss(b, "%.2f times as many packets, want %.1f", ratio, want)
		}
	}
}

// A spray is flows of small datagrams by some tunnels.
type spray struct {
	b       *testing.B
	mesh    *mesh
	flows   []*ipv4.PacketConn
	arrived atomic.Int64
}

const (
	sprayFlows  = 8
	spraySize   = 100 // bytes of each datagram
	sprayAtOnce = 32  // that one call sends
	sprayWindow = 512 // that are under way at most
	sprayTime   = time.Second
	sprayPort   = 9                     // discard (RFC 863)
	sprayLost   = 20 * time.Millisecond // after which what has not arrived never will
)

func newSpray(b *testing.B, program string, tunnels int) *spray {
	b.Helper()
	s := &spray{b: b, mesh: newMesh(b, tunnels)}
	programs([2]*end{s.mesh.a, s.mesh.b}, program, "devices")
	s.mesh.up(b)
	for i := range tunnels {
		s.mesh.b.listen(meshAddr(2, i+1))
		if _, ok := reaches(s.mesh.a.dial(meshAddr(2, i+1)), 5*time.Second); !ok {
			b.Fatalf("no packet came back through tunnel %d", i+1)
		}
		s.receive(&net.UDPAddr{IP: meshAddr(2, i+1).AsSlice(), Port: sprayPort})
	}
	for i := range sprayFlows {
		link := i%tunnels + 1
		var conn *net.UDPConn
		var err error
		nstest.In(b, s.mesh.a.ns, func() {
			conn, err = net.DialUDP("udp4", &net.UDPAddr{IP: meshAddr(1, link).AsSlice()}, &net.UDPAddr{IP: meshAddr(2, link).AsSlice(), Port: sprayPort})
		})
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { _ = conn.Close() })
		s.flows = append(s.flows, ipv4.NewPacketConn(conn))
	}
	return s
}

// receive counts what arrives at the far end, until the benchmark ends.
func (s *spray) receive(at *net.UDPAddr) {
	s.b.Helper()
	var conn *net.UDPConn
	var err error
	nstest.In(s.b, s.mesh.b.ns, func() { conn, err = net.ListenUDP("udp4", at) })
	if err != nil {
		s.b.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		packets, batch := ipv4.NewPacketConn(conn), messages()
		for {
			n, err := packets.ReadBatch(batch, 0)
			if err != nil {
				return
			}
			s.arrived.Add(int64(n))
		}
	}()
	s.b.Cleanup(func() { _ = conn.Close(); <-done })
}

// messages returns room for as many datagrams as go at once.
func messages() []ipv4.Message {
	out := make([]ipv4.Message, sprayAtOnce)
	for i := range out {
		out[i].Buffers = [][]byte{make([]byte, spraySize)}
	}
	return out
}

// rate sends for a while and returns how many datagrams arrived a second, and how many CPUs the machine used meanwhile.
func (s *spray) rate() (packets, cpus float64) {
	s.b.Helper()
	stop := make(chan struct{})
	var sending sync.WaitGroup
	sending.Go(func() { s.send(stop) })
	time.Sleep(sprayTime / 4) // until a device has as many CPUs as it gets
	begun, before := time.Now(), s.arrived.Load()
	busyBefore, err := busy()
	time.Sleep(sprayTime)
	seconds := time.Since(begun).Seconds()
	packets = float64(s.arrived.Load()-before) / seconds
	busyAfter, errAfter := busy()
	close(stop)
	sending.Wait()
	if err := errors.Join(err, errAfter); err != nil {
		s.b.Fatal(err)
	}
	return packets, (busyAfter - busyBefore) / seconds
}

// send goes through the flows in turn, and waits where enough is under way.
func (s *spray) send(stop <-chan struct{}) {
	batch := messages()
	sent := s.arrived.Load()
	progress, at := sent, time.Now()
	for turn := 0; ; {
		select {
		case <-stop:
			return
		default:
		}
		if arrived := s.arrived.Load(); arrived != progress {
			progress, at = arrived, time.Now()
		} else if time.Since(at) > sprayLost {
			sent, at = arrived, time.Now()
		}
		if sent-progress > sprayWindow-sprayAtOnce {
			time.Sleep(100 * time.Microsecond)
			continue
		}
		n, _ := s.flows[turn%sprayFlows].WriteBatch(batch, 0) // what a full queue does not take is lost
		sent += int64(n)
		turn++
	}
}
