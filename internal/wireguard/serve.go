package wireguard

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/tailscale/wireguard-go/device"
	"golang.org/x/sys/unix"

	"ropeway/internal/key"
)

// A server answers on the control socket of a userspace device.
type server struct {
	dev     *device.Device
	roamer  *roamer
	offload string
	hungUp  chan struct{} // tells that a conversation has ended

	mu    sync.RWMutex // held for writing while the device is configured, so that a count belongs to the state it is read with
	count uint64
	port  string // the listen port that was set last; "": none yet

	conns sync.WaitGroup
	open  struct {
		sync.Mutex
		all    map[net.Conn]struct{}
		closed bool
	}
}

// newServer starts the count at the time, so that another process of the same name never repeats one.
func newServer(dev *device.Device, r *roamer, offload string) *server {
	s := &server{dev: dev, roamer: r, offload: offload, count: uint64(time.Now().UnixNano()), hungUp: make(chan struct{}, 1)}
	s.open.all = map[net.Conn]struct{}{}
	return s
}

// serve answers until the listener is closed and every conversation is over.
func (s *server) serve(l *net.UnixListener) {
	defer s.conns.Wait()
	for {
		conn, err := l.AcceptUnix()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // out of file descriptors, mostly: it passes
			time.Sleep(100 * time.Millisecond)
			continue
		}
		if !trusted(conn) || !s.enter(conn) {
			_ = conn.Close()
			continue
		}
		s.conns.Go(func() {
			defer s.leave(conn)
			s.converse(conn)
		})
	}
}

func (s *server) enter(conn net.Conn) bool {
	s.open.Lock()
	defer s.open.Unlock()
	if s.open.closed || len(s.open.all) >= maxConns {
		return false
	}
	s.open.all[conn] = struct{}{}
	return true
}

func (s *server) leave(conn net.Conn) {
	s.open.Lock()
	delete(s.open.all, conn)
	s.open.Unlock()
	_ = conn.Close()
	select {
	case s.hungUp <- struct{}{}:
	default: // it is told already
	}
}

// stop makes serve return.
func (s *server) stop(l *net.UnixListener) {
	_ = l.Close()
	s.open.Lock()
	defer s.open.Unlock()
	s.open.closed = true
	for conn := range s.open.all {
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
func (s *server) converse(conn net.Conn) {
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
		if err = s.answer(&out, op, body); errors.Is(err, errUnknownOp) {
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

func (s *server) answer(out *bytes.Buffer, op, body string) error {
	switch op {
	case opGet:
		s.mu.RLock()
		defer s.mu.RUnlock()
		return s.get(out)
	case opSet:
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.set(body)
	case opAll:
		s.mu.RLock()
		defer s.mu.RUnlock()
		fmt.Fprintf(out, "ropeway_count=%d\nropeway_offload=%s\n", s.count, s.offload)
		return s.get(out)
	case opHeard:
		s.mu.RLock()
		defer s.mu.RUnlock()
		fmt.Fprintf(out, "ropeway_count=%d\n", s.count)
		in := s.roamer.inside.Load()
		for _, k := range s.roamer.seated() {
			if in.heard(k) {
				in.describe(out, k)
			}
		}
		return nil
	case opStart:
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.start()
	}
	if number, ok := strings.CutPrefix(op, opChange); ok {
		return s.change(out, number, body)
	}
	return errUnknownOp
}

// start brings the device up on its port. The device also goes up by itself when its interface does; where it found the port taken then, it
// has forgotten it, and would take any other one. The lock must be held.
func (s *server) start() error {
	if err := s.dev.Up(); err != nil {
		return err
	}
	if s.port == "" || s.port == strconv.Itoa(int(s.roamer.port.Load())) {
		return nil
	}
	return s.dev.IpcSet("listen_port=" + s.port + "\n")
}

// get writes what the device says of itself.
func (s *server) get(out *bytes.Buffer) error {
	var all bytes.Buffer
	err := s.dev.IpcGetOperation(&all)
	out.Write(bytes.ReplaceAll(all.Bytes(), []byte(nowhereLine), nil))
	return err
}

// set configures the device. The lock must be held. A configuration that fails may have done a part, and counts.
func (s *server) set(body string) error {
	s.count++
	err := s.dev.IpcSetOperation(strings.NewReader(body))
	for line := range strings.Lines(body) {
		if value, ok := strings.CutPrefix(line, "listen_port="); ok {
			s.port = strings.TrimSuffix(value, "\n")
		}
		if value, ok := strings.CutPrefix(line, "public_key="); ok {
			var k device.NoisePublicKey
			if k.FromHex(strings.TrimSuffix(value, "\n")) == nil {
				s.roamer.seat(k)
			}
		}
	}
	if strings.Contains(body, "replace_peers=") || strings.Contains(body, "private_key=") { // both remove peers without a name
		s.roamer.seatAll()
	}
	return err
}

// change sets only where nobody else has since the count that the other end knows, and tells what became of the peers that it named. Without any it
// only compares the count.
func (s *server) change(out *bytes.Buffer, number, body string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if number != strconv.FormatUint(s.count, 10) {
		return unix.ESTALE
	}
	drop, body, err := dropped(body)
	if err != nil {
		return err
	}
	named, err := peersIn(body)
	if err != nil {
		return err
	}
	if body != "" {
		if err := s.set(body); err != nil {
			return err
		}
	}
	if len(drop) > 0 {
		s.count++
		s.roamer.inside.Load().drop(drop)
	}
	fmt.Fprintf(out, "ropeway_count=%d\n", s.count)
	for value := range named {
		var k device.NoisePublicKey
		if err := k.FromHex(value); err != nil {
			return unix.EINVAL
		}
		s.roamer.inside.Load().describe(out, k)
	}
	return nil
}

// dropped cuts the prefixes that no peer shall have from the head of a change.
func dropped(body string) (drop []netip.Prefix, rest string, err error) {
	for {
		line, after, _ := strings.Cut(body, "\n")
		value, ok := strings.CutPrefix(line, lineDrop)
		if !ok {
			return drop, body, nil
		}
		p, err := netip.ParsePrefix(value)
		if err != nil {
			return nil, "", unix.EINVAL
		}
		drop, body = append(drop, p), after
	}
}

// peersIn returns the keys, in hex, of the peers that the lines of a set operation are about.
func peersIn(body string) (map[string]bool, error) {
	named := map[string]bool{}
	for line := range strings.Lines(body) {
		if value, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "public_key="); ok {
			if _, err := parseHexKey([]byte(value)); err != nil {
				return nil, unix.EINVAL
			}
			named[strings.ToLower(value)] = true
		} else if len(named) == 0 {
			return nil, unix.EINVAL // about the device, which the answer would not tell
		}
	}
	return named, nil
}

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

// appendHexKey writes "name=hex".
func appendHexKey(out *bytes.Buffer, name string, k [key.Size]byte) {
	_, _ = io.WriteString(out, name+"="+hex.EncodeToString(k[:])+"\n")
}
