package wireguard

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"syscall"

	"github.com/tailscale/wireguard-go/device"
	"github.com/tailscale/wireguard-go/tun"
	"golang.org/x/sys/unix"
)

// A carried is one userspace device within the process that carries it.
type carried struct {
	name    string
	out     *log.Logger
	dev     *device.Device
	server  *server
	socket  *listener
	offload string
	done    chan struct{} // closed when it has ended and is forgotten
}

// openDevice makes the TUN interface NAME and the control socket DIR/NAME.sock (mode 0600).
func openDevice(dir, name string, out *log.Logger) (*carried, error) {
	dev, roamer, offload, err := newDevice(name, out)
	if err != nil {
		return nil, fmt.Errorf("make the interface %s: %w", name, err)
	}
	socket, err := listen(socketPath(dir, name))
	if err != nil {
		dev.Close()
		return nil, fmt.Errorf("control socket of %s: %w", name, err)
	}
	return &carried{name, out, dev, newServer(dev, roamer, offload), socket, offload, make(chan struct{})}, nil
}

// run forwards packets until ctx ends, or somebody takes the socket away, as wg-quick does to stop a device, or deletes the interface.
func (c *carried) run(ctx context.Context) {
	defer c.dev.Close()
	served := make(chan struct{})
	go func() { defer close(served); c.server.serve(c.socket.UnixListener) }()
	c.out.Printf("forwarding; offload: %s", c.offload)
	if err := c.wait(ctx); err != nil {
		c.out.Print(err)
	}
	c.socket.remove()
	c.server.stop(c.socket.UnixListener)
	<-served
	_ = c.dev.Down() // the UDP port is free before the interface is gone, for who comes next waits for that
}

// wait returns when the device has to end.
func (c *carried) wait(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-c.dev.Wait():
			return errors.New("somebody deleted the interface")
		case <-c.server.look:
		}
		if !c.socket.ours() {
			return nil
		}
	}
}

// newDevice makes the interface and the device, and tells what the kernel takes and gives in large pieces. The memory of a device is that
// of the packets in its queues; as long as the machine has CPUs is enough for them (so does wireguard-go's own command).
func newDevice(name string, out *log.Logger) (*device.Device, *roamer, string, error) {
	t, err := tun.CreateTUN(name, device.DefaultMTU)
	if err != nil {
		return nil, nil, "", err
	}
	r, depth := newRoamer(), runtime.NumCPU()
	dev := device.NewDevice(t, r, logger(out), device.WithQueueInboundSize(depth), device.WithQueueOutboundSize(depth))
	in, err := look(dev)
	if err != nil {
		dev.Close()
		return nil, nil, "", err
	}
	r.inside.Store(in)
	return dev, r, offload(t), nil
}

// offload tells what is on: "tun" (TCP and UDP segments cross the TUN interface as one, IFF_VNET_HDR), "udp-send" (UDP_SEGMENT) and
// "udp-receive" (UDP_GRO). A tunnel without them moves a fraction of the packets.
func offload(t tun.Device) string {
	var out string
	if t.BatchSize() > 1 { // wireguard-go reads batches only where the interface has IFF_VNET_HDR
		out = "tun"
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return out
	}
	defer func() { _ = unix.Close(fd) }()
	if _, err := unix.GetsockoptInt(fd, unix.IPPROTO_UDP, unix.UDP_SEGMENT); err == nil {
		out += " udp-send"
	}
	if unix.SetsockoptInt(fd, unix.IPPROTO_UDP, unix.UDP_GRO, 1) == nil {
		out += " udp-receive"
	}
	return out
}

// secretText is what a key looks like in hex or base64.
var secretText = regexp.MustCompile(`[0-9A-Fa-f]{64}|[A-Za-z0-9+/]{42,43}=`)

// logger passes wireguard-go's errors on, without anything that looks like a key: it repeats lines that it cannot read.
func logger(out *log.Logger) *device.Logger {
	return &device.Logger{
		Verbosef: device.DiscardLogf,
		Errorf: func(format string, args ...any) {
			out.Print(secretText.ReplaceAllLiteralString(fmt.Sprintf(format, args...), "(key)"))
		},
	}
}

// A listener is a control socket and the file that it made.
type listener struct {
	*net.UnixListener
	path string
	file os.FileInfo
}

// socketPath is where wg(8) looks for the control socket of a device.
func socketPath(dir, name string) string { return filepath.Join(dir, name+".sock") }

// listen opens a control socket. A socket file that nobody serves any more, left by a killed process, is replaced. It is not for two goroutines at once.
func listen(path string) (*listener, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	if conn, err := net.Dial("unix", path); err == nil {
		_ = conn.Close()
		return nil, errors.New("another process serves it")
	} else if errors.Is(err, syscall.ECONNREFUSED) {
		if err := os.Remove(path); err != nil {
			return nil, err
		}
	}
	before := unix.Umask(0o177) // the socket is 0600 from its first moment; this process makes no other file
	defer unix.Umask(before)
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, err
	}
	l.SetUnlinkOnClose(false) // by then the path may be our successor's
	file, err := os.Lstat(path)
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return &listener{l, path, file}, nil
}

// ours tells whether the file is still the one that listen made.
func (l *listener) ours() bool {
	file, err := os.Lstat(l.path)
	return err == nil && os.SameFile(file, l.file)
}

func (l *listener) remove() {
	if l.ours() {
		_ = os.Remove(l.path)
	}
}

var namePattern = regexp.MustCompile(`^` + Prefix + `[a-z0-9]{1,13}$`)

// validName is what plan.Gateway.Validate asks of a device's name.
func validName(name string) bool { return namePattern.MatchString(name) }
