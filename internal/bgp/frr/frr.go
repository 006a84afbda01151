// Package frr carries out plan.BGP with FRR (https://frrouting.org, 8.4 and later): zebra, bfdd and bgpd of an instance of our own.
//
// The instance shares nothing with another one on the machine: its sockets, process ids and logs stand in a directory of ours. The daemons run as FRR's own user, which
// has to get to that directory: it belongs to that user, and the directory above lets others through, though it shows them nothing. They outlive the agent.
//
// Configuration is O(neighbours): what the place owns goes in as network statements, 10,000 in 0.8 s. Lists of prefixes are short, because FRR takes 30 ms for each line of
// one (see compile/speak.go, cover). What changes is told to the daemons line by line, so that a session of which nothing changed does not notice.
package frr

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
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
	"ropeway/internal/files"
)

// Options of a Daemon.
type Options struct {
	Dir string // of sockets, process ids and logs; it need not survive a reboot
}

// Where Debian and FRR's own packages put the daemons.
const programs = "/usr/lib/frr"

// daemons are the programs of an instance, in the order in which they start: bgpd needs the others.
func daemons() []string { return []string{"zebra", "bfdd", "bgpd"} }

// Daemon is an instance of FRR. Make it with New.
type Daemon struct{ dir string }

// New returns an instance with its files in a directory. It touches nothing.
func New(opts Options) *Daemon { return &Daemon{opts.Dir} }

var _ bgp.Daemon = (*Daemon)(nil)

// Files in the directory of an instance.
const (
	appliedFile = "applied.conf"
	changeFile  = "change.conf"
	socketZebra = "zserv.api"
)

// Apply implements bgp.Daemon.
func (d *Daemon) Apply(ctx context.Context, want *bgp.Config) ([]string, error) {
	if err := checkPasswords(want); err != nil {
		return nil, err
	}
	next := render(want)
	last, err := d.applied()
	if err != nil {
		return nil, err
	}
	changes, add := d.difference(last, next, want)
	if len(changes) == 0 {
		return nil, nil
	}
	if err := d.check(ctx, next); err != nil {
		return nil, err
	}
	started, err := d.start(ctx)
	if err != nil {
		return nil, err
	}
	if started {
		add = next.text(secrets(want))
	}
	if err := d.tell(ctx, add); err != nil {
		_ = os.Remove(d.path(appliedFile)) // what they believe now is not known: everything is told again
		return nil, err
	}
	if err := d.remember(next); err != nil {
		return nil, err
	}
	return changes, d.readmit(ctx, last, next.lines)
}

// readmit lets neighbours in again that told too much and may tell more now: FRR would wait a minute.
func (d *Daemon) readmit(ctx context.Context, last, next []line) error {
	_, come := compare(last, next)
	var text []byte
	for _, l := range come {
		neighbor, limit := strings.CutSuffix(l.key, " maximum-prefix")
		if !limit || len(last) == 0 {
			continue
		}
		if text == nil {
			var err error
			if text, err = d.ask(ctx, "bgpd", "show bgp neighbors json"); err != nil {
				return err
			}
		}
		address := strings.TrimPrefix(neighbor, "neighbor ")
		if established, err := isEstablished(text, address); err != nil || established {
			return err
		}
		if text, err := d.shell(ctx, "-d", "bgpd", "-c", "clear bgp "+address); err != nil {
			return fmt.Errorf("let neighbour %s in again: %w: %s", address, err, firstLine(text))
		}
	}
	return nil
}

// Plan implements bgp.Daemon.
func (d *Daemon) Plan(_ context.Context, want *bgp.Config) ([]string, error) {
	last, err := d.applied()
	if err != nil {
		return nil, err
	}
	changes, _ := d.difference(last, render(want), want)
	return changes, nil
}

