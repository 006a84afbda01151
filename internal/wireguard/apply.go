package wireguard

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"ropeway/internal/key"
	"ropeway/internal/plan"
)

// Keys returns the private key of a device of the plan.
type Keys func(device string) (key.Private, error)

// Apply makes the devices what the plan wants and returns what it changed. A device of Ropeway's that the plan does not name is removed. It
// goes on after a failure wherever that can do no harm and returns every error; what it did then stands, and the next
// Apply goes on from there. What was changed is read back, and a difference is an error. No error ever holds a key.
func (c *Client) Apply(ctx context.Context, want []plan.Device, keys Keys) ([]Change, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reap()
	found, err := links()
	if err != nil {
		return nil, err
	}
	done, errs := c.removeOthers(ctx, want, found)
	for i := range want {
		name := want[i].Name
		at := slices.IndexFunc(found, func(l link) bool { return l.Name == name })
		var there *link
		if at >= 0 {
			there = &found[at]
		}
		changes, err := c.applyDevice(ctx, want[i], there, keys)
		done = append(done, changes...)
		if err != nil {
			c.settledOf(name).forget()
			errs = append(errs, fmt.Errorf("%s: %w", name, err))
		}
	}
	return done, errors.Join(errs...)
}

// removeOthers removes the devices of ours that the plan does not name.
func (c *Client) removeOthers(ctx context.Context, want []plan.Device, found []link) (done []Change, errs []error) {
	for _, l := range found {
		if slices.ContainsFunc(want, func(d plan.Device) bool { return d.Name == l.Name }) {
			continue
		}
		err := c.removeDevice(ctx, l)
		switch {
		case errors.Is(err, errForeign):
		case err != nil:
			errs = append(errs, fmt.Errorf("%s: %w", l.Name, err))
		default:
			done = append(done, Change{Op: DeleteDevice, Device: l.Name})
		}
	}
	return done, errs
}

func (c *Client) removeDevice(ctx context.Context, l link) error {
	ctl, backend, err := c.open(ctx, l)
	if err != nil {
		return err
	}
	_ = ctl.close()
	delete(c.known, l.Name)
	if backend == Userspace {
		return c.endProcess(ctx, l)
	}
	return deleteLink(l.Index)
}

// Remove deletes every device of Ropeway's and ends the processes of those in userspace.
func (c *Client) Remove(ctx context.Context) ([]Change, error) { return c.Apply(ctx, nil, nil) }

// A job is one device on its way to what is wanted.
type job struct {
	want    plan.Device // with addresses in place of names
	private key.Private
	link    link
	backend Backend
	control control
	known   *settled
	writes  uint64 // configurations sent
}

// applyDevice makes one device what is wanted; there is nil where it does not exist.
func (c *Client) applyDevice(ctx context.Context, want plan.Device, there *link, keys Keys) ([]Change, error) {
	private, err := keys(want.Name)
	if err != nil {
		return nil, fmt.Errorf("private key: %w", err)
	}
	want, unresolved := c.names.resolve(ctx, want)
	j := &job{want: want, private: private, known: c.settledOf(want.Name)}
	own := private.Public()
	if !want.PublicKey.IsZero() && want.PublicKey != own {
		return nil, check(&want, own)
	}
	j.want.PublicKey = own

	change, narrow := j.known.narrow(&j.want)
	if !narrow || there == nil {
		if err := check(&j.want, own); err != nil {
			return nil, err
		}
	}
	var done []Change
	if there == nil {
		if err := c.create(ctx, j); err != nil {
			return nil, err
		}
		done = append(done, Change{Op: CreateDevice, Device: want.Name})
	} else if j.control, j.backend, err = c.open(ctx, *there); err != nil {
		return nil, err
	} else {
		j.link = *there
	}
	defer func() { _ = j.control.close() }()

	if narrow && there != nil {
		changes, ok, err := c.applyDelta(ctx, j, change)
		if ok || err != nil {
			return changes, errors.Join(err, unresolved)
		}
	}
	changes, err := c.applyAll(ctx, j)
	return append(done, changes...), errors.Join(err, unresolved)
}

