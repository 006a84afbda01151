package lab

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"ropeway/internal/intent"
	"ropeway/internal/lab/netns"
	"ropeway/internal/lab/world"
)

// A lab with controllers is set up as people would do it, with the programs that they would use: ropewayd starts on machines of its own, its
// first token makes the operator an administrator, the other controllers join, every gateway is enrolled with a token, and the file is applied.

// controlled reports whether the lab has controllers.
func (l *Lab) controlled() bool { return len(l.record.Places) > 0 }

// placesFor returns the places that get a controller, a region each, and sites where regions are too few. A cluster of an even number survives no
// more than one of a member less (https://etcd.io/docs/v3.6/faq/#why-an-odd-number-of-cluster-members).
func placesFor(in *intent.Fabric, controllers int) ([]string, error) {
	var names []string
	for _, p := range in.Places { // regions come first
		names = append(names, p.Name)
	}
	if controllers != 1 && controllers != 3 && controllers != 5 || controllers > len(names) {
		return nil, problem("RW5014", "fabric "+in.Name, fmt.Sprintf("no lab with %d controllers can be made of its %d places", controllers, len(names)),
			"want 0, 1, 3 or 5, and a place for each")
	}
	return names[:controllers], nil
}

// Files and directories of controllers and of the operator.
const (
	dataDir     = "data"
	welcomeFile = "welcome"
	appliedFile = "fabric.yaml"
)

func controllerDir(lab, name string) string { return filepath.Join(home(lab), "controllers", name) }

// operatorDir holds the operator's membership.
func operatorDir(lab string) string { return filepath.Join(home(lab), "operator") }

// controllerPort is ropewayd's usual one.
const controllerPort = 8443

func addressOf(s world.Seat) string { return netip.AddrPortFrom(s.Addr, controllerPort).String() }

func urlOf(s world.Seat) string { return "https://" + addressOf(s) }

// govern starts the controllers, enrolls every gateway, applies the file, and takes over what the controllers make of it.
func (l *Lab) govern(ctx context.Context, st *site, progress func(string)) error {
	seats := l.record.World.Controllers()
	progress(fmt.Sprintf("starting %d controllers", len(seats)))
	for i, s := range seats {
		if err := l.found(ctx, s, i > 0); err != nil {
			return err
		}
		if i > 0 {
			continue
		}
		if err := l.login(ctx, s); err != nil {
			return err
		}
	}
	progress(fmt.Sprintf("enrolling %d gateways", len(l.in.Gateways())))
	if err := l.enrollAll(ctx, seats); err != nil {
		return err
	}
	progress("applying the file")
	file := filepath.Join(operatorDir(l.Name), appliedFile)
	if err := os.WriteFile(file, []byte(l.record.Source), 0o600); err != nil {
		return fmt.Errorf("write the operator's copy of the file: %w", err)
	}
	if _, err := l.operate(ctx, "", "apply", file, "--auto-approve"); err != nil {
		return err
	}
	r, err := l.newest(ctx)
	if err != nil {
		return err
	}
	return l.adopt(ctx, st, r)
}

// found gives a controller a disk and starts it for the first time. The others join the one that was there first.
func (l *Lab) found(ctx context.Context, s world.Seat, joins bool) error {
	if err := makeDisk(filepath.Join(controllerDir(l.Name, s.Name), dataDir)); err != nil {
		return fmt.Errorf("make the disk of controller %s: %w", s.Name, err)
	}
	token := ""
	if joins {
		var err error
		if token, err = l.operate(ctx, "", "token", "create", "--controller", s.Name); err != nil {
			return err
		}
	}
	if err := l.startController(s, token); err != nil {
		return err
	}
	return l.awaitController(ctx, s)
}

// peerPort is etcd's usual one among members.
const peerPort = 2380

// startController starts ropewayd on its machine, and where it has a token it joins the first one. It goes on when this process ends.
func (l *Lab) startController(s world.Seat, token string) error {
	dir := controllerDir(l.Name, s.Name)
	welcome, err := os.OpenFile(filepath.Join(dir, welcomeFile), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("start controller %s: %w", s.Name, err)
	}
	defer welcome.Close()
	args := []string{
		"serve", "--data", filepath.Join(dir, dataDir), "--fabric", l.in.Name, "--listen", addressOf(s), "--name", s.Addr.String(), "--controller", s.Name,
	}
	if seats := l.record.World.Controllers(); len(seats) > 1 {
		args = append(args, "--peer-url", "https://"+netip.AddrPortFrom(s.Addr, peerPort).String())
		if token != "" {
			args = append(args, "--join", urlOf(seats[0]), "--token", "-")
		}
	}
	cmd := exec.Command(l.record.Controller, args...) //nolint:noctx // it outlives every context
	cmd.Stdin, cmd.Stdout = strings.NewReader(token), welcome
	return l.startDaemon(s.Space, l.controllerLog(s.Name), cmd, nil)
}

