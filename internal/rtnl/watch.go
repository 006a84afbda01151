package rtnl

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// A Watch hears of changes in the network namespace that the calling thread was in when it was opened. The kernel tells of a change before whoever
// made it goes on; so what was read before a Watch said that nothing changed is still true then.
type Watch struct {
	fd int
	in [512]byte // of the messages nothing counts but that they came
}

// OpenWatch listens to multicast groups (RTNLGRP_…).
func OpenWatch(groups ...int) (*Watch, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("open a rtnetlink socket: %w", os.NewSyscallError("socket", err))
	}
	err = os.NewSyscallError("bind", unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}))
	for _, group := range groups {
		if err == nil {
			err = os.NewSyscallError("setsockopt", unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_ADD_MEMBERSHIP, group))
		}
	}
	if err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("listen to rtnetlink: %w", err)
	}
	return &Watch{fd: fd}, nil
}

// Changed reports whether anything changed since it was called last, and true where it cannot tell.
func (w *Watch) Changed() bool {
	changed := false
	for {
		_, err := unix.Read(w.fd, w.in[:])
		switch {
		case errors.Is(err, unix.EAGAIN):
			return changed
		case err == nil, errors.Is(err, unix.EINTR):
			changed = changed || err == nil
		case errors.Is(err, unix.ENOBUFS): // more happened than there was room for
			changed = true
		default:
			return true
		}
	}
}

// Close ends the Watch.
func (w *Watch) Close() error { return unix.Close(w.fd) }
