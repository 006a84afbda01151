package courier

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"google.golang.org/protobuf/proto"

	ropewayv1 "ropeway/api/ropeway/v1"
	"ropeway/internal/failpoint"
	"ropeway/internal/files"
	"ropeway/internal/grant"
)

// A plan is on trial from the moment it is handed over until a controller took a report of a gateway that is as it says: that is what confirms it, and
// no controller that dies later changes it. Where none takes a report for some time, the gateway goes back to the plan that was confirmed last, on its
// own, for it may be the new plan that keeps it from its controllers.
//
// Three files of the state directory say where it stands, each replaced whole. The order in which they are written makes a crash between any two of
// them mean either what was before or what was to be:
//
//	to follow a grant    confirmed.pb, the grant followed so far, unless it is that already or on trial itself; trial.json; grant.pb; the plan file
//	to confirm           confirmed.pb, while nobody waits for it; trial.json is removed
//	to go back           trial.json says so; grant.pb, the confirmed one; the plan file
const (
	confirmedName = "confirmed.pb"
	trialName     = "trial.json"
)

// A trial is what stands in trial.json.
type trial struct {
	Version  string   `json:"version"`           // "ropeway/v1"
	Epoch    uint64   `json:"epoch"`             // of the grant on trial, or that was
	Floor    uint64   `json:"floor"`             // no grant of this epoch or a lower one is followed any more
	Reverted bool     `json:"reverted"`          // the gateway went back
	Reached  []string `json:"reached,omitempty"` // gateways that answered through their tunnels before
}

// maxTrial is more than the names of 10,000 gateways take, in bytes.
const maxTrial = 1 << 20

func (c *Courier) statePath(name string) string { return filepath.Join(c.opts.State, name) }

// loadTrial returns nil where nothing is on trial, and nothing was gone back from.
func (c *Courier) loadTrial() (*trial, error) {
	data, err := files.Read(c.statePath(trialName), maxTrial)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	t := &trial{}
	if err := json.Unmarshal(data, t); err != nil || t.Version != trialVersion {
		return nil, fmt.Errorf("read %s: it is no trial of this version", c.statePath(trialName))
	}
	return t, nil
}

const trialVersion = "ropeway/v1"

func (c *Courier) saveTrial(t *trial) error {
	t.Version = trialVersion
	data, err := json.Marshal(t)
	if err != nil {
		return err
	}
	return files.Replace(c.statePath(trialName), data, 0o600)
}

// loadGrant returns the grant of a file, with the bytes that it was read from; nil where there is none.
func (c *Courier) loadGrant(name string) (*followed, error) {
	data, err := files.Read(c.statePath(name), grant.MaxSigned)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	signed := &ropewayv1.SignedGrant{}
	if err := proto.Unmarshal(data, signed); err != nil {
		return nil, fmt.Errorf("read %s: %w", c.statePath(name), err)
	}
	anyEpoch := c.held
	anyEpoch.Epoch = 0
	f, err := open(anyEpoch, signed)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", c.statePath(name), err)
	}
	f.data = data
	return f, nil
}

// remember finds where the last process was. A grant that cannot be read would let an old plan come back: it is an error, which a person mends.
func (c *Courier) remember() error {
	last, err := c.loadGrant(grantName)
	if err != nil {
		return c.beginUnread(err)
	}
	if last == nil {
		return nil
	}
	t, err := c.loadTrial()
	if err != nil {
		return err
	}
	if t == nil {
		return c.deliver(last) // a crash may have come between grant and plan
	}
	c.held.Epoch = t.Floor
	confirmed, err := c.loadGrant(confirmedName)
	switch {
	case err != nil:
		return err
	case t.Reverted:
		c.trial = t
		if last.epoch != t.Epoch {
			return c.deliver(last)
		}
		return c.restore(confirmed)
	case confirmed != nil && confirmed.epoch < last.epoch: // it is on trial still, and has as much time as at first
		c.trial, c.heard = t, time.Now()
	}
	return c.deliver(last)
}

