package wireguard

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"ropeway/internal/key"
)

// What a control socket is asked. Get and set are WireGuard's cross-platform protocol, which wg(8) speaks too; the others are
// RunDevices' own, and a stock wireguard-go ends the connection when it reads them.
const (
	opGet    = "get=1"
	opSet    = "set=1"
	opAll    = "ropeway_all=1"   // answered by count, offload and what get says
	opStart  = "ropeway_start=1" // goes up, and tells why it cannot
	opHeard  = "ropeway_heard=1" // answered by count and what get says of peers that were heard and have had no session
	opChange = "ropeway_change=" // then the count, and on further lines what set takes about peers; answered by count and what get says of those peers

	lineDrop = "ropeway_drop=" // before the peers of a change: a prefix that no peer shall have afterwards
)

// deadline bounds one conversation with a device. The longest are to read 2^16 peers, half a second, and to configure 256, 50 ms.
const deadline = 10 * time.Second

// A socket is the control of a userspace device. It blocks its thread while it waits: what it waits for takes a fraction of a millisecond, and the
// detour through the runtime's poller as long again.
type socket struct {
	fd     int
	r      *bufio.Reader
	stock  bool          // it does not know our own operations
	broken bool          // the conversation was cut short
	limits time.Duration // how long a call waits
	begun  uint64        // the count of a change of which nothing else was sent yet; 0: there is none
	path   string
}

// openSocket connects to a device. An error that wraps ENOENT or ECONNREFUSED means that there is none.
func openSocket(ctx context.Context, dir, name string) (*socket, error) {
	return dialSocket(ctx, socketPath(dir, name))
}

func dialSocket(ctx context.Context, path string) (*socket, error) {
	s := &socket{path: path}
	return s, s.dial(ctx)
}

func (s *socket) dial(ctx context.Context) (err error) {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.limits = 0
	if s.fd, err = unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0); err != nil {
		return fmt.Errorf("open a socket: %w", err)
	}
	if err = s.limit(ctx); err == nil {
		err = unix.Connect(s.fd, &unix.SockaddrUnix{Name: s.path})
	}
	if err != nil {
		_ = unix.Close(s.fd)
		return fmt.Errorf("connect to the device's socket: %w", late(err))
	}
	s.r = bufio.NewReaderSize(s, 16<<10)
	return nil
}

// limit bounds how long a call on the socket waits, connect too.
func (s *socket) limit(ctx context.Context) error {
	limit := deadline
	if until, ok := ctx.Deadline(); ok {
		limit = max(min(limit, time.Until(until)), time.Millisecond) // 0 would mean for ever
	}
	if limit == s.limits {
		return nil
	}
	s.limits = limit
	wait := unix.NsecToTimeval(limit.Nanoseconds())
	return errors.Join(
		unix.SetsockoptTimeval(s.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &wait),
		unix.SetsockoptTimeval(s.fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &wait),
	)
}

// late says what it means that a call on a socket with a time limit would have to wait on.
func late(err error) error {
	if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINPROGRESS) {
		return fmt.Errorf("the device does not answer: %w", os.ErrDeadlineExceeded)
	}
	return err
}

// Read implements io.Reader.
func (s *socket) Read(b []byte) (int, error) {
	for {
		n, err := unix.Read(s.fd, b)
		switch {
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.ECONNRESET), err == nil && n == 0:
			return 0, io.EOF
		case err != nil:
			return 0, late(err)
		default:
			return n, nil
		}
	}
}

func (s *socket) send(b []byte) error {
	for len(b) > 0 {
		n, err := unix.SendmsgN(s.fd, b, nil, nil, unix.MSG_NOSIGNAL)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return late(err)
		}
		b = b[max(n, 0):]
	}
	return nil
}

// nobodyListens tells an error of openSocket that means that there is no device.
func nobodyListens(err error) bool {
	return errors.Is(err, syscall.ENOENT) || errors.Is(err, syscall.ECONNREFUSED)
}

func (s *socket) close() error { return unix.Close(s.fd) }

// call sends one operation and hands every line of the answer on. The answer ends with errno and a blank line.
func (s *socket) call(request []byte, each func(name, value []byte) error) error {
	if err := s.retract(); err != nil {
		return err
	}
	return s.exchange(request, each)
}