// difference returns what has to change, for people and as FRR is told.
func (d *Daemon) difference(last []line, next *script, want *bgp.Config) (changes []string, tell string) {
	for _, name := range daemons() {
		if d.pid(name) == 0 {
			changes = append(changes, "start "+name)
		}
	}
	if len(changes) > 0 || last == nil {
		return append(changes, fmt.Sprintf("configure %d neighbours and %d prefixes", len(want.Neighbors), len(want.Own))), next.text(secrets(want))
	}
	gone, come := compare(last, next.lines)
	if len(gone)+len(come) == 0 {
		return nil, ""
	}
	for _, l := range gone {
		changes = append(changes, "remove "+l.context+separator+l.set)
	}
	for _, l := range come {
		changes = append(changes, "set "+strings.TrimPrefix(l.context+separator+l.set, separator))
	}
	return changes, write(come, secrets(want)) + write(forget(gone, next), nil)
}

// compare returns the lines that go and those that come. A line whose key stays is no line that goes: the new one takes its place.
func compare(last, next []line) (gone, come []line) {
	type id struct{ context, key string }
	was, is := map[line]bool{}, map[id]bool{}
	for _, l := range last {
		was[l] = true
	}
	for _, l := range next {
		is[id{l.context, l.key}] = true
		if !was[l] {
			come = append(come, l)
		}
	}
	for _, l := range last {
		if !is[id{l.context, l.key}] {
			gone = append(gone, l)
		}
	}
	slices.Reverse(gone) // who names something goes before what is named
	return gone, come
}

// forget returns what takes lines back. With a neighbour goes all that was said of it, and with a route map all its entries.
func forget(gone []line, next *script) (out []line) {
	contexts, neighbors, done := map[string]bool{}, map[string]bool{}, map[string]bool{}
	for _, l := range next.lines {
		contexts[l.context] = true
	}
	for _, l := range gone {
		if strings.HasPrefix(l.unset, "no neighbor ") && l.unset == "no "+l.key {
			neighbors[l.key+" "] = true
		}
	}
	for _, l := range gone {
		word, name, _ := strings.Cut(l.context, " ")
		switch {
		case word == "route-map" && !contexts[l.context]:
			name, _, _ = strings.Cut(name, " ")
			if !done[name] {
				done[name] = true
				out = append(out, line{set: "no route-map " + name})
			}
		case l.unset == "" || within(neighbors, l):
		default:
			out = append(out, line{context: l.context, set: l.unset})
		}
	}
	slices.SortStableFunc(out, func(a, b line) int { return depth(b.context) - depth(a.context) }) // policies go after those who have them
	return out
}

// within reports whether a line is of a neighbour that goes, and goes with it.
func within(neighbors map[string]bool, l line) bool {
	for n := range neighbors {
		if strings.HasPrefix(l.key, n) {
			return true
		}
	}
	return false
}

// checkPasswords refuses a configuration that names a password that nobody gave, or one that FRR cannot be told: it takes one word.
func checkPasswords(c *bgp.Config) error {
	for _, n := range c.Neighbors {
		p, given := c.Passwords[n.Password]
		switch {
		case n.Password == "":
		case !given:
			return fmt.Errorf("neighbor %s: its password %s is not there", n.Name, n.Password)
		case p == "" || len(p) > longestPassword || strings.ContainsFunc(p, func(r rune) bool { return r <= ' ' || r > '~' }):
			return fmt.Errorf("neighbor %s: FRR takes passwords of 1 to %d visible characters of ASCII without spaces, and %s is another", n.Name, longestPassword, n.Password)
		}
	}
	return nil
}

// longestPassword is the kernel's bound, in bytes (TCP_MD5SIG_MAXKEYLEN).
const longestPassword = 80

// secrets returns the passwords by what stands for them.
func secrets(c *bgp.Config) map[string]string {
	out := map[string]string{}
	for name, p := range c.Passwords {
		out[placeholder(name)] = p
	}
	return out
}

