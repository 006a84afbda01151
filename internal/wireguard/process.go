package wireguard

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"runtime"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/tailscale/wireguard-go/device"
	"github.com/tailscale/wireguard-go/tun"
	"golang.org/x/sys/unix"
)

// RunOptions of a userspace device.
type RunOptions struct {
	SocketDir string // default /run/wireguard
	Log       *log.Logger
}

// RunDevice is the process of a userspace device: it makes the TUN interface NAME, serves the control socket
// SocketDir/NAME.sock (mode 0600) and forwards packets. It returns nil when ctx ends, SIGTERM arrives, or somebody takes the socket
// away, as wg-quick does to stop a device; and an error when it cannot start or the interface is deleted.
func RunDevice(ctx context.Context, name string, opts RunOptions) error {
	if opts.SocketDir == "" {
		opts.SocketDir = defaultSocketDir
	}
	if opts.Log == nil {
		opts.Log = log.New(os.Stderr, name+": ", log.LstdFlags|log.LUTC)
	}
	if !validName(name) {
		return fmt.Errorf("device name: want at most 15 lower-case letters and digits that begin with %s", Prefix)
	}
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM, os.Interrupt)
	defer stop()
	debug.SetGCPercent(gcPercent)
	pace := newPacer()
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil { // no core file with keys in it
		return fmt.Errorf("forbid core files: %w", err)
	}

	dev, roamer, offload, err := newDevice(name, opts.Log)
	if err != nil {
		return fmt.Errorf("make the interface %s: %w", name, err)
	}
	defer dev.Close()
	listener, err := listen(opts.SocketDir, name)
	if err != nil {
		return fmt.Errorf("control socket of %s: %w", name, err)
	}

	s := newServer(dev, roamer, offload)
	served := make(chan struct{})
	go func() { defer close(served); s.serve(listener.UnixListener) }()
	opts.Log.Printf("forwarding; offload: %s", offload)
	err = wait(ctx, dev, listener, s.hungUp, pace.look)
	listener.remove()
	s.stop(listener.UnixListener)
	<-served
	_ = dev.Down() // the UDP port is free before the interface is gone, for who comes next waits for that
	return err
}

// gcPercent keeps the heap of a device small: its packets live in pools, and what garbage there is comes from configuration.
const gcPercent = 50

// lookEvery is how often a device looks whether its socket is still there; it does so too when a client hangs up. There is no inotify in
// this, as a machine has only so many of them (fs.inotify.max_user_instances: 128), and a lab of many gateways more devices.
const lookEvery = 250 * time.Millisecond

// wait returns when the device has to end. It calls every four times a second.
func wait(ctx context.Context, dev *device.Device, l *listener, hungUp <-chan struct{}, every func()) error {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-dev.Wait():
			return errors.New("somebody deleted the interface")
		case <-hungUp:
		case <-tick.C:
			every()
		}
		if !l.ours() {
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

// listen opens the control socket. A socket file that nobody serves any more, left by a killed process, is replaced.
func listen(dir, name string) (*listener, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	path := filepath.Join(dir, name+".sock")
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
