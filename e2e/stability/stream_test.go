package stability_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ropeway/internal/lab"
	"ropeway/internal/lab/netns"
)

// period is how often each host sends a probe to each other one.
const period = 15 * time.Millisecond

// A stream is probes that go from the host of one region to that of another, and back, all the time.
type stream struct {
	from, to string
	conn     net.Conn
	sent     atomic.Uint64
	mu       sync.Mutex
	back     map[uint64]time.Duration // number of a probe → after how long its answer came
}

// streams are those between every two regions.
type streams struct {
	all     []*stream
	stop    chan struct{}
	sending sync.WaitGroup
	hearing sync.WaitGroup
}

// probe begins to send, from every region to every other one.
func probe(t *testing.T, l *lab.Lab) *streams {
	t.Helper()
	out := &streams{stop: make(chan struct{})}
	for _, from := range regions {
		ns, err := netns.Open(fmt.Sprintf("rwlab.%s.%s.host1", l.Name, from.name))
		if err != nil {
			t.Fatal(err)
		}
		for _, to := range regions {
			if from == to {
				continue
			}
			s := &stream{from: from.name, to: to.name, back: map[uint64]time.Duration{}}
			err := ns.Do(func() (err error) {
				s.conn, err = net.Dial("udp", to.host+":7") //nolint:noctx // connecting a datagram socket takes no time
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			out.all = append(out.all, s)
		}
		if err := ns.Close(); err != nil {
			t.Fatal(err)
		}
	}
	for _, s := range out.all {
		out.sending.Go(func() { s.send(out.stop) })
		out.hearing.Go(s.hear)
	}
	return out
}

func (s *stream) send(stop <-chan struct{}) {
	tick := time.NewTicker(period)
	defer tick.Stop()
	for {
		select {
		case <-stop:
			return
		case <-tick.C:
		}
		var b [16]byte
		binary.BigEndian.PutUint64(b[:8], s.sent.Load())
		binary.BigEndian.PutUint64(b[8:], uint64(time.Now().UnixNano()))
		_, _ = s.conn.Write(b[:]) // one that is refused here has no answer
		s.sent.Add(1)
	}
}

// hear notes the answers until the socket is closed.
func (s *stream) hear() {
	var b [64]byte
	for {
		n, err := s.conn.Read(b[:])
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil || n != 16 {
			continue // an ICMP error about an earlier one
		}
		took := time.Since(time.Unix(0, int64(binary.BigEndian.Uint64(b[8:16]))))
		s.mu.Lock()
		s.back[binary.BigEndian.Uint64(b[:8])] = took
		s.mu.Unlock()
	}
}

// grace is how long the last answers may be under way.
const grace = 3 * time.Second

// end stops sending and returns how many probes were sent, the slowest answer, and what was lost, as text.
func (all *streams) end() (sent uint64, slowest time.Duration, lost []string) {
	close(all.stop)
	all.sending.Wait()
	time.Sleep(grace)
	for _, s := range all.all {
		_ = s.conn.Close()
	}
	all.hearing.Wait()
	for _, s := range all.all {
		n := s.sent.Load()
		sent += n
		for i := range n {
			took, ok := s.back[i]
			if slowest = max(slowest, took); !ok {
				lost = append(lost, fmt.Sprintf("%s→%s number %d of %d", s.from, s.to, i, n))
			}
		}
	}
	return sent, slowest, lost
}

// none fails where a probe was lost.
func (all *streams) none(t *testing.T) {
	t.Helper()
	sent, slowest, lost := all.end()
	t.Logf("%d probes, %d lost, slowest answer after %s", sent, len(lost), slowest.Round(100*time.Microsecond))
	if sent == 0 || len(lost) > 0 {
		t.Errorf("%d of %d probes were lost, for example %.300q", len(lost), sent, lost)
	}
}
