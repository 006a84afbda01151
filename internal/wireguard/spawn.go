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

// maxLog is the size from which a device's log is begun anew, in bytes.
const maxLog = 1 << 20

// spawn starts the process of a userspace device and waits until it answers. The process is in a session of its own, holds nothing of
// ours open but its log, and goes on when we end.
func (c *Client) spawn(ctx context.Context, name string) (*socket, error) {
	if err := os.MkdirAll(c.opts.LogDir, 0o755); err != nil {
		return nil, fmt.Errorf("make the directory of the device's log: %w", err)
	}
	path := filepath.Join(c.opts.LogDir, name+".log")
	flags := os.O_CREATE | os.O_WRONLY | os.O_APPEND | unix.O_NOFOLLOW
	if info, err := os.Lstat(path); err == nil && info.Size() > maxLog {
		flags |= os.O_TRUNC
	}
	out, err := os.OpenFile(path, flags, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the device's log: %w", err)
	}
	defer func() { _ = out.Close() }()

	cmd := exec.Command(c.opts.Command[0], append(c.opts.Command[1:len(c.opts.Command):len(c.opts.Command)], name)...)
	cmd.Dir, cmd.Env = "/", []string{}
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the device's process: %w", err)
	}
	pid := cmd.Process.Pid
	c.children[pid] = name
	_ = cmd.Process.Release() // reap waits for it
	return c.await(ctx, pid, name, path)
}

// await waits until a process that was started serves its socket.
func (c *Client) await(ctx context.Context, pid int, name, logPath string) (*socket, error) {
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
			return nil, fmt.Errorf("the device's process ended at once; its log %s ends with %s", logPath, lastLine(logPath))
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

// endProcess ends a userspace device by taking its socket away, and waits until its interface is gone. The process looks when we hang up. One that
// does not take notice loses the interface, and then ends too.
func (c *Client) endProcess(ctx context.Context, l link, ctl control) error {
	err := os.Remove(filepath.Join(c.opts.SocketDir, l.Name+".sock"))
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
