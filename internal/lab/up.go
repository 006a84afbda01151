package lab

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"ropeway/internal/compile"
	"ropeway/internal/files"
	"ropeway/internal/intent"
	"ropeway/internal/lab/netns"
	"ropeway/internal/lab/world"
	"ropeway/internal/plan"
	"ropeway/internal/state"
)

// A Lab is a fabric that runs on this machine.
type Lab struct {
	Name     string
	record   *record
	in       *intent.Fabric
	children sync.WaitGroup // processes that this one started and has to reap
}

// Options of Up.
type Options struct {
	Name      string             // the zero value: the fabric's
	Lock      *state.Lock        // addresses to use; its keys are not. May be nil.
	Agent     string             // path of ropeway-gateway; the zero value: beside this program, or in PATH
	Responder []string           // the command, up to the name of the lab, that runs Serve
	Patience  time.Duration      // how long links may take to come up, and then sessions, which get sessionPatience at least; the zero value: DefaultPatience
	Damage    func(*plan.Fabric) // changes the plan before anybody gets it, for tests; not with controllers. May be nil.
	Progress  func(string)       // told what is being done. May be nil.

	Controllers int    // how many there are, each in a place of its own; 0: every gateway finds its plan in a file
	Controller  string // path of ropewayd; the zero value as with Agent
	Command     string // path of ropeway, by which everything is asked of controllers and agents change route tables; the zero value as with Agent
}

// DefaultPatience is how long Up waits for all links. WireGuard tries a lost handshake again after 5 s (whitepaper, section 6.1).
const DefaultPatience = 20 * time.Second

// Up builds the world of a fabric file and runs it. It returns the lab, and the links that have not come up in time, which is no
// error. After an error nothing is left.
func Up(ctx context.Context, file string, text []byte, opts Options) (l *Lab, silent []Link, err error) {
	in, list := intent.Read(file, text)
	if in == nil {
		return nil, nil, list
	}
	if opts.Name == "" {
		opts.Name = in.Name
	}
	if os.Geteuid() != 0 {
		return nil, nil, needsRoot(opts.Name, fs.ErrPermission)
	}
	r := &record{Name: opts.Name, Phase: Building, File: file, Source: string(text)}
	if err := r.choose(in, opts); err != nil {
		return nil, nil, err
	}
	release, err := claim(opts.Name)
	if err != nil {
		return nil, nil, err
	}
	defer func() { err = errors.Join(err, release()) }()
	l = &Lab{Name: opts.Name, in: in, record: r}
	if silent, err = l.up(ctx, opts); err != nil {
		// The context may be what ended; taking down is not to be interrupted twice.
		return nil, nil, errors.Join(err, l.demolish(context.WithoutCancel(ctx)))
	}
	return l, silent, nil
}

// choose finds the programs that a lab runs, and the places of its controllers.
func (r *record) choose(in *intent.Fabric, opts Options) (err error) {
	if r.Agent, err = findProgram(opts.Agent, agentProgram); err != nil {
		return err
	}
	takesOver := slices.ContainsFunc(in.Places, func(p *intent.Place) bool { return p.TakeOver })
	if r.Command, err = findProgram(opts.Command, commandProgram); err != nil && (takesOver || opts.Controllers > 0) {
		return err
	}
	if opts.Controllers == 0 {
		return nil
	}
	if r.Places, err = placesFor(in, opts.Controllers); err != nil {
		return err
	}
	r.Controller, err = findProgram(opts.Controller, controllerProgram)
	return err
}

// claim takes the name of a lab: whoever makes its directory has it, and the lock on it.
func claim(lab string) (release func() error, err error) {
	if err := checkName(lab); err != nil {
		return nil, err
	}
	taken := problem("RW5007", "lab "+lab, "there is a lab of that name, or what a killed command left of one",
		"ropeway lab down "+lab+" takes it away; --name gives this one another name")
	for range 3 { // the last lab's end may take the common directory away in between
		if err := files.SecretDir(Dir); err != nil {
			return nil, err
		}
		if err = os.Mkdir(home(lab), 0o700); !errors.Is(err, fs.ErrNotExist) {
			break
		}
	}
	if errors.Is(err, fs.ErrExist) {
		return nil, taken
	}
	if err != nil {
		return nil, fmt.Errorf("make the directory of lab %s: %w", lab, err)
	}
	if names, err := netns.List(labPrefix(lab)); err != nil || len(names) > 0 {
		return nil, errors.Join(taken, err, os.Remove(home(lab)))
	}
	return hold(lab, unix.LOCK_EX)
}

