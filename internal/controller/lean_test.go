package controller

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

// An audience are clients of a server that cost as little as a client can, each on a TLS connection of its own. A thousand usual ones, of package
// net/http or of gRPC, have two or three goroutines each, and share the cores of the machine with the server: a good part of what is measured then is
// them, and with gRPC more of it than with net/http. Agents have machines of their own.
//
// So one goroutine waits for all of them in one epoll(7), reads what has come for one in one system call, decrypts it, and takes it apart as far as it
// takes to know that it is complete and what was waited for. That is the same for each side of a comparison; how the server is spoken to is a dialect.
// The usual clients in a process of their own would not do: it has the same cores.
type audience struct {
	tb      testing.TB
	epoll   int
	all     []*listener
	scratch []byte // what came for one of them last
	reading sync.WaitGroup
	stop    func()

	mu      sync.Mutex
	changed *sync.Cond
	newest  uint64    // the highest number that anybody has
	have    int       // how many have it
	last    time.Time // when the last of them did
	failed  error     // somebody was cut off, or told what makes no sense
}

// A listener is one of an audience.
type listener struct {
	conn    *tls.Conn
	fed     *fed
	dialect dialect
	came    []byte // and was not understood yet
	has     uint64
}

// A dialect is how a client speaks to one kind of server.
type dialect interface {
	// open asks for what is to be heard. The dialect may write to out from then on, where its protocol wants it to.
	open(out io.Writer) error
	// hear takes one piece from the front of what has come, and returns its length, 0 for one that is not complete. Where a message ends with it that
	// tells of a revision, it returns that, too.
	hear(came []byte) (length int, revision uint64, err error)
}

// newAudience has one client for every dialect connect to address and open.
func newAudience[D dialect](tb testing.TB, address string, dialects []D, config func(i int) *tls.Config) *audience {
	tb.Helper()
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		tb.Fatal(err)
	}
	a := &audience{tb: tb, epoll: epoll, all: make([]*listener, len(dialects)), scratch: make([]byte, 256<<10)}
	a.changed = sync.NewCond(&a.mu)
	var group errgroup.Group
	group.SetLimit(32)
	for i, d := range dialects {
		group.Go(func() (err error) {
			a.all[i], err = listen(tb.Context(), address, config(i), d)
			return err
		})
	}
	err = group.Wait()
	ctx, cancel := context.WithCancel(tb.Context())
	a.stop = sync.OnceFunc(func() { cancel(); a.reading.Wait(); a.close() })
	tb.Cleanup(a.stop)
	if err != nil {
		tb.Fatal(err)
	}
	a.reading.Go(func() {
		if err := a.read(ctx); err != nil {
			a.fail(err)
		}
	})
	return a
}

// listen makes one of an audience.
func listen(ctx context.Context, address string, config *tls.Config, d dialect) (*listener, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	f := &fed{Conn: conn}
	l := &listener{conn: tls.Client(f, config), fed: f, dialect: d}
	err = l.conn.HandshakeContext(ctx)
	if err == nil {
		err = f.leave()
	}
	if err == nil {
		err = d.open(l.conn)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("connect to %s: %w", address, err), f.Close())
	}
	return l, nil
}

// close ends all connections.
func (a *audience) close() {
	for _, l := range a.all {
		if l != nil {
			_ = l.fed.Close()
		}
	}
	_ = unix.Close(a.epoll)
}

// read takes what comes until ctx ends.
func (a *audience) read(ctx context.Context) error {
	for i, l := range a.all {
		if err := a.hear(l, nil); err != nil { // what came with the handshake
			return err
		}
		if err := unix.EpollCtl(a.epoll, unix.EPOLL_CTL_ADD, l.fed.fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(i)}); err != nil {
			return fmt.Errorf("wait for what comes: %w", err)
		}
	}
	const look = 100 // milliseconds, between looks whether it is over
	events := make([]unix.EpollEvent, 256)
	for ctx.Err() == nil {
		n, err := unix.EpollWait(a.epoll, events, look)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("wait for what comes: %w", err)
		}
		for _, e := range events[:max(n, 0)] {
			l := a.all[e.Fd]
			n, err := unix.Read(l.fed.fd, a.scratch)
			if err == nil && n == 0 {
				err = io.EOF
			}
			if err == nil {
				err = a.hear(l, a.scratch[:n])
			}
			if err != nil {
				return fmt.Errorf("client number %d: %w", e.Fd, err)
			}
		}
	}
	return nil
}

