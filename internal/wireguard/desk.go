package wireguard

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/tailscale/wireguard-go/device"
	"golang.org/x/sys/unix"
)

// A desk holds the conversations on one control socket. In each the other end asks for operations, one after the other; an operation and its answer end
// with a blank line, and the last line of the answer says errno, which is 0 where all went well.
type desk struct {
	answer func(out *bytes.Buffer, op, body string) error
	look   chan struct{} // tells that it may be time to end: a conversation is over, or some time has passed

	conns sync.WaitGroup
	open  struct {
		sync.Mutex
		all    map[net.Conn]struct{}
		closed bool
	}
}

func newDesk(answer func(out *bytes.Buffer, op, body string) error) *desk {
	d := &desk{answer: answer, look: make(chan struct{}, 1)}
	d.open.all = map[net.Conn]struct{}{}
	return d
}

// poke has whoever waits look whether it is time to end.
func (d *desk) poke() {
	select {
	case d.look <- struct{}{}:
	default: // it is told already
	}
}

// serve answers until the listener is closed and every conversation is over.
func (d *desk) serve(l *net.UnixListener) {
	defer d.conns.Wait()
	for {
		conn, err := l.AcceptUnix()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // out of file descriptors, mostly: it passes
			time.Sleep(100 * time.Millisecond)
			continue
		}
		if !trusted(conn) || !d.enter(conn) {
			_ = conn.Close()
			continue
		}
		d.conns.Go(func() {
			defer d.leave(conn)
			d.converse(conn)
		})
	}
}

func (d *desk) enter(conn net.Conn) bool {
	d.open.Lock()
	defer d.open.Unlock()
	if d.open.closed || len(d.open.all) >= maxConns {
		return false
	}
	d.open.all[conn] = struct{}{}
	return true
}

func (d *desk) leave(conn net.Conn) {
	d.open.Lock()
	delete(d.open.all, conn)
	d.open.Unlock()
	_ = conn.Close()
	d.poke()
}

// stop makes serve return.
func (d *desk) stop(l *net.UnixListener) {
	_ = l.Close()
	d.open.Lock()
	defer d.open.Unlock()
	d.open.closed = true
	for conn := range d.open.all {
		_ = conn.Close()
	}
}

// trusted tells whether the other end of a socket is root or ourselves. The mode of the socket says so already; a mode can be changed.
func trusted(conn *net.UnixConn) bool {
	raw, err := conn.SyscallConn()
	if err != nil {
		return false
	}
	ok := false
	err = raw.Control(func(fd uintptr) {
		cred, err := unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
		ok = err == nil && (cred.Uid == 0 || int(cred.Uid) == os.Geteuid())
	})
	return err == nil && ok
}

// Bounds on what a conversation may cost.
const (
	maxConns   = 64
	maxRequest = 64 << 20 // bytes; 2^16 peers, the most a device has, with ten prefixes each are 25 MB
	idle       = 5 * time.Minute
)

// converse answers operations until the other end hangs up or says something that is none.
func (d *desk) converse(conn net.Conn) {
	r := bufio.NewReader(conn)
	var out bytes.Buffer
	for {
		_ = conn.SetDeadline(time.Now().Add(idle))
		request, err := readRequest(r)
		if err != nil {
			return
		}
		op, body, _ := strings.Cut(request, "\n")
		out.Reset()
		if err = d.answer(&out, op, body); errors.Is(err, errUnknownOp) {
			return
		}
		fmt.Fprintf(&out, "errno=%d\n\n", errno(err))
		if _, err := conn.Write(out.Bytes()); err != nil {
			return
		}
		if out.Cap() > maxKept {
			out = bytes.Buffer{}
		}
	}
}

// maxKept is the largest answer whose buffer a conversation keeps for the next one, in bytes.
const maxKept = 64 << 10

// readRequest reads an operation up to its blank line, which is not part of what it returns.
func readRequest(r *bufio.Reader) (string, error) {
	var b strings.Builder
	for {
		line, err := r.ReadSlice('\n')
		if err != nil {
			return "", err // a line longer than the buffer (4 KiB) is no line of ours
		}
		if len(line) == 1 {
			return b.String(), nil
		}
		if b.Len()+len(line) > maxRequest {
			return "", errors.New("the request is too long")
		}
		b.Write(line)
	}
}

var errUnknownOp = errors.New("unknown operation")

// errno is how an error travels: as a negative number, as wireguard-go has it.
func errno(err error) int64 {
	var ipc *device.IPCError
	var number unix.Errno
	switch {
	case err == nil:
		return 0
	case errors.As(err, &ipc):
		return ipc.ErrorCode()
	case errors.As(err, &number):
		return -int64(number)
	}
	return -int64(unix.EIO)
}