func (l *Lab) controllerLog(name string) string {
	return filepath.Join(controllerDir(l.Name, name), "controller.log")
}

// controllerTimeout is how long a controller may take until it serves: it reads its store first, and a busy machine is slow.
const controllerTimeout = 30 * time.Second

// awaitController waits until a controller serves.
func (l *Lab) awaitController(ctx context.Context, s world.Seat) error {
	deadline := time.Now().Add(controllerTimeout)
	for !l.serves(ctx, s) {
		alive, err := l.livesOn(s.Space)
		if err != nil {
			return err
		}
		if !alive || time.Now().After(deadline) {
			return problem("RW5015", "controller "+s.Name, "it has ended, or does not serve after "+controllerTimeout.String(), "its log is "+l.controllerLog(s.Name))
		}
		if err := sleep(ctx, pollInterval); err != nil {
			return err
		}
	}
	return nil
}

// serves reports whether a controller takes connections, seen from its own machine.
func (l *Lab) serves(ctx context.Context, s world.Seat) bool {
	c, err := l.dial(ctx, s.Space, addressOf(s))
	return err == nil && c.Close() == nil
}

// dial opens a TCP connection from a machine.
func (l *Lab) dial(ctx context.Context, from, to string) (c net.Conn, err error) {
	ns, err := netns.Open(spaceName(l.Name, from))
	if err != nil {
		return nil, err
	}
	defer ns.Close()
	err = ns.Do(func() error { // an address needs no other goroutine, which would not be on this thread
		c, err = new(net.Dialer).DialContext(ctx, "tcp", to)
		return err
	})
	return c, err
}

// livesOn reports whether some process lives on a machine.
func (l *Lab) livesOn(space string) (bool, error) {
	ids, err := identities([]string{spaceName(l.Name, space)})
	if err != nil {
		return false, err
	}
	found, err := inhabitants(ids)
	return len(found) > 0, err
}

// login makes the operator what the first token of a controller is for: an administrator.
func (l *Lab) login(ctx context.Context, s world.Seat) error {
	path := filepath.Join(controllerDir(l.Name, s.Name), welcomeFile)
	welcome, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("read the first token: %w", err)
	}
	_, rest, found := strings.Cut(string(welcome), "--token ")
	token, _, _ := strings.Cut(rest, "\n")
	if !found {
		return fmt.Errorf("controller %s has not printed a first token", s.Name)
	}
	if err := os.MkdirAll(operatorDir(l.Name), 0o700); err != nil {
		return fmt.Errorf("make the operator's directory: %w", err)
	}
	if _, err := l.operate(ctx, token, "login", urlOf(s), "--token", "-"); err != nil {
		return err
	}
	if err := os.Truncate(path, 0); err != nil { // it served; there is no reason to keep it
		return fmt.Errorf("forget the first token: %w", err)
	}
	return nil
}

// enrollAll lets every gateway in, spread over the controllers.
func (l *Lab) enrollAll(ctx context.Context, seats []world.Seat) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(2 * runtime.NumCPU())
	for i, gateway := range l.in.Gateways() {
		g.Go(func() error { return l.enroll(ctx, gateway.Name, seats[i%len(seats)]) })
	}
	return g.Wait()
}

// enroll makes a machine the gateway that it stands for.
func (l *Lab) enroll(ctx context.Context, gateway string, with world.Seat) error {
	token, err := l.operate(ctx, "", "token", "create", "--gateway", gateway)
	if err != nil {
		return err
	}
	_, err = l.ask(ctx, l.record.World.Space(gateway), token, agentProgram, "enroll", "--server", urlOf(with), "--token", "-",
		"--state", filepath.Join(machineDir(l.Name, gateway), stateDir))
	return err
}

// operate runs ropeway as the operator and returns what it printed.
func (l *Lab) operate(ctx context.Context, stdin string, args ...string) (string, error) {
	return l.ask(ctx, l.record.World.Space(world.OperatorSpace), stdin, commandProgram, args...)
}

// ask runs a command on a machine and returns what it printed. Where it fails, its own words are the error.
func (l *Lab) ask(ctx context.Context, machine *world.Space, stdin, program string, args ...string) (string, error) {
	var out, said bytes.Buffer
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &out, &said
	if err := l.Run(machine, cmd); err != nil {
		if said.Len() == 0 {
			said = out // the reason is what it showed: a proof that fails, for example
		}
		return "", fmt.Errorf("%s %s on %s: %w: %s", program, args[0], machine.Name, err, strings.TrimSpace(said.String()))
	}
	return out.String(), nil
}
