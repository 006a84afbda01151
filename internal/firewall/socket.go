package firewall

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// patience is how long the kernel may take for an answer: far more than the seconds that a dump of a very large set takes.
const patience = 30 * time.Second

// Sizes of the sockets' buffers in bytes. The kernel fills at most 32 KiB of a dump into one datagram (netlink_dump), and only
// where the reader offers as much. A watch that runs over is no loss but a full read.
const (
	datagramSize  = 64 << 10
	watchBuffer   = 4 << 20
	receiveBuffer = 4 << 20
)

// A socket is a netlink socket to the kernel's netfilter. Its requests are answered before the next is made.
type socket struct {
	fd   int
	port uint32
	seq  uint32
	buf  []byte
}

// dial opens a socket in the network namespace of the calling thread, with room for so many bytes that wait to be read.
func dial(room int) (*socket, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_NETFILTER)
	if err != nil {
		return nil, fmt.Errorf("open a netlink socket to netfilter: %w", err)
	}
	s := &socket{fd: fd, buf: make([]byte, datagramSize)}
	if err := s.bind(room); err != nil {
		s.close()
		return nil, fmt.Errorf("bind a netlink socket to netfilter: %w", err)
	}
	return s, nil
}

func (s *socket) bind(room int) error {
	if err := unix.Bind(s.fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return err
	}
	name, err := unix.Getsockname(s.fd)
	if err != nil {
		return err
	}
	s.port = name.(*unix.SockaddrNetlink).Pid
	// An answer that reports an error need not repeat what it is about.
	if err := unix.SetsockoptInt(s.fd, unix.SOL_NETLINK, unix.NETLINK_CAP_ACK, 1); err != nil {
		return err
	}
	if err := s.room(unix.SO_RCVBUFFORCE, unix.SO_RCVBUF, room); err != nil {
		return err
	}
	tv := unix.NsecToTimeval(int64(patience))
	return unix.SetsockoptTimeval(s.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &tv)
}

// room sizes a buffer, where the user namespace does not let it be forced, up to what the machine grants everybody.
func (s *socket) room(force, plain, size int) error {
	err := unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, force, size)
	if errors.Is(err, unix.EPERM) {
		return unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, plain, size)
	}
	return err
}

func (s *socket) close() error { return unix.Close(s.fd) }

// receive reads one datagram. Nothing but the kernel is listened to.
func (s *socket) receive(flags int) ([]byte, error) {
	for {
		n, from, err := unix.Recvfrom(s.fd, s.buf, flags|unix.MSG_TRUNC)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return nil, err
		case n > len(s.buf):
			return nil, fmt.Errorf("a datagram of %d bytes: %w", n, errShort)
		}
		if sender, ok := from.(*unix.SockaddrNetlink); ok && sender.Pid == 0 {
			return s.buf[:n], nil
		}
	}
}

// get asks for one thing, or for all of a kind where dump is set, and calls each for every answer about our family. It reports
// whether the ruleset changed during the dump.
func (s *socket) get(ctx context.Context, message uint16, dump bool, each func(body []byte), filter ...attr) (changed bool, err error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	flags := uint16(unix.NLM_F_ACK)
	if dump {
		flags = unix.NLM_F_DUMP
	}
	s.seq++
	req := appendHeader(nil, nft(message), flags, unix.NFPROTO_INET, 0)
	for _, a := range filter {
		req = appendAttr(req, a)
	}
	binary.NativeEndian.PutUint32(req, uint32(len(req)))
	binary.NativeEndian.PutUint32(req[8:], s.seq)
	if err := unix.Sendto(s.fd, req, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return false, err
	}
	for {
		datagram, err := s.receive(0)
		if err != nil {
			return false, err
		}
		for m, err := range messages(datagram) {
			switch {
			case err != nil:
				return false, err
			case m.seq != s.seq:
				continue
			case m.kind == unix.NLMSG_ERROR || m.kind == unix.NLMSG_DONE:
				return changed || m.flags&unix.NLM_F_DUMP_INTR != 0, m.errno()
			}
			changed = changed || m.flags&unix.NLM_F_DUMP_INTR != 0
			if m.family == unix.NFPROTO_INET {
				each(m.attrs)
			}
		}
	}
}

// A commitError is a transaction that the kernel refused. Nothing of it has happened.
type commitError struct {
	what string
	err  error
}

func (e *commitError) Error() string {
	return fmt.Sprintf("the kernel refused to %s: %v", e.what, e.err)
}

func (e *commitError) Unwrap() error { return e.err }

// commit carries out a transaction.
func (s *socket) commit(ctx context.Context, t *batch) error {
	if len(t.buf) == 0 {
		return nil
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	begin := s.seq + 1
	data := t.seal(begin)
	s.seq += uint32(len(t.what)) + 2
	// A transaction is one datagram, so the socket's buffer has to hold it.
	if err := s.room(unix.SO_SNDBUFFORCE, unix.SO_SNDBUF, len(data)+datagramSize); err != nil {
		return fmt.Errorf("make room for a transaction of %d bytes: %w", len(data), err)
	}
	if err := unix.Sendto(s.fd, data, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return fmt.Errorf("send a transaction of %d bytes: %w", len(data), err)
	}
	return s.outcome(t, begin, begin+uint32(len(t.what)))
}

// outcome waits for the answers to a transaction whose messages have the numbers after begin up to last.
func (s *socket) outcome(t *batch, begin, last uint32) error {
	var first error
	flags := 0
	for {
		datagram, err := s.receive(flags)
		switch {
		case errors.Is(err, unix.ENOBUFS): // so many errors that some are lost, and the end with them
			flags = unix.MSG_DONTWAIT
			continue
		case err != nil:
			return cmp.Or(first, fmt.Errorf("wait for the end of a transaction: %w", err))
		}
		for m, err := range messages(datagram) {
			if err != nil {
				return err
			}
			if m.kind != unix.NLMSG_ERROR || m.seq < begin {
				continue
			}
			if err := m.errno(); err != nil && first == nil {
				first = &commitError{t.name(int(m.seq - begin)), err}
			}
			if m.seq == last || m.seq == begin { // the end, or a word about the whole
				return first
			}
		}
	}
}

// name says in words which message of the transaction is the nth, from 1; 0 is the whole.
func (t *batch) name(n int) string {
	if n < 1 || n > len(t.what) {
		return "take the transaction"
	}
	return t.what[n-1]
}
