package lab

import (
	"errors"
	"fmt"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"

	"ropeway/internal/lab/netns"
	"ropeway/internal/lab/packet"
)

// A vantage is a point to send packets from and to watch them arrive at: raw sockets inside one namespace.
type vantage struct {
	name       string
	ns         *netns.Space
	raw4, raw6 int
	watch      *os.File
}

// watchBuffer is how much a watch may fall behind, in bytes: some 10,000 small packets with the kernel's bookkeeping.
const watchBuffer = 8 << 20

func newVantage(name string, ns *netns.Space) (*vantage, error) {
	v := &vantage{name: name, ns: ns, raw4: -1, raw6: -1}
	if err := ns.Do(v.open); err != nil {
		return nil, fmt.Errorf("open the sockets of %s: %w", name, joinClose(err, v))
	}
	return v, nil
}

func (v *vantage) open() (err error) {
	const flags = unix.SOCK_CLOEXEC | unix.SOCK_NONBLOCK
	if v.raw4, err = unix.Socket(unix.AF_INET, unix.SOCK_RAW|flags, unix.IPPROTO_RAW); err != nil {
		return err
	}
	if v.raw6, err = unix.Socket(unix.AF_INET6, unix.SOCK_RAW|flags, unix.IPPROTO_RAW); err != nil {
		return err
	}
	all := int(htons(unix.ETH_P_ALL))
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|flags, all)
	if err != nil {
		return err
	}
	v.watch = os.NewFile(uintptr(fd), "watch of "+v.name)
	return errors.Join(
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, watchBuffer),
		unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1))
}

// Close ends the vantage, and a running listen with it.
func (v *vantage) Close() error {
	var errs []error
	for _, fd := range []int{v.raw4, v.raw6} {
		if fd >= 0 {
			errs = append(errs, unix.Close(fd))
		}
	}
	if v.watch != nil {
		errs = append(errs, v.watch.Close())
	}
	return errors.Join(errs...)
}

// send puts an IP packet on its way as it is. It returns an error that is unix.EMSGSIZE where the packet does not even fit the
// wire of the host.
func (v *vantage) send(b []byte, dst netip.Addr) error {
	var err error
	if dst.Is4() {
		err = unix.Sendto(v.raw4, b, 0, &unix.SockaddrInet4{Addr: dst.As4()})
	} else {
		err = unix.Sendto(v.raw6, b, 0, &unix.SockaddrInet6{Addr: dst.As16()})
	}
	if err != nil {
		return fmt.Errorf("send from %s: %w", v.name, err)
	}
	return nil
}

// listen hands every packet that arrives to see, until Close. see must not keep it.
func (v *vantage) listen(see func(*vantage, packet.Packet)) {
	buf := make([]byte, 1<<16)
	for {
		n, err := v.watch.Read(buf)
		if err != nil {
			return
		}
		if p, err := packet.Parse(buf[:n]); err == nil {
			see(v, p)
		}
	}
}

// connect begins to open a TCP connection from an address of the host, and returns the socket and its port. register is called
// with the port before the first packet leaves.
func (v *vantage) connect(from netip.Addr, to netip.AddrPort, register func(port uint16)) (fd int, err error) {
	err = v.ns.Do(func() error {
		fd, err = unix.Socket(familyOf(from), unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
		return err
	})
	if err != nil {
		return -1, fmt.Errorf("open a socket in %s: %w", v.name, err)
	}
	if err := connect(fd, from, to, register); err != nil {
		return -1, errors.Join(fmt.Errorf("connect %s to %s: %w", from, to, err), unix.Close(fd))
	}
	return fd, nil
}

func connect(fd int, from netip.Addr, to netip.AddrPort, register func(port uint16)) error {
	// Closing discards what is unsent and tells the other side at once, so that thousands of probes leave no connection behind.
	if err := unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1}); err != nil {
		return err
	}
	if err := unix.Bind(fd, sockaddr(netip.AddrPortFrom(from, 0))); err != nil {
		return err
	}
	bound, err := unix.Getsockname(fd)
	if err != nil {
		return err
	}
	switch a := bound.(type) {
	case *unix.SockaddrInet4:
		register(uint16(a.Port))
	case *unix.SockaddrInet6:
		register(uint16(a.Port))
	}
	if err := unix.Connect(fd, sockaddr(to)); err != nil && !errors.Is(err, unix.EINPROGRESS) && !refusal(err) {
		return err
	}
	return nil
}

// refusal reports whether a failed connect says something of the network rather than of the caller.
func refusal(err error) bool {
	return errors.Is(err, unix.ENETUNREACH) || errors.Is(err, unix.EHOSTUNREACH) || errors.Is(err, unix.ECONNREFUSED)
}

func sockaddr(a netip.AddrPort) unix.Sockaddr {
	if a.Addr().Is4() {
		return &unix.SockaddrInet4{Addr: a.Addr().As4(), Port: int(a.Port())}
	}
	return &unix.SockaddrInet6{Addr: a.Addr().As16(), Port: int(a.Port())}
}

func htons(n uint16) uint16 { return n<<8 | n>>8 }