// create makes a device that does not exist: its interface is there afterwards, down.
func (c *Client) create(ctx context.Context, j *job) error {
	j.known.forget()
	clear(j.known.set)
	j.backend, _ = c.backend()
	var err error
	if j.backend == Kernel {
		err = makeKernelDevice(&j.want)
		if err == nil {
			j.control, err = openKernel(j.want.Name)
		}
	} else {
		var s *socket
		if s, err = c.spawn(ctx, j.want.Name); err == nil {
			j.control = s
		}
	}
	if err != nil {
		return fmt.Errorf("make the device: %w", err)
	}
	found, err := links()
	at := slices.IndexFunc(found, func(l link) bool { return l.Name == j.want.Name })
	if err == nil && at < 0 {
		err = errors.New("it is gone again")
	}
	if err != nil {
		return errors.Join(fmt.Errorf("make the device: %w", err), j.control.close())
	}
	j.link = found[at]
	return nil
}

// applyAll reads the whole device, changes what differs, and reads it again.
func (c *Client) applyAll(ctx context.Context, j *job) ([]Change, error) {
	s, err := j.control.read(nil)
	if err != nil {
		return nil, err
	}
	found := c.combine(s, j.backend, j.link)
	changes := Diff([]plan.Device{j.want}, []Device{found})
	if len(changes) == 0 {
		j.known.settle(j.want, s.Count)
		return nil, nil
	}
	done, err := j.carryOut(ctx, changes, &found)
	if err != nil {
		return done, err
	}
	after, err := j.control.read(nil)
	if err != nil {
		return done, fmt.Errorf("read back: %w", err)
	}
	if err := c.readBack(j, after, j.want); err != nil {
		return done, err
	}
	if s.Count != 0 && after.Count == s.Count+j.writes { // nobody else configured it meanwhile
		j.known.settle(j.want, after.Count)
	}
	return done, nil
}

// applyDelta reads, changes and reads back only the peers of a delta. It returns false, and has done nothing, where somebody else has configured
// the device.
func (c *Client) applyDelta(ctx context.Context, j *job, d delta) (done []Change, ok bool, err error) {
	s, err := j.control.read(d.keys)
	if err != nil || s.Count != j.known.count {
		return nil, false, err
	}
	want := j.want
	want.Peers = d.after
	s.PublicKey, s.ListenPort = j.known.plan.PublicKey, j.known.plan.ListenPort
	found := c.combine(s, j.backend, j.link)
	changes := Diff([]plan.Device{want}, []Device{found})
	if len(changes) > 0 {
		if done, err = j.carryOut(ctx, changes, &found); err != nil {
			return done, true, err
		}
		after, err := j.control.read(d.keys)
		if err != nil {
			return done, true, fmt.Errorf("read back: %w", err)
		}
		after.PublicKey, after.ListenPort = j.want.PublicKey, j.want.ListenPort
		if err := c.readBack(j, after, want); err != nil {
			return done, true, err
		}
		if after.Count != s.Count+j.writes {
			j.known.forget()
			return done, true, nil
		}
		s.Count = after.Count
	}
	j.known.settleDelta(j.want, d, s.Count)
	return done, true, nil
}

// readBack compares what was made with what was wanted.
func (c *Client) readBack(j *job, s status, want plan.Device) error {
	all, err := links()
	if err != nil {
		return fmt.Errorf("read back: %w", err)
	}
	at := slices.IndexFunc(all, func(l link) bool { return l.Index == j.link.Index })
	if at < 0 {
		return errors.New("read back: the device is gone again")
	}
	left := Diff([]plan.Device{want}, []Device{c.combine(s, j.backend, all[at])})
	if len(left) == 0 {
		return nil
	}
	var lines []string
	for _, change := range left[:min(len(left), shown)] {
		_, text, _ := strings.Cut(change.String(), ": ")
		lines = append(lines, text)
	}
	return fmt.Errorf("after %d changes the device still is not as wanted, to do: %s", j.writes, strings.Join(lines, "; "))
}