func (s *socket) exchange(request []byte, each func(name, value []byte) error) error {
	s.broken = true // until the answer is read to its end
	if err := s.send(request); err != nil {
		return fmt.Errorf("write to the device's socket: %w", err)
	}
	var failed error
	for {
		line, err := s.r.ReadSlice('\n')
		if err != nil {
			return fmt.Errorf("read from the device's socket: %w", err)
		}
		name, value, found := bytes.Cut(line[:len(line)-1], []byte{'='})
		switch {
		case len(line) == 1:
			s.broken = false
			return failed
		case !found:
			return errors.New("the device's answer is not a list of name=value")
		case string(name) == "errno":
			if n, err := strconv.Atoi(string(value)); err != nil || n != 0 {
				failed = errnoError(n)
			}
		case each != nil && failed == nil:
			failed = each(name, value)
		}
	}
}

// errnoError tells the number that a device gave: a negative errno.
func errnoError(n int) error {
	if n < 0 {
		n = -n
	}
	return fmt.Errorf("the device refused: %w", syscall.Errno(n))
}

func (s *socket) read() (status, error) {
	if !s.stock {
		st, err := s.ask([]byte(opAll + "\n\n"))
		if !errors.Is(err, io.EOF) {
			return st, err
		}
		s.stock = true // it ended the connection: start again
		_ = s.close()
		if err := s.dial(context.Background()); err != nil {
			return status{}, err
		}
	}
	return s.ask([]byte(opGet + "\n\n"))
}

func (s *socket) heard() (status, error) {
	if s.stock {
		return s.read()
	}
	return s.ask([]byte(opHeard + "\n\n"))
}

// ask sends an operation that is answered by peers.
func (s *socket) ask(request []byte) (status, error) {
	var p parser
	if err := s.call(request, p.line); err != nil {
		return status{}, err
	}
	finish(p.status.Peers, time.Now())
	return p.status, nil
}

// announce sends the first line of a change. The process of an idle device sleeps, on a machine that may sleep too, and to wake it takes longer than
// to carry a change out: 0.3 ms on a virtual machine, 0.1 ms where it was awake a moment ago. It can be done while the change is worked out.
func (s *socket) announce(count uint64) {
	if count != 0 && !s.stock && s.begun == 0 && s.send(appendChange(nil, count)) == nil {
		s.begun = count
	}
}

func appendChange(b []byte, count uint64) []byte {
	return append(strconv.AppendUint(append(b, opChange...), count, 10), '\n')
}

// retract ends a change that was announced, without any.
func (s *socket) retract() error {
	if s.begun == 0 {
		return nil
	}
	_, err := s.change(s.begun, nil)
	if errors.Is(err, errCount) {
		err = nil
	}
	return err
}

func (s *socket) change(count uint64, peers []section) (status, error) {
	var request []byte
	if s.begun != count {
		if err := s.retract(); err != nil {
			return status{}, err
		}
		request = appendChange(nil, count)
	}
	s.begun = 0
	for i := range peers {
		if peers[i].Nobody {
			request = appendPrefixes(request, lineDrop, peers[i].AllowedIPs)
		}
	}
	for i := range peers {
		if !peers[i].Nobody {
			request = appendSection(request, &peers[i])
		}
	}
	var p parser
	err := s.exchange(append(request, '\n'), p.line)
	finish(p.status.Peers, time.Now())
	if errors.Is(err, syscall.ESTALE) {
		return status{}, errCount
	}
	return p.status, err
}

func (s *socket) write(c config) error { return s.call(appendConfig(nil, c), nil) }

func (s *socket) start() error {
	if s.stock {
		return nil // it follows the interface by itself
	}
	return s.call([]byte(opStart+"\n\n"), nil)
}

// appendConfig appends a set operation.
func appendConfig(b []byte, c config) []byte {
	b = append(b, opSet+"\n"...)
	if c.Private != nil {
		b = appendKey(b, "private_key", c.Private.Reveal())
	}
	if c.Port != nil {
		b = append(strconv.AppendUint(append(b, "listen_port="...), uint64(*c.Port), 10), '\n')
	}
	for i := range c.Peers {
		b = appendSection(b, &c.Peers[i])
	}
	return append(b, '\n')
}

