// Package gate lets connections in: it listens, has the TLS handshakes, and bounds what anybody may hold open before he is known, and after.
//
// Who comes is nobody until his handshake is over. Until then he counts for the address that he comes from (of IPv6 the /64, which is what one
// subscriber has), and has a few seconds. Handshakes of one address are taken some at a time, in the order in which they came, so a whole site
// that reconnects at once is let in batch after batch, and one who opens connections and says nothing keeps only his own neighbours waiting.
// Afterwards he counts for his name, if he has shown a certificate, else for the address still. Strangers together may take no more than a
// part of all connections; the rest is kept for members.
//
// What the gate hands on are connections whose handshake is done. It refuses by closing: who is refused here has no name that an answer could
// be for, or has many connections already.
package gate

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Limits are how many may be there at a time, and how long a handshake may take.
type Limits struct {
	Connections int           // in all; further ones wait in the kernel's queue
	Strangers   int           // of those: that nobody is known for, handshakes included
	Address     int           // strangers of one address, handshakes included
	Handshakes  int           // handshakes of one address that are under way; further ones wait their turn
	Member      int           // connections of one member
	Handshake   time.Duration // from the connection to the end of its handshake
	Unanswered  time.Duration // how long what was sent may go unacknowledged (TCP_USER_TIMEOUT, RFC 5482); 0: as the kernel has it
}

// Usual are limits for thousands of gateways, hundreds of them behind one address.
func Usual() Limits {
	return Limits{
		Connections: 16384, Strangers: 8192, Address: 4096, Handshakes: 64, Member: 16,
		Handshake: 10 * time.Second, Unanswered: 45 * time.Second,
	}
}

// A Gate is a net.Listener of connections that are let in. Make it with New.
type Gate struct {
	inner  net.Listener
	config *tls.Config
	limits Limits
	name   func(tls.ConnectionState) string
	log    *slog.Logger

	all     chan struct{} // holds one for each connection
	in      chan *tls.Conn
	ctx     context.Context // ends with Close
	cancel  context.CancelFunc
	working sync.WaitGroup

	mu        sync.Mutex
	strangers int
	addresses map[netip.Addr]*address
	members   map[string]int
	failed    error // why nothing comes any more
}

// An address is where strangers come from.
type address struct {
	strangers int
	turns     chan struct{} // holds one for each handshake under way
}

// New returns a gate before a listener. name says who is at the other end of a connection whose handshake is done, "" for a stranger.
func New(inner net.Listener, config *tls.Config, limits Limits, name func(tls.ConnectionState) string, log *slog.Logger) *Gate {
	g := &Gate{
		inner: inner, config: config, limits: limits, name: name, log: log,
		all: make(chan struct{}, limits.Connections), in: make(chan *tls.Conn),
		addresses: map[netip.Addr]*address{}, members: map[string]int{},
	}
	g.ctx, g.cancel = context.WithCancel(context.Background())
	g.working.Go(g.run)
	return g
}

// Accept implements net.Listener. The connection is a *tls.Conn.
func (g *Gate) Accept() (net.Conn, error) {
	select {
	case conn := <-g.in:
		return conn, nil
	case <-g.ctx.Done():
		g.mu.Lock()
		defer g.mu.Unlock()
		if g.failed != nil {
			return nil, g.failed
		}
		return nil, net.ErrClosed
	}
}

// Addr implements net.Listener.
func (g *Gate) Addr() net.Addr { return g.inner.Addr() }

// Close implements net.Listener. It ends the handshakes under way, and no connection that was handed on.
func (g *Gate) Close() error {
	g.cancel()
	err := g.inner.Close()
	g.working.Wait()
	return err
}

// run accepts until Close.
func (g *Gate) run() {
	defer g.cancel()
	for {
		select {
		case g.all <- struct{}{}:
		case <-g.ctx.Done():
			return
		}
		conn, err := g.inner.Accept()
		if err != nil {
			<-g.all
			if errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ENFILE) || errors.Is(err, unix.ECONNABORTED) {
				time.Sleep(10 * time.Millisecond) // it passes
				continue
			}
			g.mu.Lock()
			g.failed = err
			g.mu.Unlock()
			return
		}
		s := &socket{Conn: conn, gate: g, from: remote(conn)}
		turns := g.arrive(s)
		if turns == nil {
			g.log.Debug("too many strangers", "from", s.from)
			_ = s.Close()
			continue
		}
		g.working.Go(func() { g.admit(s, turns) })
	}
}

