package bird

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"ropeway/internal/bgp"
	"ropeway/internal/diag"
	"ropeway/internal/files"
)

// How long a daemon may take to serve its socket, and to end. Both take some ten milliseconds on an idle machine.
const (
	startTimeout = 10 * time.Second
	stopTimeout  = 10 * time.Second
	pollEvery    = 2 * time.Millisecond
)

// The names of what is in the directory.
const (
	configName = "bird.conf" // what the daemon runs with
	nextName   = "next.conf" // what it shall run with
	socketName = "bird.ctl"
	pidName    = "bird.pid"
	logName    = "bird.log"
	oldLogName = "bird.log.old"
)

// maxLog is the size from which the daemon begins its log anew, in bytes.
const maxLog = 1 << 20

func (d *Daemon) path(name string) string { return filepath.Join(d.opts.Dir, name) }

// pid returns the daemon's process, and 0 where it does not run. left tells that it ran and did not end cleanly: it wrote its number and has not taken it away.
// A process is ours when it was started with our socket; that a number means another process today cannot mislead.
func (d *Daemon) pid() (pid int, left bool, err error) {
	raw, err := files.Read(d.path(pidName), 64)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, fmt.Errorf("read the number of BIRD's process: %w", err)
	}
	if n, err := strconv.Atoi(strings.TrimSpace(string(raw))); err == nil && n > 0 && d.ours(n) { // else a crash cut it off, or left it
		return n, true, nil
	}
	return 0, true, nil
}

// ours reports whether a process is the daemon that uses our socket. A process that has ended and that nobody waited for has no command line.
func (d *Daemon) ours(pid int) bool {
	line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	return err == nil && slices.ContainsFunc(bytes.Split(line, []byte{0}), func(arg []byte) bool { return string(arg) == d.path(socketName) })
}

// start runs the daemon with the configuration that is in place. It leaves this process for a session of its own, and holds nothing of ours open. After a crash it
// begins as RFC 4724 has it: it asks its neighbours for what it knew, and until then lets the routes in the kernel be.
func (d *Daemon) start(ctx context.Context, afterCrash bool) error {
	args := []string{"-c", d.path(configName), "-s", d.path(socketName), "-P", d.path(pidName)}
	if afterCrash {
		args = append(args, "-R")
	}
	if err := d.run(ctx, args...); err != nil {
		return fmt.Errorf("start BIRD: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for {
		pid, _, err := d.pid()
		if err == nil && pid != 0 {
			_, err = ask(ctx, d.path(socketName), "show status")
			if err == nil {
				return nil
			}
		}
		if ctx.Err() != nil {
			return fmt.Errorf("BIRD was started and does not answer: %w", errors.Join(context.Cause(ctx), err))
		}
		time.Sleep(pollEvery)
	}
}

// run has the program do something that ends soon; what it says on the way to an error is part of the error. It may say a line of the configuration but never
// a password: those are checked before BIRD sees them.
func (d *Daemon) run(ctx context.Context, args ...string) error {
	var said bytes.Buffer
	cmd := exec.CommandContext(ctx, d.opts.Program, args...)
	cmd.Dir, cmd.Env = "/", []string{}
	cmd.Stderr = &said
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w: %s", d.opts.Program, err, diag.Quote(strings.TrimSpace(said.String())))
	}
	return nil
}

// end ends the daemon's process, by its own means if it can.
func (d *Daemon) end(ctx context.Context, pid int) error {
	if _, err := ask(ctx, d.path(socketName), "down"); err != nil && d.ours(pid) {
		if err := syscall.Kill(pid, syscall.SIGTERM); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("end BIRD: %w", err)
		}
	}
	for deadline := time.Now().Add(stopTimeout); time.Now().Before(deadline) && ctx.Err() == nil; time.Sleep(pollEvery) {
		if bgp.Ended(pid) {
			return nil
		}
	}
	if d.ours(pid) {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("kill BIRD, which did not end: %w", err)
		}
	}
	return context.Cause(ctx)
}
