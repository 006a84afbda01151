package frr

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"ropeway/internal/bgp"
)

// Where Debian and FRR's own packages put the daemons.
const programs = "/usr/lib/frr"

// daemons are the programs of an instance, in the order in which they start: bgpd needs the others.
func daemons() []string { return []string{"zebra", "bfdd", "bgpd"} }

// What a new zebra does with the routes that one before it left in the kernel (zebra(8), -K).
const (
	// retainRoutes, in seconds, is how long it keeps those that bgpd does not tell it again: sessions are up in 3 s, or in 20 where a neighbour has to notice first.
	retainRoutes = 30
	sweepRoutes  = 0
)

// kept is the path of a file of the daemons.
func (d *Daemon) kept(name string) string { return filepath.Join(d.dir, "run", name) }

// longestPath is what a daemon can bind a socket to, in bytes (unix(7)).
const longestPath = 107

// makeDirs makes the directories. FRR's user has to get to its own.
func (d *Daemon) makeDirs() error {
	if path := d.kept("zebra.vty"); len(path) > longestPath {
		return fmt.Errorf("make FRR's directory: %s is too long for a socket", path)
	}
	uid, gid, err := account()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(d.kept(""), 0o750); err != nil {
		return fmt.Errorf("make FRR's directory: %w", err)
	}
	if err := errors.Join(os.Chmod(d.dir, 0o711), os.Chown(d.kept(""), uid, gid)); err != nil {
		return fmt.Errorf("give FRR its directory: %w", err)
	}
	parent := filepath.Dir(d.dir)
	info, err := os.Stat(parent)
	if err != nil {
		return fmt.Errorf("let FRR to its directory: %w", err)
	}
	if info.Mode().Perm()&0o001 == 0 {
		if err := os.Chmod(parent, info.Mode().Perm()|0o011); err != nil {
			return fmt.Errorf("let FRR to its directory: %w", err)
		}
	}
	return nil
}

// account returns FRR's own user and group.
func account() (uid, gid int, err error) {
	u, err := user.Lookup("frr")
	if err != nil {
		return 0, 0, fmt.Errorf("find FRR's user: %w (is FRR installed?)", err)
	}
	uid, errU := strconv.Atoi(u.Uid)
	gid, errG := strconv.Atoi(u.Gid)
	return uid, gid, errors.Join(errU, errG)
}

// pid returns the process of a daemon, and 0 where none runs. A number in a file may be another's by now, so the program is looked at, too.
func (d *Daemon) pid(name string) int {
	data, err := os.ReadFile(d.kept(name + ".pid"))
	if err != nil {
		return 0
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(data)))
	if err != nil || pid <= 1 {
		return 0
	}
	if words := arguments(pid); words[0] != filepath.Join(programs, name) || !slices.Contains(words, d.kept(name+".pid")) {
		return 0
	}
	return pid
}

// arguments returns what a process was started with; of one that has ended, nothing.
func arguments(pid int) []string {
	args, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	return strings.Split(string(args), "\x00")
}

// born returns when a process began, in ticks since the machine did (proc(5), field 22 of stat).
func born(pid int) string {
	if fields := bgp.Stat(pid); len(fields) >= 20 {
		return fields[19]
	}
	return "-"
}

// startTimeout is how long a daemon may take until it answers: 0.4 s on an idle machine.
const startTimeout = 15 * time.Second

// launch starts a daemon. It puts itself into the background, in a session of its own.
func (d *Daemon) launch(ctx context.Context, name string, keepRoutes int) error {
	for _, left := range []string{name + ".vty", name + ".pid"} {
		if err := os.Remove(d.kept(left)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("take away what a killed %s left: %w", name, err)
		}
	}
	args := []string{
		"-d", "--vty_socket", d.kept(""), "-i", d.kept(name + ".pid"), "-z", d.kept("zserv.api"), "-f", os.DevNull, "-A", "127.0.0.1", "-P", "0",
		"--log", "file:" + d.kept(name+".log"), "--log-level", "notifications",
	}
	switch name {
	case "zebra":
		args = append(args, "-K", strconv.Itoa(keepRoutes))
	case "bfdd":
		args = append(args, "--bfdctl", d.kept("bfdd.sock"))
	}
	cmd := exec.CommandContext(ctx, filepath.Join(programs, name), args...)
	cmd.Dir, cmd.Env = "/", []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}
	cmd.SysProcAttr = &unix.SysProcAttr{Setsid: true}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("start %s: %w: %s", name, err, firstLine(string(out)))
	}
	for deadline := time.Now().Add(startTimeout); d.pid(name) == 0 || !exists(d.kept(name+".vty")) || !d.answers(ctx, name); {
		if time.Now().After(deadline) {
			return fmt.Errorf("start %s: it does not answer; its log is %s", name, d.kept(name+".log"))
		}
		if err := sleep(ctx); err != nil {
			return fmt.Errorf("start %s: %w", name, err)
		}
	}
	return nil
}

// mostLog is how long a log may grow, in bytes, before it takes the place of the one before it: a session that comes and goes writes two lines each time.
const mostLog = 1 << 20

// trim keeps logs short. A daemon opens its log anew on SIGUSR1.
func (d *Daemon) trim() error {
	for _, name := range daemons() {
		log := d.kept(name + ".log")
		info, err := os.Lstat(log)
		if err != nil || info.Size() < mostLog {
			continue
		}
		if err := os.Rename(log, log+".old"); err != nil {
			return fmt.Errorf("keep FRR's log short: %w", err)
		}
		if pid := d.pid(name); pid != 0 {
			if err := unix.Kill(pid, unix.SIGUSR1); err != nil && !errors.Is(err, unix.ESRCH) {
				return fmt.Errorf("keep FRR's log short: %w", err)
			}
		}
	}
	return nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

const pollEvery = 5 * time.Millisecond

func sleep(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(pollEvery):
		return nil
	}
}

// stopTimeout is how long a daemon may take to take its leave of its neighbours and its routes.
const stopTimeout = 5 * time.Second

// end ends a daemon, if need be by force.
func (d *Daemon) end(ctx context.Context, name string) error {
	pid := d.pid(name)
	if pid == 0 {
		return nil
	}
	if err := unix.Kill(pid, unix.SIGTERM); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("stop %s: %w", name, err)
	}
	for deadline := time.Now().Add(stopTimeout); !bgp.Ended(pid); { // its file goes before it does
		if time.Now().After(deadline) {
			if err := unix.Kill(pid, unix.SIGKILL); err != nil && !errors.Is(err, unix.ESRCH) {
				return fmt.Errorf("stop %s: %w", name, err)
			}
		}
		if err := sleep(ctx); err != nil {
			return fmt.Errorf("stop %s: %w", name, err)
		}
	}
	return nil
}

// sweep takes away the routes of a zebra that was killed. Which they are another one knows.
func (d *Daemon) sweep(ctx context.Context) error {
	if err := d.makeDirs(); err != nil {
		return err
	}
	if err := d.launch(ctx, "zebra", sweepRoutes); err != nil {
		return err
	}
	return d.end(ctx, "zebra")
}
