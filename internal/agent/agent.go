// Package agent makes the machine that it runs on what the plan of its gateway says, and keeps it so.
//
// The work is one function that is called again and again (pass): read the plan file if it changed, then take the steps of
// steps.go, each of which looks at the machine, changes what differs and nothing else, and may fail without harm to the next.
// Because a pass begins from what is there, it does not matter how the machine came to be as it is: a new plan, a route that
// somebody deleted, a device whose process was killed and a predecessor that died between two steps are the same to it. Events
// (files, interfaces, addresses, routes, nftables) start a pass at once; a poll finds what no event tells.
//
// The last plan that was good is kept in the state directory before the first step of it is taken. A plan that cannot be read,
// does not match its revision, is another gateway's or expects another private key is refused, and the last good one stays in
// force, also where the file has gone.
//
// Everything that forwards packets lives in the kernel or in device processes of their own. The agent can end or be killed at any
// moment, and its successor adopts what it finds. Only Remove takes things down.
package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"ropeway/internal/bgp"
	"ropeway/internal/cloud"
	"ropeway/internal/diag"
	"ropeway/internal/fabric"
)

// Where things are unless the command line says otherwise.
const (
	DefaultState  = "/var/lib/ropeway"
	DefaultRun    = "/run/ropeway"
	DefaultListen = "127.0.0.1:9586"
)

// Options of an Agent.
type Options struct {
	Plan           string       // the plan file
	State          string       // directory of keys and the last good plan; survives a reboot
	Run            string       // directory of the lock, the status socket and the logs of devices; need not survive one
	Listen         string       // where /metrics and /healthz are served; "": nowhere
	ListenAnywhere bool         // Listen may be an address that other machines reach
	Log            *slog.Logger // must not be nil

	Daemons     map[fabric.Daemon]bgp.Daemon // the routing daemons that a plan may want
	RouteTable  cloud.RouteTable             // of the place, where its gateways hold it; nil: nobody said how it is changed
	DrainOnStop time.Duration                // how long Run, before it ends, waits for a drained gateway to be quiet; 0: it does not drain

	// Contact tells of the controllers that plans come from; nil where none do. It is set before Run.
	Contact func() *Contact
}

// An Agent keeps one machine as its plan says. Make it with New.
type Agent struct {
	opts    Options
	log     *slog.Logger
	source  *source
	machine *machine
	started time.Time
	events  *events
	burst   *burst // of changes of learnt routes

	mu     sync.Mutex // guards record: the loop writes it, the servers read it
	record record

	lookMu sync.Mutex // guards seen
	seen   sighting   // the last look of a server

	hearMu sync.Mutex // guards hears
	hears  listener

	holder *holder // of the place's route table

	speakMu   sync.Mutex // guards overheard
	overheard overheard
}

// New returns an agent. It refuses options that cannot work and touches nothing.
func New(opts Options) (*Agent, error) {
	if err := checkListen(opts.Listen, opts.ListenAnywhere); err != nil {
		return nil, err
	}
	a := &Agent{opts: opts, log: opts.Log, started: time.Now(), events: newEvents(), burst: new(burst)}
	a.machine = newMachine(opts)
	a.holder = &holder{
		table: opts.RouteTable, watched: a.machine.speaker.watched, forward: a.machine.routes.ByTunnel, drained: a.machine.drain.drained, log: opts.Log,
	}
	a.source = &source{file: opts.Plan, kept: filepath.Join(opts.State, keptPlan), keyOf: ownKey(a.machine.keys)}
	return a, nil
}

