package wireguard

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"ropeway/internal/diag"
)

// How long a process may take to serve its socket, and to end. Both take milliseconds on an idle machine.
const (
	startTimeout = 10 * time.Second
	stopTimeout  = 3 * time.Second
	pollEvery    = 2 * time.Millisecond
)

// maxLog is the size from which the devices' log is begun anew, in bytes.
const maxLog = 1 << 20

// makeProcess has a userspace device made, by the process that carries the others where there is one, and connects to it.
func (c *Client) makeProcess(ctx context.Context, name string) (*socket, error) {
	c.hangUp(name) // on one that is dead
	s, ok, err := c.join(ctx, name)
	if ok || err != nil {
		return s, err
	}
	return c.spawn(ctx, name)
}

// logPath is where the process of the devices writes.
func (c *Client) logPath() string { return filepath.Join(c.opts.LogDir, "devices.log") }

// spawn starts a process that carries userspace devices, this one to begin with, and waits until it answers. The process is in a session of its own,
// holds nothing of ours open but its log, and goes on when we end. Only where we end before it has begun it does not: its standard input tells (abandoned).
func (c *Client) spawn(ctx context.Context, name string) (*socket, error) {
	if err := os.MkdirAll(c.opts.LogDir, 0o755); err != nil {
		return nil, fmt.Errorf("make the directory of the devices' log: %w", err)
	}
	path := c.logPath()
	flags := os.O_CREATE | os.O_WRONLY | os.O_APPEND | unix.O_NOFOLLOW
	if info, err := os.Lstat(path); err == nil && info.Size() > maxLog {
		flags |= os.O_TRUNC
	}
	out, err := os.OpenFile(path, flags, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the devices' log: %w", err)
	}
	defer func() { _ = out.Close() }()

	cmd := exec.Command(c.opts.Command[0], append(c.opts.Command[1:len(c.opts.Command):len(c.opts.Command)], name)...)
	cmd.Dir, cmd.Env = "/", []string{}
	input, alive, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("make a pipe for the devices' process: %w", err)
	}
	defer func() { _ = alive.Close() }()
	cmd.Stdin, cmd.Stdout, cmd.Stderr = input, out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	err = cmd.Start()
	_ = input.Close()
	if err != nil {
		return nil, fmt.Errorf("start the devices' process: %w", err)
	}
	pid := cmd.Process.Pid
	c.children[pid] = name
	_ = cmd.Process.Release() // reap waits for it
	return c.await(ctx, pid, name)
}

// await waits until a process that was started serves its socket.
func (c *Client) await(ctx context.Context, pid int, name string) (*socket, error) {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for {
		s, err := openSocket(context.WithoutCancel(ctx), c.opts.SocketDir, name)
		if err == nil {
			return s, nil
		}
		if !nobodyListens(err) {
			return nil, err
		}
		c.reap()
		if _, running := c.children[pid]; !running {
			return nil, fmt.Errorf("the device's process ended at once; its log %s ends with %s", c.logPath(), lastLine(c.logPath()))
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("the device's process does not answer: %w", context.Cause(ctx))
		case <-time.After(pollEvery):
		}
	}
}

// reap collects those of our processes that have ended.
func (c *Client) reap() {
	for pid := range c.children {
		got, err := unix.Wait4(pid, nil, unix.WNOHANG, nil)
		if got == pid || errors.Is(err, unix.ECHILD) {
			delete(c.children, pid)
		}
	}
}

// lastLine returns the last line of a log, safe to print.
func lastLine(path string) string {
	f, err := os.Open(path)
	if err != nil {
		return diag.Quote("")
	}
	defer func() { _ = f.Close() }()
	const tail = 4 << 10
	if size, err := f.Seek(0, io.SeekEnd); err == nil {
		_, _ = f.Seek(max(0, size-tail), io.SeekStart)
	}
	text, _ := io.ReadAll(io.LimitReader(f, tail))
	text = bytes.TrimSpace(text)
	return diag.Quote(string(text[bytes.LastIndexByte(text, '\n')+1:]))
}

// endUserspace ends a userspace device by taking its socket away, and waits until its interface is gone. Its process looks when we hang up. One that
// does not take notice loses the interface, and then ends the device too.
func (c *Client) endUserspace(ctx context.Context, l link, ctl control) error {
	err := os.Remove(socketPath(c.opts.SocketDir, l.Name))
	_ = ctl.close()
	c.hangUp(l.Name)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("take the device's socket away: %w", err)
	}
	for deadline := time.Now().Add(stopTimeout); time.Now().Before(deadline) && ctx.Err() == nil; time.Sleep(pollEvery) {
		if !linkExists(l.Index) {
			return nil
		}
	}
	return deleteLink(l.Index)
}