// begin puts a grant on trial, unless there is nothing to go back to. The gateways reached are those that answer while the plan before is in force.
func (c *Courier) begin(next *followed, reached []string) error {
	c.mu.Lock()
	last, floor, onTrial := c.grant, c.held.Epoch, c.trial != nil && !c.trial.Reverted
	c.mu.Unlock()
	if last == nil {
		return nil
	}
	if !onTrial {
		if err := c.keepConfirmed(last); err != nil {
			return err
		}
	}
	t := &trial{Epoch: next.epoch, Floor: floor, Reached: reached}
	if err := c.saveTrial(t); err != nil {
		return fmt.Errorf("note that a plan is on trial: %w", err)
	}
	failpoint.After("trial")
	c.mu.Lock()
	defer c.mu.Unlock()
	c.trial, c.heard = t, time.Now()
	return nil
}

// keepConfirmed keeps the grant to go back to, unless it is kept.
func (c *Courier) keepConfirmed(grant []byte) error {
	path := c.statePath(confirmedName)
	if kept, err := files.Read(path, int64(len(grant))); err == nil && bytes.Equal(kept, grant) {
		return nil
	}
	if err := files.Replace(path, grant, 0o600); err != nil {
		return fmt.Errorf("keep the grant that was confirmed: %w", err)
	}
	return nil
}

// confirm ends the trial of an epoch: a controller took the report of a gateway that is as the plan says.
func (c *Courier) confirm(epoch uint64) {
	c.mu.Lock()
	c.heard = time.Now()
	c.mu.Unlock()
	if !c.tries(epoch) { // as a rule; it is not worth to wait for who writes
		return
	}
	c.writing.Lock()
	defer c.writing.Unlock()
	if !c.tries(epoch) {
		return
	}
	err := c.keepConfirmed(c.grant)
	if err == nil {
		err = os.Remove(c.statePath(trialName))
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		c.log.Error("a plan that was confirmed stays on trial", "epoch", epoch, "error", err) // the next report tries again
		return
	}
	c.mu.Lock()
	c.trial = nil
	c.mu.Unlock()
	c.log.Info("the plan is confirmed", "epoch", epoch)
}

// tries reports whether the plan of an epoch is in force and on trial.
func (c *Courier) tries(epoch uint64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.trial != nil && !c.trial.Reverted && c.trial.Epoch == epoch && c.kept == epoch
}

// overdue reports whether the plan on trial has had its time without a word from a controller.
func (c *Courier) overdue() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.trial != nil && !c.trial.Reverted && c.kept == c.trial.Epoch && time.Since(c.heard) > c.opts.ConfirmWithin
}

// goBack returns to the plan that was confirmed last. The epoch that it goes back from is followed again only if a controller sends it anew.
func (c *Courier) goBack() error {
	c.writing.Lock()
	defer c.writing.Unlock()
	confirmed, err := c.loadGrant(confirmedName)
	if err == nil && confirmed == nil {
		err = fmt.Errorf("%s: %w", c.statePath(confirmedName), fs.ErrNotExist)
	}
	if err != nil {
		return fmt.Errorf("go back to the plan that was confirmed last: %w", err)
	}
	c.mu.Lock()
	t := *c.trial
	c.mu.Unlock()
	t.Reverted, t.Floor, t.Reached = true, max(t.Floor, t.Epoch-1), nil
	if err := c.saveTrial(&t); err != nil {
		return fmt.Errorf("note that the gateway goes back: %w", err)
	}
	failpoint.After("back")
	c.mu.Lock()
	c.trial, c.held.Epoch, c.applied = &t, t.Floor, 0
	c.mu.Unlock()
	c.log.Error("the gateway goes back to the plan that was confirmed last", "code", "RW4020", "from", t.Epoch, "to", confirmed.epoch, "within", c.opts.ConfirmWithin)
	return c.restore(confirmed)
}

// restore follows the confirmed grant again.
func (c *Courier) restore(confirmed *followed) error {
	if confirmed == nil {
		return fmt.Errorf("go back: %s: %w", c.statePath(confirmedName), fs.ErrNotExist)
	}
	if err := files.Replace(c.statePath(grantName), confirmed.data, 0o600); err != nil {
		return fmt.Errorf("go back: %w", err)
	}
	failpoint.After("restored")
	return c.deliver(confirmed)
}
