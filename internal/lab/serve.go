package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"ropeway/internal/fabric"
	"ropeway/internal/intent"
	"ropeway/internal/lab/netns"
	"ropeway/internal/lab/world"
)

// Limits of the responder, so that nothing inside a lab can exhaust the machine.
const (
	maxConnections = 4096
	idleTimeout    = 30 * time.Second
)

// A responder answers in the hosts of a lab: on every port it sends back what it gets (RFC 862).
type responder struct {
	spaces      []*netns.Space
	running     sync.WaitGroup
	listeners   []io.Closer
	connections chan struct{} // a slot each

	mu       sync.Mutex
	services map[fabric.Service]bool // that it answers
}

// Serve answers for the hosts of a lab until ctx ends. It is the work of a process of its own. At SIGHUP it looks what else there is to answer.
func Serve(ctx context.Context, lab string) error {
	again := make(chan os.Signal, 1)
	signal.Notify(again, unix.SIGHUP)
	defer signal.Stop(again)
	r, services, err := asked(lab)
	if err != nil {
		return err
	}
	var spaces []*netns.Space
	for _, h := range r.World.Of(world.Host) {
		ns, err := netns.Open(spaceName(lab, h.Name))
		if err != nil {
			return err
		}
		defer ns.Close()
		spaces = append(spaces, ns)
	}
	answering, err := respond(spaces, services)
	if err != nil {
		return err
	}
	for {
		select {
		case <-ctx.Done():
			return answering.Close()
		case <-again:
			if _, services, err = asked(lab); err == nil {
				err = answering.answer(services)
			}
			if err != nil {
				return joinClose(err, answering)
			}
		}
	}
}

// asked returns the record of a lab, and what its hosts are asked.
func asked(lab string) (*record, []fabric.Service, error) {
	r, err := readRecord(lab)
	if err != nil {
		return nil, nil, err
	}
	in, list := intent.Read(r.File, []byte(r.Source))
	if in == nil {
		return nil, nil, list
	}
	return r, universe(in, r.Plan), nil
}

// respond listens in the namespaces on the ports of the services, both families.
func respond(spaces []*netns.Space, services []fabric.Service) (*responder, error) {
	r := &responder{spaces: spaces, connections: make(chan struct{}, maxConnections), services: map[fabric.Service]bool{}}
	if err := r.answer(services); err != nil {
		return nil, joinClose(err, r)
	}
	return r, nil
}

// answer listens on the ports of services as well. What it listens on already goes on.
func (r *responder) answer(services []fabric.Service) error {
	for _, s := range services {
		r.mu.Lock()
		known := r.services[s]
		r.services[s] = true
		r.mu.Unlock()
		if known {
			continue
		}
		for _, ns := range r.spaces {
			if err := ns.Do(func() error { return r.listen(s) }); err != nil {
				return fmt.Errorf("listen on %s in %s: %w", s, ns.Name, err)
			}
		}
	}
	return nil
}

// itself reports whether a datagram from a port may come from a responder.
func (r *responder) itself(port uint16) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.services[fabric.Service{Protocol: fabric.UDP, First: port, Last: port}]
}

func (r *responder) listen(s fabric.Service) error {
	port := fmt.Sprintf("[::]:%d", s.First)
	switch s.Protocol {
	case fabric.TCP:
		l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", port)
		if err != nil {
			return err
		}
		r.listeners = append(r.listeners, l)
		r.running.Go(func() { r.accept(l) })
	case fabric.UDP:
		config := net.ListenConfig{Control: control}
		l, err := config.ListenPacket(context.Background(), "udp", port)
		if err != nil {
			return err
		}
		r.listeners = append(r.listeners, l)
		r.running.Go(func() { r.echo(l.(*net.UDPConn)) })
	}
	return nil
}

// control asks for the address that a datagram was sent to, so that the answer can come from there, and forbids fragments
// whatever the kernel has heard of the path: an answer has the size of the request, or is lost.
func control(_, _ string, c syscall.RawConn) error {
	var err error
	ctlErr := c.Control(func(fd uintptr) {
		err = errors.Join(
			unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_PROBE),
			unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_MTU_DISCOVER, unix.IPV6_PMTUDISC_PROBE),
			unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, 1))
	})
	return errors.Join(err, ctlErr)
}

// echo sends datagrams back. The control message that says where one was sent to says, given back, where the answer is from. One
// from a port that answers itself gets none: two responders would never stop.
func (r *responder) echo(c *net.UDPConn) {
	buf, oob := make([]byte, 1<<16), make([]byte, 128)
	for {
		n, oobn, _, from, err := c.ReadMsgUDPAddrPort(buf, oob)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil || r.itself(from.Port()) {
			continue // an ICMP error about an earlier answer
		}
		_, _, _ = c.WriteMsgUDPAddrPort(buf[:n], oob[:oobn], from) // lost like any packet
	}
}

func (r *responder) accept(l net.Listener) {
	for {
		c, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue // the peer gave up meanwhile
		}
		select {
		case r.connections <- struct{}{}:
			r.running.Go(func() {
				defer func() { <-r.connections }()
				sendBack(c)
			})
		default:
			_ = c.Close() // too many
		}
	}
}

// sendBack echoes until the other side ends, or is silent for too long.
func sendBack(c net.Conn) {
	defer c.Close()
	buf := make([]byte, 32<<10)
	for {
		if c.SetDeadline(time.Now().Add(idleTimeout)) != nil {
			return
		}
		n, err := c.Read(buf)
		if err != nil {
			return
		}
		if _, err := c.Write(buf[:n]); err != nil {
			return
		}
	}
}

// Close stops listening and waits for the connections that are open.
func (r *responder) Close() error {
	var errs []error
	for _, l := range r.listeners {
		errs = append(errs, l.Close())
	}
	return errors.Join(errs...)
}