func (l *Lab) up(ctx context.Context, opts Options) ([]Link, error) {
	progress := opts.Progress
	if progress == nil {
		progress = func(string) {}
	}
	if err := l.draw(ctx, opts, progress); err != nil {
		return nil, err
	}
	w := l.record.World
	progress(fmt.Sprintf("building %d machines and %d wires", len(w.Spaces), len(w.Wires)))
	st, err := build(ctx, l.Name, w)
	if err != nil {
		return nil, err
	}
	defer st.Close()
	if err := errors.Join(st.refuseFragments(ctx), st.setUnderlay(ctx, nil), st.translate(ctx)); err != nil {
		return nil, err
	}
	if err := l.bringPlans(ctx, st, progress); err != nil {
		return nil, err
	}
	if err := l.startRouters(); err != nil {
		return nil, err
	}
	progress(fmt.Sprintf("starting %d agents", len(l.record.Plan.Gateways)))
	if err := errors.Join(l.startResponder(opts.Responder), l.startAgents(ctx)); err != nil {
		return nil, err
	}
	progress("waiting for the links")
	silent, err := l.waitForLinks(ctx, st, l.links(), patienceOf(opts))
	if err != nil {
		return nil, err
	}
	if len(l.workingSessions()) > 0 {
		progress("waiting for the BGP sessions")
		down, err := l.waitForSessions(ctx, max(sessionPatience, opts.Patience))
		if err != nil {
			return nil, err
		}
		if len(down) > 0 {
			progress(fmt.Sprintf("%d ends of sessions are not up yet", len(down)))
		}
	}
	l.record.Phase = Running
	return silent, l.record.write()
}

// draw makes a plan and the world for it. A lab with controllers begins with a plan that has no keys: they learn them when gateways enroll, and
// their plan takes its place.
func (l *Lab) draw(ctx context.Context, opts Options, progress func(string)) error {
	if l.controlled() {
		opts.Lock = nil // a controller allocates by itself
	}
	p, lock := compile.Compile(l.in, opts.Lock)
	if !l.controlled() {
		progress(fmt.Sprintf("making %d keys", len(lock.Gateways)))
		if err := makeKeys(ctx, l.Name, l.record.Agent, lock); err != nil {
			return err
		}
		p, _ = compile.Compile(l.in, lock)
		if opts.Damage != nil {
			opts.Damage(p)
		}
	}
	w, err := world.Draw(l.in, p, l.record.Places...)
	if err != nil {
		return err
	}
	if len(w.Speakers) > 0 { // before anything is built
		if _, err := findRouter(); err != nil {
			return err
		}
	}
	l.record.Plan, l.record.World = p, w
	return l.record.write()
}

// bringPlans lets every gateway have its plan: in a file, or by way of the controllers.
func (l *Lab) bringPlans(ctx context.Context, st *site, progress func(string)) error {
	for _, g := range l.record.World.Of(world.Gateway) {
		if err := errors.Join(makeMachine(l.Name, g.Name), writeHosts(l.Name, g)); err != nil {
			return err
		}
	}
	if l.controlled() {
		return l.govern(ctx, st, progress)
	}
	for _, g := range l.record.Plan.Gateways {
		if err := writePlan(l.Name, l.record.Plan, g); err != nil {
			return err
		}
	}
	return nil
}

func patienceOf(opts Options) time.Duration {
	if opts.Patience == 0 {
		return DefaultPatience
	}
	return opts.Patience
}

// startResponder starts the process that answers for all hosts. It lives in the core, so that it is found with the rest.
func (l *Lab) startResponder(command []string) error {
	if len(command) == 0 {
		self, err := os.Executable()
		if err != nil {
			return fmt.Errorf("find this program: %w", err)
		}
		command = []string{self, "lab", "serve"}
	}
	cmd := exec.Command(command[0], append(command[1:], l.Name)...) //nolint:noctx // it outlives every context
	return l.startDaemon(world.CoreSpace, filepath.Join(home(l.Name), "serve.log"), cmd, nil)
}

// Open returns a lab that is up.
func Open(name string) (*Lab, error) {
	r, err := readRecord(name)
	if err != nil {
		return nil, err
	}
	if r.Phase != Running {
		return nil, problem("RW5008", "lab "+name, "it is being built, or was left half-built", "wait, or take it away with ropeway lab down "+name)
	}
	in, list := intent.Read(r.File, []byte(r.Source))
	if in == nil {
		return nil, list
	}
	return &Lab{Name: name, record: r, in: in}, nil
}