// Run keeps the machine as the plan says until ctx ends, and then leaves it as it is, drained first where that is asked for. It returns an error where it cannot begin:
// another agent runs, or a directory cannot be used. A plan that is missing or bad is no reason to end.
func (a *Agent) Run(ctx context.Context) error {
	release, err := claim(a.opts.State, a.opts.Run)
	if err != nil {
		return err
	}
	defer release()
	defer func() { _ = a.machine.firewall.Close() }()
	if err := a.machine.drain.restore(); err != nil {
		a.log.Error("the gateway is drained, and nobody knows since when", "error", err)
	}
	if err := a.machine.endpoints.restore(); err != nil {
		a.log.Warn("peers behind NAT have to dial before they are in reach again", "error", err)
	}

	ctx, end := a.lasting(ctx)
	defer end()
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return watchFile(ctx, a.opts.Plan, a.events.plan) })
	group.Go(func() error { return watchKernel(ctx, a.log, a.events.machine, a.burst) })
	group.Go(func() error { return a.serveSocket(ctx) })
	group.Go(func() error { return a.serveLoopback(ctx) })
	group.Go(func() error { a.refresh(ctx); return nil })
	group.Go(func() error { a.rememberPeers(ctx); return nil })
	group.Go(func() error { a.hold(ctx); return nil })
	group.Go(func() error { a.loop(ctx, a.events); return nil })
	if a.opts.Contact != nil {
		group.Go(func() error { a.overhear(ctx); return nil })
	}
	return group.Wait()
}

// lasting returns a context that ends as ctx does, or where the gateway is drained first, after that. end waits until that is over.
func (a *Agent) lasting(ctx context.Context) (_ context.Context, end func()) {
	if a.opts.DrainOnStop <= 0 {
		return ctx, func() {}
	}
	lasting, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var departing sync.WaitGroup
	departing.Go(func() {
		defer cancel()
		select {
		case <-ctx.Done():
			a.depart(lasting, a.opts.DrainOnStop)
		case <-lasting.Done(): // something else ended the agent
		}
	})
	return lasting, func() { cancel(); departing.Wait() }
}

// Remove takes away everything of Ropeway's on this machine, whoever made it, and nothing else: routing daemons, routes, devices with their
// processes, then settings go back to what they were, and the firewall goes last, so that nothing passes that it would have
// dropped. Keys and the last good plan stay. It goes on after a failure, and is refused while an agent runs.
func Remove(ctx context.Context, opts Options) error {
	release, err := claim(opts.State, opts.Run)
	if err != nil {
		return err
	}
	defer release()
	m := newMachine(opts)
	defer func() { _ = m.firewall.Close() }()
	if err := m.remove(ctx); err != nil {
		return err
	}
	if err := os.Remove(filepath.Join(opts.Run, socketName)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove what a killed agent left: %w", err)
	}
	return nil
}

const lockName = "agent.lock"

// lockPatience is how long a lock may outlive its agent: what a killed agent was about to start holds it, too, until that program begins.
const lockPatience = time.Second / 2

// claim makes the agent's two directories and takes the lock that only one agent of a machine holds. The lock ends with the
// process, however it ends; its file stays, because a file that is removed and made again is two locks.
func claim(state, run string) (release func(), err error) {
	for _, dir := range []string{state, run} {
		if err := ownDir(dir); err != nil {
			return nil, err
		}
	}
	path := filepath.Join(run, lockName)
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, unusable(run, err)
	}
	if err := lock(f); err != nil {
		_ = f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, diag.Problem{Code: codeRunning, Severity: diag.Error, Subject: "agent",
				Message: "another agent holds " + diag.Quote(path), Hint: "stop it first, or give this one directories of its own"}
		}
		return nil, unusable(run, err)
	}
	return func() { _ = f.Close() }, nil
}

// lock takes the lock on a file, or returns EWOULDBLOCK where another one keeps it.
func lock(f *os.File) error {
	for until := time.Now().Add(lockPatience); ; time.Sleep(settle) {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if !errors.Is(err, unix.EWOULDBLOCK) || time.Now().After(until) {
			return err
		}
	}
}

// ownDir makes a directory, or accepts one that nobody else may write.
func ownDir(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return unusable(dir, err)
	}
	var st unix.Stat_t
	if err := unix.Stat(dir, &st); err != nil {
		return unusable(dir, err)
	}
	if int(st.Uid) != os.Geteuid() || st.Mode&0o022 != 0 {
		return unusable(dir, fmt.Errorf("it belongs to user %d and has mode %04o: only the user that runs the agent may write it", st.Uid, st.Mode&0o7777))
	}
	return nil
}

func unusable(dir string, cause error) error {
	return fmt.Errorf("%w: %w", diag.Problem{Code: codeUnusable, Severity: diag.Error, Subject: "agent",
		Message: "directory " + diag.Quote(dir) + " cannot be used", Hint: "check its owner, mode and file system"}, cause)
}
