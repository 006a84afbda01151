package courier

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"ropeway/internal/plan"
)

// An unread is a grant that is signed for this gateway and whose plan it cannot read: a controller of a later version sent it, mostly. Nothing of it is
// followed. The gateway goes on with the plan that it has, and says so.
type unread struct {
	epoch uint64
	why   error
}

func (u *unread) Error() string {
	return fmt.Sprintf("RW4022 it cannot read the plan of revision %d: %v", u.epoch, u.why)
}

func (u *unread) Unwrap() error { return u.why }

// noteUnread remembers a grant that could not be read, if that is why something failed.
func (c *Courier) noteUnread(err error) {
	var u *unread
	if !errors.As(err, &u) {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.unread = u
}

// beginUnread begins where the grant that was followed last is one of a later version: somebody put an older agent in the place of a newer one. The
// machine stays as that one left it, and the next grant is followed, without a trial: there is nothing that this agent could go back to.
func (c *Courier) beginUnread(err error) error {
	var u *unread
	if !errors.As(err, &u) || !errors.Is(err, plan.ErrNewer) {
		return err
	}
	if err := os.Remove(c.statePath(trialName)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	c.held.Epoch, c.unread = u.epoch, u
	c.log.Error("the plan that was followed last is of a later version; the machine stays as it is until another one comes", "code", "RW4022", "error", err)
	return nil
}
