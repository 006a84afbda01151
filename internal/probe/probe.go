// Package probe asks other gateways through their tunnels whether they are there, by ICMP echo (RFC 792).
//
// An echo goes out by the device that is named and by no other, so an answer means that packets pass through the tunnel both ways. It may cross no
// further gateway: its TTL is 1, which is enough for an address of the gateway at the other end, and makes that one drop whatever would go on.
//
// The kernel lets anybody send echoes whose group is in net.ipv4.ping_group_range, which is everybody's on most distributions; elsewhere it takes
// CAP_NET_RAW. Where neither is so, Echo says it.
package probe

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

// A Target is somebody who can be asked.
type Target struct {
	Name      string
	Device    string       // by which the echo goes out
	Addresses []netip.Addr // IPv4; an answer from one of them is enough
}

// Format of an echo (RFC 792) and of the header before it on a raw socket (RFC 791).
const (
	echoRequest = 8
	echoReply   = 0
	echoHeader  = 8  // type, code, checksum, identifier, sequence number
	tokenSize   = 16 // what follows it, so that nobody else's echo is taken for one of ours
	ipv4Header  = 20 // at least
)

// Echo asks every target and returns the names of those that answered until all have or wait is over. It asks once in a third of that time.
func Echo(ctx context.Context, targets []Target, wait time.Duration) (map[string]bool, error) {
	answered := map[string]bool{}
	byDevice := map[string][]Target{}
	for _, t := range targets {
		byDevice[t.Device] = append(byDevice[t.Device], t)
	}
	for device, list := range byDevice {
		if err := echo(ctx, device, list, wait, answered); err != nil {
			return answered, fmt.Errorf("ask gateways through device %s: %w", device, err)
		}
	}
	return answered, nil
}

func echo(ctx context.Context, device string, targets []Target, wait time.Duration, answered map[string]bool) error {
	s, err := open(device)
	if err != nil {
		return err
	}
	defer s.close()
	owner := map[netip.Addr]string{}
	for _, t := range targets {
		for _, a := range t.Addresses {
			owner[a] = t.Name
		}
	}
	left := map[string]bool{}
	for _, name := range owner {
		left[name] = true
	}
	const rounds = 3
	deadline := time.Now().Add(wait)
	for round := range rounds {
		for a, name := range owner {
			if left[name] {
				s.send(a, uint16(round))
			}
		}
		next := time.Now().Add(time.Until(deadline) / time.Duration(rounds-round))
		for len(left) > 0 && time.Now().Before(next) && ctx.Err() == nil {
			from, ok, err := s.receive(time.Until(next))
			if err != nil {
				return err
			}
			if name, asked := owner[from]; ok && asked {
				answered[name] = true
				delete(left, name)
			}
		}
	}
	return ctx.Err()
}

// A socket sends echoes by one device, and hears their answers.
type socket struct {
	fd    int
	raw   bool // it gives whole packets, of everybody's echoes
	token [tokenSize]byte
	id    uint16
	in    [2048]byte
}

func open(device string) (*socket, error) {
	s := &socket{}
	var err error
	const kind = unix.SOCK_NONBLOCK | unix.SOCK_CLOEXEC
	if s.fd, err = unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|kind, unix.IPPROTO_ICMP); errors.Is(err, unix.EACCES) || errors.Is(err, unix.EPERM) {
		s.raw = true
		s.fd, err = unix.Socket(unix.AF_INET, unix.SOCK_RAW|kind, unix.IPPROTO_ICMP)
	}
	if err != nil {
		return nil, fmt.Errorf("open a socket for echoes (it takes a group in net.ipv4.ping_group_range, or CAP_NET_RAW): %w", err)
	}
	_, _ = rand.Read(s.token[:]) // never fails (crypto/rand)
	s.id = binary.BigEndian.Uint16(s.token[:])
	err = errors.Join(unix.BindToDevice(s.fd, device), unix.SetsockoptInt(s.fd, unix.IPPROTO_IP, unix.IP_TTL, 1))
	if err != nil {
		s.close()
		return nil, fmt.Errorf("bind a socket for echoes to device %s: %w", device, err)
	}
	return s, nil
}

func (s *socket) close() { _ = unix.Close(s.fd) }

// send sends an echo. What cannot be sent is not answered.
func (s *socket) send(to netip.Addr, sequence uint16) {
	var packet [echoHeader + tokenSize]byte
	packet[0] = echoRequest
	binary.BigEndian.PutUint16(packet[4:], s.id) // a socket that is not raw puts its own there
	binary.BigEndian.PutUint16(packet[6:], sequence)
	copy(packet[echoHeader:], s.token[:])
	binary.BigEndian.PutUint16(packet[2:], checksum(packet[:]))
	_ = unix.Sendto(s.fd, packet[:], 0, &unix.SockaddrInet4{Addr: to.As4()})
}

// receive waits for an answer, and returns whose it is; ok is false where none came, or something else.
func (s *socket) receive(wait time.Duration) (from netip.Addr, ok bool, err error) {
	poll := []unix.PollFd{{Fd: int32(s.fd), Events: unix.POLLIN}}
	n, err := unix.Poll(poll, max(1, int(wait/time.Millisecond)))
	if n == 0 || errors.Is(err, unix.EINTR) {
		return from, false, nil
	}
	if err != nil {
		return from, false, fmt.Errorf("wait for answers: %w", err)
	}
	size, sender, err := unix.Recvfrom(s.fd, s.in[:], 0)
	if err != nil {
		return from, false, nil //nolint:nilerr // an ICMP error about one of the echoes: who sent it does not answer
	}
	at, isIPv4 := sender.(*unix.SockaddrInet4)
	if !isIPv4 || !s.ours(s.in[:size]) {
		return from, false, nil
	}
	return netip.AddrFrom4(at.Addr), true, nil
}

// ours reports whether a packet is an answer to an echo of this socket.
func (s *socket) ours(packet []byte) bool {
	if s.raw {
		if len(packet) < ipv4Header {
			return false
		}
		packet = packet[min(len(packet), int(packet[0]&0x0f)*4):]
	}
	return len(packet) == echoHeader+tokenSize && packet[0] == echoReply && string(packet[echoHeader:]) == string(s.token[:])
}

// checksum is the Internet checksum (RFC 1071) of bytes in which its own place is zero. Their number is even.
func checksum(data []byte) uint16 {
	var sum uint32
	for i := 0; i < len(data); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(data[i:]))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}
