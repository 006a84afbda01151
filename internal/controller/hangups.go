package controller

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"
)

// hangups tells which of thousands of silent connections the other end has closed. A goroutine that waits in Read would tell, too, and cost
// more than the connection; this is one epoll (epoll(7)) for all of them.
type hangups struct {
	fd   int
	file *os.File // the same; has the runtime wait for it

	closed atomic.Bool
}

func newHangups() (*hangups, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("make an epoll: %w", err)
	}
	if err := unix.SetNonblock(fd, true); err != nil { // os.NewFile then leaves the waiting to the runtime
		return nil, errors.Join(fmt.Errorf("make an epoll: %w", err), unix.Close(fd))
	}
	return &hangups{fd: fd, file: os.NewFile(uintptr(fd), "epoll")}, nil
}

// add has run tell once of the connection under a number, when it is closed or when anything comes in: who watches has nothing to say.
func (h *hangups) add(conn net.Conn, number uint64) error {
	socket, ok := socketOf(conn).(syscall.Conn)
	if !ok {
		return fmt.Errorf("watch a connection: a %T has no socket", conn)
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return fmt.Errorf("watch a connection: %w", err)
	}
	event := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLRDHUP | unix.EPOLLONESHOT, Fd: int32(uint32(number)), Pad: int32(uint32(number >> 32))}
	var failed error
	err = raw.Control(func(fd uintptr) { failed = unix.EpollCtl(h.fd, unix.EPOLL_CTL_ADD, int(fd), &event) })
	if err = errors.Join(err, failed); err != nil {
		return fmt.Errorf("watch a connection: %w", err)
	}
	return nil // closing the connection takes it out
}

// socketOf returns the connection below TLS.
func socketOf(conn net.Conn) net.Conn {
	if t, ok := conn.(*tls.Conn); ok {
		return t.NetConn()
	}
	return conn
}

// run tells of every hang-up until close.
func (h *hangups) run(gone func(number uint64)) error {
	raw, err := h.file.SyscallConn()
	if err != nil {
		return fmt.Errorf("wait for connections to end: %w", err)
	}
	events := make([]unix.EpollEvent, 256)
	for {
		var n int
		var failed error
		err := raw.Read(func(uintptr) bool {
			n, failed = unix.EpollWait(h.fd, events, 0)
			return n != 0
		})
		switch {
		case h.closed.Load():
			return nil
		case errors.Is(failed, unix.EINTR):
			continue
		case errors.Join(err, failed) != nil:
			return fmt.Errorf("wait for connections to end: %w", errors.Join(err, failed))
		}
		for _, e := range events[:max(n, 0)] {
			gone(uint64(uint32(e.Fd)) | uint64(uint32(e.Pad))<<32)
		}
	}
}

func (h *hangups) close() {
	h.closed.Store(true)
	_ = h.file.Close()
}
