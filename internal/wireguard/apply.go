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
	found, err := c.links()
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
	delete(c.known, l.Name)
	delete(c.youths, l.Name)
	if backend == Userspace {
		return c.endUserspace(ctx, l, ctl)
	}
	return errors.Join(ctl.close(), deleteLink(l.Index))
}

// Remove deletes every device of Ropeway's and ends the processes of those in userspace.
func (c *Client) Remove(ctx context.Context) ([]Change, error) {
	defer c.overlook()
	done, err := c.Apply(ctx, nil, nil)
	return done, errors.Join(err, c.endCarrier(ctx))
}

// A job is one device on its way to what is wanted.
type job struct {
	want    plan.Device // with the public key, and with addresses in place of names where they have been found
	private key.Private
	link    link
	backend Backend
	control control
	known   *settled
	writes  uint64 // configurations sent

	heard    Recall              // nil: nobody knows
	recalled map[key.Public]bool // peers that got their address from there
}

// applyDevice makes one device what is wanted; there is nil where it does not exist.
func (c *Client) applyDevice(ctx context.Context, want plan.Device, there *link, keys Keys) (done []Change, err error) {
	private, err := keys(want.Name)
	if err != nil {
		return nil, fmt.Errorf("private key: %w", err)
	}
	j := &job{want: want, private: private, known: c.settledOf(want.Name), heard: c.opts.Recall, recalled: map[key.Public]bool{}}
	j.want.PublicKey = j.known.public(private)
	defer func() {
		if j.control != nil {
			err = errors.Join(err, c.uncross(ctx, j))
			_ = j.control.close()
		}
	}()
	if there != nil {
		j.link = *there
		if j.control, j.backend, err = c.open(ctx, *there); err != nil {
			return nil, err
		}
		if a, ok := j.control.(announcer); ok {
			a.announce(j.known.count)
		}
		if done, ok, err := c.applyDelta(ctx, j, want); ok || err != nil {
			return done, err
		}
	}
	if err := check(&want, j.want.PublicKey); err != nil {
		return nil, err
	}
	if there == nil {
		if err := c.create(ctx, j); err != nil {
			return nil, err
		}
		done = append(done, Change{Op: CreateDevice, Device: want.Name})
	}
	given := j.want
	var unresolved error
	j.want, unresolved = c.names.resolve(ctx, given)
	changes, count, err := c.applyAll(ctx, j)
	if err == nil && count != 0 {
		j.known.settle(given, j.want.Peers, count)
	}
	return append(done, changes...), errors.Join(err, unresolved)
}

// create makes a device that does not exist: its interface is there afterwards, down.
func (c *Client) create(ctx context.Context, j *job) error {
	j.known.forget()
	clear(j.known.set)
	delete(c.youths, j.want.Name)
	j.backend, _ = c.backend()
	var err error
	if j.backend == Kernel {
		err = makeKernelDevice(&j.want)
		if err == nil {
			j.control, err = openKernel(j.want.Name)
		}
	} else {
		var s *socket
		if s, err = c.makeProcess(ctx, j.want.Name); err == nil {
			j.control = c.keep(j.want.Name, s)
		}
	}
	if err != nil {
		return fmt.Errorf("make the device: %w", err)
	}
	found, err := c.links()
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

// applyAll reads the whole device, changes what differs, and reads it again. It returns the device's count where that belongs to the state
// that was read back: nobody else configured it meanwhile.
func (c *Client) applyAll(ctx context.Context, j *job) (done []Change, count uint64, err error) {
	s, err := j.control.read()
	if err != nil {
		return nil, 0, err
	}
	found := c.combine(s, j.backend, j.link)
	changes := j.recall(Diff([]plan.Device{j.want}, []Device{found}))
	if len(changes) == 0 {
		return nil, s.Count, nil
	}
	if done, err = j.carryOut(ctx, changes, &found); err != nil {
		return done, 0, err
	}
	after, err := j.control.read()
	if err != nil {
		return done, 0, fmt.Errorf("read back: %w", err)
	}
	if err := c.readBack(j, after, j.want, changes); err != nil {
		return done, 0, err
	}
	if after.Count != s.Count+j.writes {
		return done, 0, nil
	}
	return done, after.Count, nil
}

// applyDelta sends only what the new plan changes, in one message that the device carries out if nobody else has configured it, and answers with
// what became of those peers. It returns ok false, and has done nothing, where the device has to be read whole.
func (c *Client) applyDelta(ctx context.Context, j *job, given plan.Device) (done []Change, ok bool, err error) {
	if !given.PublicKey.IsZero() && given.PublicKey != j.want.PublicKey {
		return nil, false, nil // check tells
	}
	again, failed := c.names.again(j.known.named, j.known.set)
	d, ok := j.known.narrow(&j.want, j.known.changed(&given), again)
	if !ok {
		return nil, false, nil
	}
	part := j.want
	part.Peers = d.after
	part, unresolved := c.names.resolve(ctx, part)
	found := c.combine(j.known.expected(&d), j.backend, j.link)
	changes := j.recall(Diff([]plan.Device{part}, []Device{found}))
	peers, others := split(changes)
	list := sections(peers)
	if len(list) > peersPerWrite {
		return nil, false, nil
	}
	after, err := j.control.change(j.known.count, withUntouched(list, d.keys()))
	if errors.Is(err, errCount) {
		return nil, false, nil
	}
	if err != nil {
		return nil, true, fmt.Errorf("configure the peers: %w", err)
	}
	j.remember(peers)
	if found.Up {
		if err := j.greetLate(ctx, peers, &found); err != nil {
			return peers, true, err
		}
	}
	if done, err = j.carryOut(ctx, others, &found); err != nil {
		return append(peers, done...), true, err
	}
	after.PublicKey, after.ListenPort = j.want.PublicKey, j.want.ListenPort
	if err := c.readBack(j, after, part, changes); err != nil {
		return changes, true, err
	}
	j.known.settleDelta(j.want, d, after.Count+j.writes)
	return changes, true, errors.Join(append(failed, unresolved)...)
}

// split parts the changes of peers from those of the device and its interface.
func split(changes []Change) (peers, others []Change) {
	for _, c := range changes {
		if c.Peer != nil {
			peers = append(peers, c)
		} else {
			others = append(others, c)
		}
	}
	return peers, others
}

// withUntouched appends sections that change nothing, so that the device tells about those peers too: such as one whose prefix passes to another.
func withUntouched(list []section, keys []key.Public) []section {
	for _, k := range keys {
		if !slices.ContainsFunc(list, func(s section) bool { return s.PublicKey == k }) {
			list = append(list, section{PublicKey: k, UpdateOnly: true})
		}
	}
	return list
}

// readBack compares what was made with what was wanted.
func (c *Client) readBack(j *job, s status, want plan.Device, changes []Change) error {
	if slices.ContainsFunc(changes, func(c Change) bool { return c.Peer == nil }) { // the interface may have changed too
		found, err := c.links()
		if err != nil {
			return fmt.Errorf("read back: %w", err)
		}
		at := slices.IndexFunc(found, func(l link) bool { return l.Index == j.link.Index })
		if at < 0 {
			return errors.New("read back: the device is gone again")
		}
		j.link = found[at]
	}
	left := Diff([]plan.Device{want}, []Device{c.combine(s, j.backend, j.link)})
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
