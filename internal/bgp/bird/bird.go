// Package bird runs BIRD 2 (tried with 2.0.12) as the routing daemon of a gateway.
//
// BIRD is one process, one configuration and one control socket, so carrying out a plan is rendering it, having the real program check it, and telling the socket.
// What stands in BIRD's configuration and nowhere else is remembered by BIRD itself: the file in our directory is what it runs with.
//
// What BIRD cannot do: a TCP MD5 password with a quotation mark in it (its strings have no escapes), or sharing a kernel table between two instances of BIRD that
// have the same metric. A session within an AS is refused: policy here is between places. A router of the place that is in no prefix of an interface gets a multihop session, and BFD with it is that of RFC 5883. Sessions
// lost are not counted: Neighbor.Flaps is always 0.
package bird

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"ropeway/internal/bgp"
	"ropeway/internal/files"
)

// Options of a daemon.
type Options struct {
	Dir     string // of its configuration, socket, log and process number; made with mode 0700. A path of at most 98 bytes: a socket has to be in it
	Program string // default "bird", where PATH has it
}

// Daemon is a BIRD of our own. It implements bgp.Daemon.
type Daemon struct{ opts Options }

// New returns the daemon of a directory; it may run already.
func New(opts Options) *Daemon {
	if opts.Program == "" {
		opts.Program = "bird"
	}
	return &Daemon{opts}
}

// maxConfig bounds what is read back, in bytes: 100,000 prefixes are 5 MB.
const maxConfig = 64 << 20

// A step is what stands between what runs and what shall run.
type step struct {
	pid     int // that runs; 0: none
	crashed bool
	have    string // configuration that it runs with
	want    string
}

// changes names what Apply does.
func (s *step) changes() []string {
	switch {
	case s.pid == 0 && s.crashed:
		return []string{"start BIRD, which had ended"}
	case s.pid == 0:
		return []string{"start BIRD"}
	}
	return differ(s.have, s.want)
}

// step looks, and changes nothing.
func (d *Daemon) step(want *bgp.Config) (*step, error) {
	if err := check(want); err != nil {
		return nil, err
	}
	ways, err := reaches(want)
	if err != nil {
		return nil, err
	}
	s := &step{}
	if s.want, err = render(want, ways, d.opts.Dir); err != nil {
		return nil, err
	}
	if s.pid, s.crashed, err = d.pid(); err != nil {
		return nil, err
	}
	have, err := files.Read(d.path(configName), maxConfig)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read what BIRD runs with: %w", err)
	}
	s.have = string(have)
	return s, nil
}

// Plan implements bgp.Daemon.
func (d *Daemon) Plan(_ context.Context, want *bgp.Config) ([]string, error) {
	s, err := d.step(want)
	if err != nil {
		return nil, err
	}
	return s.changes(), nil
}

// Apply implements bgp.Daemon. The file of what BIRD runs with is written when it does, so what fails on the way is tried again.
func (d *Daemon) Apply(ctx context.Context, want *bgp.Config) ([]string, error) {
	s, err := d.step(want)
	if err != nil {
		return nil, err
	}
	if s.pid != 0 {
		if _, err := ask(ctx, d.path(socketName), "show status"); ctx.Err() != nil {
			return nil, context.Cause(ctx)
		} else if err != nil { // it runs, and cannot be told anything
			if err := d.end(ctx, s.pid); err != nil {
				return nil, err
			}
			s.pid = 0
		}
	}
	changes := s.changes()
	if len(changes) == 0 {
		return nil, nil
	}
	if err := files.SecretDir(d.opts.Dir); err != nil {
		return nil, fmt.Errorf("make BIRD's directory: %w", err)
	}
	next := d.path(nextName)
	if err := files.Replace(next, []byte(s.want), 0o600); err != nil {
		return nil, err
	}
	if err := d.run(ctx, "-p", "-c", next); err != nil {
		return nil, errors.Join(fmt.Errorf("have BIRD check its configuration: %w", err), os.Remove(next))
	}
	if s.pid != 0 {
		if _, err := ask(ctx, d.path(socketName), fmt.Sprintf("configure %q", next)); err != nil {
			return nil, errors.Join(err, os.Remove(next))
		}
	}
	if err := os.Rename(next, d.path(configName)); err != nil {
		return nil, err // names both files
	}
	if s.pid == 0 {
		if err := d.start(ctx, s.crashed); err != nil {
			return nil, err
		}
	}
	return changes, nil
}

// differ names the sections that are not alike, in the order of the new text, then those that are gone.
func differ(have, want string) (changes []string) {
	old, now := sections(have), sections(want)
	for _, s := range now {
		switch i := slices.IndexFunc(old, func(o section) bool { return o.name == s.name }); {
		case i < 0:
			changes = append(changes, "add "+s.name)
		case old[i].text != s.text:
			changes = append(changes, "change "+s.name)
		}
	}
	for _, o := range old {
		if !slices.ContainsFunc(now, func(s section) bool { return o.name == s.name }) {
			changes = append(changes, "remove "+o.name)
		}
	}
	return changes
}

// A section is a part of a configuration that has a name.
type section struct{ name, text string }

func sections(config string) (list []section) {
	for line := range strings.Lines(config) {
		if name, ok := strings.CutPrefix(line, "# "); ok {
			list = append(list, section{name: strings.TrimSpace(name)})
		}
		if len(list) > 0 {
			list[len(list)-1].text += line
		}
	}
	return list
}

// Stop implements bgp.Daemon. What a crash left in the kernel is BIRD's own to find, so it is started for that once more.
func (d *Daemon) Stop(ctx context.Context) error {
	pid, crashed, err := d.pid()
	if err != nil {
		return err
	}
	if pid == 0 && crashed {
		if err := d.start(ctx, false); err != nil {
			return fmt.Errorf("clean up after a crash: %w", err)
		}
		if pid, _, err = d.pid(); err != nil {
			return err
		}
	}
	if pid != 0 {
		if err := d.end(ctx, pid); err != nil {
			return err
		}
	}
	for _, name := range []string{configName, nextName, socketName, pidName, logName, oldLogName} {
		if err := os.Remove(d.path(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err // names the call and the file
		}
	}
	if err := os.Remove(d.opts.Dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