func appendSection(b []byte, s *section) []byte {
	b = appendKey(b, "public_key", s.PublicKey.Bytes())
	if s.UpdateOnly {
		b = append(b, "update_only=true\n"...)
	}
	if s.Endpoint.IsValid() {
		b = append(s.Endpoint.AppendTo(append(b, "endpoint="...)), '\n')
	}
	if s.Keepalive != nil {
		b = append(strconv.AppendInt(append(b, "persistent_keepalive_interval="...), int64(*s.Keepalive), 10), '\n')
	}
	b = appendPrefixes(b, "allowed_ip=", s.AllowedIPs)
	if s.Remove { // a device carries out the lines in their order
		b = append(b, "remove=true\n"...)
	}
	return b
}

func appendPrefixes(b []byte, name string, list []netip.Prefix) []byte {
	for _, p := range list {
		b = append(p.AppendTo(append(b, name...)), '\n')
	}
	return b
}

func appendKey(b []byte, name string, k [key.Size]byte) []byte {
	b = append(append(b, name...), '=')
	return append(hex.AppendEncode(b, k[:]), '\n')
}

// A parser reads the lines of a get operation. Lines that it does not know are passed over.
type parser struct{ status status }

func (p *parser) line(name, value []byte) error {
	err := p.deviceLine(string(name), value)
	if errors.Is(err, errOtherLine) && len(p.status.Peers) > 0 {
		err = p.peerLine(&p.status.Peers[len(p.status.Peers)-1], string(name), value)
	}
	if errors.Is(err, errOtherLine) {
		return nil
	}
	if err != nil { // the value may be a key: it does not enter the error
		return fmt.Errorf("the device's answer: %s is not what it should be", strconv.Quote(string(name)))
	}
	return nil
}

var errOtherLine = errors.New("another line")

func (p *parser) deviceLine(name string, value []byte) error {
	var err error
	switch name {
	case "private_key":
		raw, bad := parseHexKey(value)
		private, worse := key.ParsePrivate(base64.StdEncoding.EncodeToString(raw[:]))
		if err = errors.Join(bad, worse); err == nil && !private.IsZero() {
			p.status.PublicKey = private.Public()
		}
	case "listen_port":
		var n uint64
		n, err = strconv.ParseUint(string(value), 10, 16)
		p.status.ListenPort = uint16(n)
	case "ropeway_count":
		p.status.Count, err = strconv.ParseUint(string(value), 10, 64)
	case "ropeway_offload":
		p.status.Offload = string(value)
	case "public_key":
		raw, bad := parseHexKey(value)
		p.status.Peers, err = append(p.status.Peers, Peer{PublicKey: key.PublicFromBytes(raw)}), bad
	default:
		return errOtherLine
	}
	return err
}

func (p *parser) peerLine(peer *Peer, name string, value []byte) error {
	var err error
	switch name {
	case "endpoint":
		peer.Endpoint, err = netip.ParseAddrPort(string(value))
		peer.Endpoint = netip.AddrPortFrom(peer.Endpoint.Addr().Unmap(), peer.Endpoint.Port())
	case "allowed_ip":
		var prefix netip.Prefix
		prefix, err = netip.ParsePrefix(string(value))
		peer.AllowedIPs = append(peer.AllowedIPs, prefix)
	case "persistent_keepalive_interval":
		peer.Keepalive, err = strconv.Atoi(string(value))
	case "last_handshake_time_sec":
		var n int64
		if n, err = strconv.ParseInt(string(value), 10, 64); n > 0 {
			peer.LastHandshake = time.Unix(n, 0)
		}
	case "last_handshake_time_nsec":
		var n int64
		if n, err = strconv.ParseInt(string(value), 10, 64); n > 0 {
			peer.LastHandshake = peer.LastHandshake.Add(time.Duration(n))
		}
	case "rx_bytes":
		peer.Received, err = strconv.ParseUint(string(value), 10, 64)
	case "tx_bytes":
		peer.Sent, err = strconv.ParseUint(string(value), 10, 64)
	default:
		return errOtherLine
	}
	return err
}

// finish sorts peers and tells which are stale.
func finish(peers []Peer, now time.Time) {
	for i := range peers {
		peers[i].Stale = stale(peers[i].LastHandshake, now)
		slices.SortFunc(peers[i].AllowedIPs, netip.Prefix.Compare)
	}
	slices.SortFunc(peers, comparePeers)
}

func parseHexKey(value []byte) (k [key.Size]byte, err error) {
	if len(value) != 2*key.Size {
		return k, key.ErrFormat
	}
	if _, err := hex.Decode(k[:], value); err != nil {
		return k, key.ErrFormat
	}
	return k, nil
}