// hear has one take what has come for it.
func (a *audience) hear(l *listener, sealed []byte) error {
	l.fed.came = sealed
	for {
		l.came = slices.Grow(l.came, 4<<10)
		n, err := l.conn.Read(l.came[len(l.came):cap(l.came)])
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return nil
		}
		if err != nil {
			return err
		}
		l.came = l.came[:len(l.came)+n]
		rest := l.came
		for {
			length, revision, err := l.dialect.hear(rest)
			if err != nil {
				return err
			}
			if length == 0 {
				break
			}
			rest = rest[length:]
			a.note(l, revision)
		}
		l.came = append(l.came[:0], rest...)
	}
}

// note counts one who has a revision.
func (a *audience) note(l *listener, revision uint64) {
	if revision <= l.has {
		return
	}
	l.has = revision
	a.mu.Lock()
	defer a.mu.Unlock()
	if revision > a.newest {
		a.newest, a.have = revision, 0
	}
	if revision == a.newest {
		a.have++
	}
	if a.have == len(a.all) {
		a.last = time.Now()
		a.changed.Broadcast()
	}
}

func (a *audience) fail(err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.failed = errors.Join(a.failed, err)
	a.changed.Broadcast()
}

// wait returns when the last one had a revision, the newest that there is.
func (a *audience) wait(revision uint64) time.Time {
	a.tb.Helper()
	defer time.AfterFunc(4*time.Minute, func() { a.fail(fmt.Errorf("not everybody has revision %d", revision)) }).Stop()
	a.mu.Lock()
	defer a.mu.Unlock()
	for a.failed == nil && (a.newest < revision || a.have < len(a.all)) {
		a.changed.Wait()
	}
	if a.failed != nil {
		a.tb.Fatal(a.failed)
	}
	return a.last
}

// A fed is the connection below TLS. Once it has left the runtime, which would wake a thread of its own for everything that comes, TLS reads what it
// is fed with, and hears that it is too early for more when that is over, which is an error that it forgets.
type fed struct {
	net.Conn // until it left

	fd   int // since
	came []byte
}

// leave takes the socket out of the runtime's hands.
func (f *fed) leave() error {
	raw, err := f.Conn.(syscall.Conn).SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = raw.Control(func(fd uintptr) { f.fd, failed = unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 0) })
	if err = errors.Join(err, failed); err != nil {
		return err
	}
	err = f.Conn.Close()
	f.Conn = nil
	return err
}

func (f *fed) Read(b []byte) (int, error) {
	if f.Conn != nil {
		return f.Conn.Read(b)
	}
	if len(f.came) == 0 {
		return 0, os.ErrDeadlineExceeded
	}
	n := copy(b, f.came)
	f.came = f.came[n:]
	return n, nil
}

func (f *fed) Write(b []byte) (int, error) {
	if f.Conn != nil {
		return f.Conn.Write(b)
	}
	return unix.Write(f.fd, b) // a client says so little that there is always room for it
}

func (f *fed) Close() error {
	if f.Conn != nil {
		return f.Conn.Close()
	}
	return unix.Close(f.fd)
}

// newAgents has n agents of a fleet watch. Unlike a crowd they do not come again.
func newAgents(f *fleet, n int) *audience {
	f.tb.Helper()
	dialects := make([]*gatewayDialect, n)
	for i := range dialects {
		dialects[i] = &gatewayDialect{name: gatewayName(i)}
	}
	return newAudience(f.tb, f.address, dialects, func(i int) *tls.Config { return f.config("gateway/"+gatewayName(i), "http/1.1") })
}

// TestAudience: everybody has a change, and a server that ends is an error.
func TestAudience(t *testing.T) {
	const n = 30
	f := newFleet(t, n)
	f.apply(starFabric(n, 10, 443))
	agents := newAgents(f, n)
	agents.wait(1)
	done := f.apply(starFabric(n, 10, 444))
	agents.wait(done.Revision)
	f.kill()
	eventually(t, "they hear that the controller ended", func() bool {
		agents.mu.Lock()
		defer agents.mu.Unlock()
		return agents.failed != nil
	})
}