// check has FRR's own reader judge a configuration.
func (d *Daemon) check(ctx context.Context, s *script) error {
	if err := d.makeDir(); err != nil {
		return err
	}
	out, err := d.vtysh(ctx, s.text(nil), "--dryrun")
	if err != nil {
		return fmt.Errorf("FRR does not take this configuration: %w: %s", err, firstLine(out))
	}
	return nil
}

// tell has the daemons take lines.
func (d *Daemon) tell(ctx context.Context, text string) error {
	out, err := d.vtysh(ctx, text)
	if err != nil {
		return fmt.Errorf("configure FRR: %w: %s", err, firstLine(out))
	}
	return nil
}

// vtysh has FRR's shell read a file. It says what is wrong on its output, and in no other way.
func (d *Daemon) vtysh(ctx context.Context, text string, flags ...string) (string, error) {
	path := d.path(changeFile)
	if err := files.Replace(path, []byte(text), 0o600); err != nil {
		return "", fmt.Errorf("write what FRR is told: %w", err)
	}
	defer func() { _ = os.Remove(path) }()
	out, err := d.shell(ctx, append(flags, "-f", path)...)
	if i := strings.Index(out, "% "); err == nil && i >= 0 {
		return out[i:], errors.New("a line was refused")
	}
	return out, err
}

// shellTimeout bounds one conversation: 10,000 prefixes take a second.
const shellTimeout = 60 * time.Second

func (d *Daemon) shell(ctx context.Context, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, shellTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, "vtysh", append([]string{"--vty_socket", d.dir}, args...)...)
	cmd.Env = []string{"PATH=/usr/bin:/bin", "VTYSH_PAGER=cat"}
	cmd.Dir = "/"
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// firstLine returns what of an answer is shown. What was told is never in it whole, so no password is.
func firstLine(text string) string {
	text, _, _ = strings.Cut(strings.TrimSpace(text), "\n")
	if strings.Contains(text, "password") {
		return "a line about a password"
	}
	return text
}

func (d *Daemon) path(name string) string { return filepath.Join(d.dir, name) }

