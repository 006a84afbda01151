package failover

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ropeway/bench"
	"ropeway/internal/lab"
)

// BenchmarkUnderLoad fills the tunnels between two regions, both ways and with as much as this machine carries, while BFD watches every 300 ms. For a minute no session may
// be lost. Then the gateway that carries all that is killed, or stands still, again and again: 99 of 100 pairs of hosts may be cut off for 1.2 s at most.
func BenchmarkUnderLoad(b *testing.B) {
	const saturated, rounds, most = time.Minute, 10, 1200 * time.Millisecond
	f := up(b, "load", pair(b))
	for b.Loop() {
		load := f.load("east/host1", "10.20.0.1:7")
		before := f.flaps()
		begun := time.Now()
		time.Sleep(saturated)
		rate := float64(load.carried.Load()) * 8 / time.Since(begun).Seconds()
		flaps := f.flaps() - before
		var blackouts []time.Duration
		for round := range rounds {
			kind := []lab.FaultKind{lab.GatewayKill, lab.GatewayFreeze}[round%2]
			blackouts = append(blackouts, f.without(lab.Fault{Kind: kind, A: []string{"east-a", "west-a"}[round/2%2]})...)
		}
		load.stop()
		b.ReportMetric(0, "ns/op")
		b.ReportMetric(rate/1e6, "Mbit/s-each-way")
		b.ReportMetric(float64(flaps), "flaps")
		report(b, "bfd-300ms-loaded", blackouts)
		if flaps > 0 {
			bench.Miss(b, "%d sessions were lost within %s, want none", flaps, saturated)
		}
		if p99 := bench.Percentile(blackouts, 99); p99 > most {
			bench.Miss(b, "99 of 100 blackouts last %s at most, want %s", p99, most)
		}
	}
}

// flaps returns how many sessions gateways have lost so far.
func (f *rig) flaps() (sum int) {
	f.b.Helper()
	for _, list := range f.sessions() {
		for _, n := range list {
			sum += n.Flaps
		}
	}
	return sum
}

// without breaks something, and returns for how long each pair of hosts was cut off by it. All is well before and afterwards.
func (f *rig) without(fault lab.Fault) (blackouts []time.Duration) {
	f.b.Helper()
	f.awaitSessions()
	time.Sleep(2 * time.Second) // until all packets go by the best gateway again
	w, err := f.Watch(f.b.Context(), 10*time.Millisecond)
	if err != nil {
		f.b.Fatal(err)
	}
	time.Sleep(time.Second)
	broken, errBreak := f.Break(f.b.Context(), fault)
	time.Sleep(3 * time.Second)
	tallies, err := w.Close()
	if err != nil || errBreak != nil {
		f.b.Fatal(errBreak, err)
	}
	for _, t := range tallies {
		blackouts = append(blackouts, t.Blackout)
	}
	if _, err := f.Mend(f.b.Context(), broken.ID); err != nil {
		f.b.Fatal(err)
	}
	return blackouts
}

// A load is connections that send as much as they can and get all of it back.
type load struct {
	carried atomic.Int64 // bytes that came back
	end     context.CancelFunc
	running sync.WaitGroup
}

const loadConnections = 4

// load fills the way from a host to what answers at an address (RFC 862), until it is stopped or the benchmark ends.
func (f *rig) load(host, address string) *load {
	f.b.Helper()
	space := f.space(host)
	ctx, cancel := context.WithCancel(f.b.Context())
	l := &load{end: cancel}
	f.b.Cleanup(l.stop)
	for range loadConnections {
		var conn net.Conn
		if err := space.Do(func() (err error) { conn, err = net.Dial("tcp", address); return err }); err != nil {
			f.b.Fatalf("connect %s with %s: %v", host, address, err)
		}
		context.AfterFunc(ctx, func() { _ = conn.Close() })
		l.running.Go(func() { l.send(conn) })
		l.running.Go(func() { l.receive(conn) })
	}
	return l
}

func (l *load) stop() {
	l.end()
	l.running.Wait()
}

func (l *load) send(conn net.Conn) {
	for buf := make([]byte, 64<<10); ; {
		if _, err := conn.Write(buf); err != nil {
			return
		}
	}
}

func (l *load) receive(conn net.Conn) {
	for buf := make([]byte, 64<<10); ; {
		n, err := conn.Read(buf)
		if err != nil {
			return
		}
		l.carried.Add(int64(n))
	}
}
