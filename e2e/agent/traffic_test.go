package agent_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// inside calls f on a thread of its own in a namespace; the thread ends with it. Sockets that f opens stay in that namespace.
func inside(ns netns.NsHandle, f func() error) error {
	result := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the runtime ends a thread whose goroutine ends so
		if err := netns.Set(ns); err != nil {
			result <- err
			return
		}
		result <- f()
	}()
	return <-result
}

func dialIn(ns netns.NsHandle, network, address string) (conn net.Conn, err error) {
	err = inside(ns, func() error {
		conn, err = net.DialTimeout(network, address, 2*time.Second)
		return err
	})
	return conn, err
}

// echo answers UDP on port 9 of the gateway's host until the test ends.
func (g *gateway) echo() {
	g.t.Helper()
	var conn net.PacketConn
	must(g.t, inside(g.host, func() (err error) {
		conn, err = net.ListenPacket("udp4", fmt.Sprintf("10.%d.0.10:9", g.n))
		return err
	}))
	roomy(g.t, conn)
	var wg sync.WaitGroup
	wg.Go(func() {
		buf := make([]byte, 2048)
		for {
			n, from, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			_, _ = conn.WriteTo(buf[:n], from)
		}
	})
	g.t.Cleanup(func() { _ = conn.Close(); wg.Wait() })
}

// roomy gives a socket a large buffer, so that a test that is not scheduled for a while does not lose what the network brought.
func roomy(t *testing.T, conn any) {
	t.Helper()
	raw, err := conn.(syscall.Conn).SyscallConn()
	must(t, err)
	must(t, raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 8<<20) }))
	must(t, err)
}

// reaches reports whether a packet from the gateway's host gets to the other's host and back.
func (g *gateway) reaches(to *gateway) bool {
	g.t.Helper()
	conn, err := dialIn(g.host, "udp4", fmt.Sprintf("10.%d.0.10:9", to.n))
	must(g.t, err)
	defer conn.Close()
	if _, err := conn.Write([]byte("?")); err != nil {
		return false
	}
	_ = conn.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
	_, err = conn.Read(make([]byte, 1))
	return err == nil
}

// A stream sends numbered packets from one host to another and back, and knows which came.
type stream struct {
	conn net.Conn
	stop chan struct{}
	wg   sync.WaitGroup
	mu   sync.Mutex
	sent int
	got  map[uint32]bool
	last time.Time     // when one came
	gap  time.Duration // the longest that none came
}

// stream begins one, 250 packets a second, once the first packet has come through.
func (g *gateway) stream(to *gateway) *stream {
	g.t.Helper()
	eventually(g.t, 20*time.Second, fmt.Sprintf("%s reaches %s", g.name, to.name), func() bool { return g.reaches(to) })
	s := &stream{stop: make(chan struct{}), got: map[uint32]bool{}}
	var err error
	s.conn, err = dialIn(g.host, "udp4", fmt.Sprintf("10.%d.0.10:9", to.n))
	must(g.t, err)
	roomy(g.t, s.conn)
	s.wg.Go(s.receive)
	s.wg.Go(s.send)
	return s
}

func (s *stream) send() {
	tick := time.NewTicker(4 * time.Millisecond)
	defer tick.Stop()
	packet := make([]byte, 200)
	for n := uint32(0); ; n++ {
		select {
		case <-s.stop:
			return
		case <-tick.C:
		}
		binary.BigEndian.PutUint32(packet, n)
		_, _ = s.conn.Write(packet) // what the network refuses counts as lost
		s.mu.Lock()
		s.sent++
		s.mu.Unlock()
	}
}

func (s *stream) receive() {
	packet := make([]byte, 2048)
	for {
		n, err := s.conn.Read(packet)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return
		}
		if err == nil && n >= 4 {
			s.mu.Lock()
			s.got[binary.BigEndian.Uint32(packet)] = true
			now := time.Now()
			if !s.last.IsZero() {
				s.gap = max(s.gap, now.Sub(s.last))
			}
			s.last = now
			s.mu.Unlock()
		}
	}
}

// end stops sending, gives what is under way a second, and returns how many packets were sent and how many never came back.
func (s *stream) end(t *testing.T) (sent, lost int) {
	t.Helper()
	close(s.stop)
	_ = s.conn.SetReadDeadline(time.Now().Add(time.Second))
	s.wg.Wait()
	_ = s.conn.Close()
	return s.sent, s.sent - len(s.got)
}
