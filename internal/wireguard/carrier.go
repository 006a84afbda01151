package wireguard

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// RunOptions of the process that carries userspace devices.
type RunOptions struct {
	SocketDir string    // default /run/wireguard
	Log       io.Writer // default: standard error
}

// RunDevices is the process that carries userspace devices, all of a gateway: a process for each would cost a mesh of links many times the memory.
// It begins with the device NAME, whose control socket is SocketDir/NAME.sock, makes every further one that SocketDir/ropeway.carrier is asked
// for, and ends with the last. A device ends when somebody takes its socket away or deletes its interface, and all end when ctx does or SIGTERM arrives.
// It returns an error when it cannot start.
func RunDevices(ctx context.Context, name string, opts RunOptions) error {
	if opts.SocketDir == "" {
		opts.SocketDir = defaultSocketDir
	}
	if opts.Log == nil {
		opts.Log = os.Stderr
	}
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM, os.Interrupt)
	defer stop()
	debug.SetGCPercent(gcPercent)
	pace := newPacer()
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil { // no core file with keys in it
		return fmt.Errorf("forbid core files: %w", err)
	}

	c := &carrier{opts: opts, ctx: ctx, end: stop, devices: map[string]*carried{}, empty: make(chan struct{})}
	socket, err := listen(carrierPath(opts.SocketDir)) // before the first device is there: whoever finds that one may ask for the next
	if err != nil {
		return fmt.Errorf("control socket of the devices' process: %w", err)
	}
	desk := newDesk(c.answer)
	c.all.Go(func() { desk.serve(socket.UnixListener) })
	if !abandoned() { // asked after the socket is there: whoever takes devices away finds that, or has ended our parent before
		if err = c.carry(name); err == nil {
			c.wait(ctx, pace)
		}
	}
	c.close()
	socket.remove()
	desk.stop(socket.UnixListener)
	stop()
	c.all.Wait()
	return err
}

// abandoned tells whether who started this process, and holds the other end of its standard input until the first device is there, has ended since. What
// it wanted nobody may want any more.
func abandoned() bool {
	input := []unix.PollFd{{Fd: 0}}
	n, err := unix.Poll(input, 0)
	return n == 1 && err == nil && input[0].Revents&unix.POLLHUP != 0
}

// carrierPath is the control socket of the process that carries the devices. wg(8) takes every *.sock beside it for a device.
func carrierPath(dir string) string { return filepath.Join(dir, "ropeway.carrier") }

// What a carrier is asked: for a device, then its name; or to end, and its devices with it.
const (
	opCarry = "ropeway_carry="
	opEnd   = "ropeway_end=1"
)

// gcPercent keeps the heap small: packets live in pools, and what garbage there is comes from configuration.
const gcPercent = 50

// lookEvery is how often devices look whether their sockets are still there; one does so too when a client hangs up. There is no inotify in
// this, as a machine has only so many of them (fs.inotify.max_user_instances: 128), and a lab of many gateways more devices.
const lookEvery = 250 * time.Millisecond

// A carrier is the devices of this process.
type carrier struct {
	opts RunOptions
	ctx  context.Context //nolint:containedctx // the life of the process, which devices that are asked for later share
	end  func()          // ends that life

	mu      sync.Mutex // held while a device is made, which umask allows one at a time
	devices map[string]*carried
	closed  bool
	empty   chan struct{} // closed with the last device; none begins after it
	all     sync.WaitGroup
}

func (c *carrier) answer(_ *bytes.Buffer, op, _ string) error {
	if op == opEnd {
		c.end()
		return nil
	}
	name, ok := strings.CutPrefix(op, opCarry)
	if !ok {
		return errUnknownOp
	}
	err := c.carry(name)
	if err != nil {
		c.logger(name).Print(err)
	}
	return err
}

// carry makes a device and begins to forward its packets.
func (c *carrier) carry(name string) error {
	if !validName(name) {
		return fmt.Errorf("device name: want at most 15 lower-case letters and digits that begin with %s: %w", Prefix, unix.EINVAL)
	}
	c.awaitLast(name)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return fmt.Errorf("the process ends: %w", unix.ESHUTDOWN)
	}
	if c.devices[name] != nil {
		return fmt.Errorf("the device is still here: %w", unix.EBUSY)
	}
	d, err := openDevice(c.opts.SocketDir, name, c.logger(name))
	if err != nil {
		return err
	}
	c.devices[name] = d
	c.all.Go(func() {
		defer close(d.done)
		d.run(c.ctx)
		c.forget(name)
	})
	return nil
}

// awaitLast waits for the end of the last device of that name, where there still is one: its interface goes some moments before it does.
func (c *carrier) awaitLast(name string) {
	c.mu.Lock()
	last := c.devices[name]
	c.mu.Unlock()
	if last == nil {
		return
	}
	select {
	case <-last.done:
	case <-time.After(endTimeout):
	}
}

// endTimeout is far more than a device takes to end whose interface is gone.
const endTimeout = time.Second

func (c *carrier) logger(name string) *log.Logger {
	if !validName(name) {
		name = "devices"
	}
	return log.New(c.opts.Log, name+": ", log.LstdFlags|log.LUTC)
}

// forget takes note that a device has ended.
func (c *carrier) forget(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.devices, name)
	if len(c.devices) == 0 && !c.closed {
		c.closed = true
		close(c.empty)
	}
}

// close lets no device begin any more.
func (c *carrier) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
}

// wait returns when the process has to end. One clock wakes all devices: as many clocks would wake the process all the time.
func (c *carrier) wait(ctx context.Context, pace *pacer) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-c.empty:
			return
		case <-tick.C:
		}
		pace.look()
		c.mu.Lock()
		for _, d := range c.devices {
			d.server.poke()
		}
		c.mu.Unlock()
	}
}

// join has the process that carries this Client's devices make one more. ok is false where there is no such process, or it ends.
func (c *Client) join(ctx context.Context, name string) (s *socket, ok bool, err error) {
	control, err := dialSocket(ctx, carrierPath(c.opts.SocketDir))
	if nobodyListens(err) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	defer func() { _ = control.close() }()
	switch err := control.call([]byte(opCarry+name+"\n\n"), nil); {
	case errors.Is(err, io.EOF), errors.Is(err, unix.EPIPE), errors.Is(err, unix.ESHUTDOWN):
		return nil, false, c.awaitEnd(ctx)
	case err != nil:
		return nil, false, fmt.Errorf("%w; the log of its process ends with %s", err, lastLine(c.logPath()))
	}
	s, err = openSocket(ctx, c.opts.SocketDir, name)
	return s, err == nil, err
}

// endCarrier tells the process of the devices to end, where there is one: it may be about to make its first device for an agent that was killed a moment ago.
// It waits for nothing: a process that hangs reads it when it goes on.
func (c *Client) endCarrier(ctx context.Context) error {
	control, err := dialSocket(ctx, carrierPath(c.opts.SocketDir))
	if nobodyListens(err) {
		return nil
	}
	if err != nil {
		return err
	}
	_ = control.send([]byte(opEnd + "\n\n")) // to one that ends by itself meanwhile, it cannot be said
	return control.close()
}

// awaitEnd waits until the process of the devices that ends lets go of its control socket.
func (c *Client) awaitEnd(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, stopTimeout)
	defer cancel()
	for {
		s, err := dialSocket(ctx, carrierPath(c.opts.SocketDir))
		if nobodyListens(err) {
			return nil
		}
		if err == nil {
			_ = s.close()
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the process of the devices does not end: %w", context.Cause(ctx))
		case <-time.After(pollEvery):
		}
	}
}