// admit has the handshake of a connection when it is its turn, and hands it on.
func (g *Gate) admit(s *socket, turns chan struct{}) {
	ctx, cancel := context.WithTimeout(g.ctx, g.limits.Handshake)
	defer cancel()
	conn, err := g.shake(ctx, s, turns)
	if err != nil {
		g.log.Debug("a connection is not let in", "from", s.from, "error", err)
		_ = s.Close()
		return
	}
	select {
	case g.in <- conn:
	case <-g.ctx.Done():
		_ = s.Close()
	}
}

func (g *Gate) shake(ctx context.Context, s *socket, turns chan struct{}) (*tls.Conn, error) {
	select {
	case turns <- struct{}{}:
		defer func() { <-turns }()
	case <-ctx.Done():
		return nil, fmt.Errorf("wait for its turn: %w", ctx.Err())
	}
	if err := s.bound(g.limits.Unanswered); err != nil {
		return nil, err
	}
	conn := tls.Server(s, g.config)
	if err := conn.HandshakeContext(ctx); err != nil {
		return nil, err
	}
	if name := g.name(conn.ConnectionState()); name != "" {
		return conn, g.know(s, name)
	}
	return conn, nil
}

// arrive counts a connection for its address, and returns the turns of the address, nil where it is one too many.
func (g *Gate) arrive(s *socket) (turns chan struct{}) {
	g.mu.Lock()
	defer g.mu.Unlock()
	a := g.addresses[s.from]
	if g.strangers >= g.limits.Strangers || a != nil && a.strangers >= g.limits.Address {
		return nil
	}
	if a == nil {
		a = &address{turns: make(chan struct{}, g.limits.Handshakes)}
		g.addresses[s.from] = a
	}
	a.strangers++
	g.strangers++
	s.counted = true
	return a.turns
}

var errTooMany = errors.New("it has as many connections as one may have")

// know counts a connection for a member from now on.
func (g *Gate) know(s *socket, name string) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.members[name] >= g.limits.Member {
		return fmt.Errorf("%s: %w", name, errTooMany)
	}
	g.uncount(s)
	g.members[name]++
	s.name, s.counted = name, true
	return nil
}

// uncount takes a connection out of the counts. The lock must be held.
func (g *Gate) uncount(s *socket) {
	switch {
	case !s.counted:
		return
	case s.name != "":
		g.members[s.name]--
		if g.members[s.name] == 0 {
			delete(g.members, s.name)
		}
	default:
		g.strangers--
		a := g.addresses[s.from]
		a.strangers--
		if a.strangers == 0 {
			delete(g.addresses, s.from)
		}
	}
	s.counted = false
}

// A socket is a connection below TLS that is counted until it is closed.
type socket struct {
	net.Conn
	gate    *Gate
	from    netip.Addr
	name    string // of a member
	counted bool
	closing sync.Once
}

// Close implements net.Conn.
func (s *socket) Close() error {
	err := net.ErrClosed
	s.closing.Do(func() {
		err = s.Conn.Close()
		s.gate.mu.Lock()
		s.gate.uncount(s)
		s.gate.mu.Unlock()
		<-s.gate.all
	})
	return err
}

// SyscallConn implements syscall.Conn.
func (s *socket) SyscallConn() (syscall.RawConn, error) {
	c, ok := s.Conn.(syscall.Conn)
	if !ok {
		return nil, fmt.Errorf("a %T has no socket", s.Conn)
	}
	return c.SyscallConn()
}

// bound has the kernel end a connection whose other end is gone without a word, while something is sent to it.
func (s *socket) bound(limit time.Duration) error {
	if _, ok := s.Conn.(*net.TCPConn); !ok || limit == 0 {
		return nil
	}
	raw, err := s.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = raw.Control(func(fd uintptr) {
		failed = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(limit.Milliseconds()))
	})
	if err = errors.Join(err, failed); err != nil {
		return fmt.Errorf("bound a connection: %w", err)
	}
	return nil
}

func remote(conn net.Conn) netip.Addr {
	if tcp, ok := conn.RemoteAddr().(*net.TCPAddr); ok {
		return AddressOf(tcp.AddrPort().Addr())
	}
	return netip.Addr{}
}

// AddressOf returns whom a stranger counts for: an IPv4 address, or the /64 of an IPv6 one.
func AddressOf(a netip.Addr) netip.Addr {
	a = a.Unmap().WithZone("")
	if a.Is4() {
		return a
	}
	p, _ := a.Prefix(64) // which every IPv6 address has
	return p.Addr()
}