// makeDir makes the directory: FRR's user puts its sockets there, and has to get there.
func (d *Daemon) makeDir() error {
	uid, gid, err := account()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(d.dir, 0o750); err != nil {
		return fmt.Errorf("make FRR's directory: %w", err)
	}
	if err := os.Chown(d.dir, uid, gid); err != nil {
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

// applied returns the lines that the running daemons were told; nil where that is not known.
func (d *Daemon) applied() ([]line, error) {
	data, err := os.ReadFile(d.path(appliedFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read what FRR was told: %w", err)
	}
	who, rest, _ := strings.Cut(string(data), "\n")
	if who != d.incarnation() {
		return nil, nil
	}
	var out []line
	for l := range strings.Lines(rest) {
		parts := strings.Split(strings.TrimSuffix(l, "\n"), "\t")
		if len(parts) != 5 {
			return nil, nil
		}
		out = append(out, line{parts[0], parts[1], parts[2], parts[3], parts[4]})
	}
	return out, nil
}

// remember keeps what the daemons were told, for whoever asks next. Passwords are not in it.
func (d *Daemon) remember(s *script) error {
	var b strings.Builder
	b.WriteString(d.incarnation() + "\n")
	for _, l := range s.lines {
		b.WriteString(strings.Join([]string{l.context, l.set, l.unset, l.key, l.mark}, "\t") + "\n")
	}
	if err := files.Replace(d.path(appliedFile), []byte(b.String()), 0o600); err != nil {
		return fmt.Errorf("keep what FRR was told: %w", err)
	}
	return nil
}

// incarnation names the processes that run: others that come after them know nothing of what these were told.
func (d *Daemon) incarnation() string {
	var words []string
	for _, name := range daemons() {
		pid := d.pid(name)
		words = append(words, fmt.Sprintf("%s %d %s", name, pid, born(pid)))
	}
	return strings.Join(words, " ")
}

// born returns when a process began, in ticks since the machine did (proc(5), field 22 of stat).
func born(pid int) string {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, rest, found := strings.Cut(string(data), ") ")
	fields := strings.Fields(rest)
	if err != nil || !found || len(fields) < 20 {
		return "-"
	}
	return fields[19]
}

// pid returns the process of a daemon, and 0 where none runs. A number in a file may be another's by now, so the program is looked at, too.
func (d *Daemon) pid(name string) int {
	data, err := os.ReadFile(d.path(name + ".pid"))
	if err != nil {
		return 0
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(data)))
	if err != nil || pid <= 1 {
		return 0
	}
	if words := arguments(pid); words[0] != filepath.Join(programs, name) || !slices.Contains(words, d.path(name+".pid")) {
		return 0
	}
	return pid
}

// runs reports whether a process is there still: one that ends holds what it held until it is gone.
func runs(pid int) bool {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, rest, _ := strings.Cut(string(data), ") ")
	return err == nil && !strings.HasPrefix(rest, "Z") && !strings.HasPrefix(rest, "X")
}

// arguments returns what a process was started with; of one that has ended, nothing.
func arguments(pid int) []string {
	args, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	return strings.Split(string(args), "\x00")
}

// startTimeout is how long a daemon may take until it answers: 0.4 s on an idle machine.
const startTimeout = 15 * time.Second

// start starts the daemons that do not run, and reports whether it started one.
func (d *Daemon) start(ctx context.Context) (started bool, err error) {
	for _, name := range daemons() {
		if d.pid(name) != 0 {
			continue
		}
		started = true
		if err := d.launch(ctx, name); err != nil {
			return true, err
		}
	}
	return started, nil
}

func (d *Daemon) launch(ctx context.Context, name string) error {
	for _, left := range []string{name + ".vty", name + ".pid"} {
		if err := os.Remove(d.path(left)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("take away what a killed %s left: %w", name, err)
		}
	}
	args := []string{
		"-d", "--vty_socket", d.dir, "-i", d.path(name + ".pid"), "-z", d.path(socketZebra), "-f", os.DevNull, "-A", "127.0.0.1", "-P", "0",
		"--log", "file:" + d.path(name+".log"), "--log-level", "notifications",
	}
	if name == "bfdd" {
		args = append(args, "--bfdctl", d.path("bfdd.sock"))
	}
	cmd := exec.CommandContext(ctx, filepath.Join(programs, name), args...)
	cmd.Dir, cmd.Env = "/", []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}
	cmd.SysProcAttr = &unix.SysProcAttr{Setsid: true}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("start %s: %w: %s", name, err, firstLine(string(out)))
	}
	for deadline := time.Now().Add(startTimeout); d.pid(name) == 0 || !exists(d.path(name+".vty")); {
		if time.Now().After(deadline) {
			return fmt.Errorf("start %s: it does not answer; its log is %s", name, d.path(name+".log"))
		}
		if err := sleep(ctx); err != nil {
			return fmt.Errorf("start %s: %w", name, err)
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

// Stop implements bgp.Daemon.
func (d *Daemon) Stop(ctx context.Context) error {
	names := daemons()
	slices.Reverse(names)
	for _, name := range names {
		if err := d.end(ctx, name); err != nil {
			return err
		}
	}
	if err := os.RemoveAll(d.dir); err != nil {
		return fmt.Errorf("remove FRR's files: %w", err)
	}
	return nil
}

func (d *Daemon) end(ctx context.Context, name string) error {
	pid := d.pid(name)
	if pid == 0 {
		return nil
	}
	if err := unix.Kill(pid, unix.SIGTERM); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("stop %s: %w", name, err)
	}
	for deadline := time.Now().Add(stopTimeout); runs(pid); { // its file goes before it does
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

// sortedKeys returns the keys of a map in order.
func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
