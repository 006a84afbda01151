package lab

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"ropeway/internal/lab/skew"
	"ropeway/internal/lab/world"
)

// A controllerCondition is what faults make of one controller.
type controllerCondition struct {
	dead, held, full bool
	offset           time.Duration // of its clock
}

func controllerUnder(s world.Seat, faults []Fault) controllerCondition {
	var c controllerCondition
	for _, f := range faults {
		if f.A != s.Name && f.A != Everybody {
			continue
		}
		switch f.Kind {
		case ControllerKill:
			c.dead = true
		case ControllerStop:
			c.held = true
		case DiskFull:
			c.full = true
		case ClockSkew:
			c.offset = f.Offset // the last word counts
		}
	}
	return c
}

// settleController takes a controller from one condition to another. It is woken first, since one that is held hears nothing, and held last.
func (l *Lab) settleController(ctx context.Context, s world.Seat, was, is controllerCondition) error {
	disk := filepath.Join(controllerDir(l.Name, s.Name), dataDir)
	if was.held {
		if err := l.signalController(s, unix.SIGCONT); err != nil {
			return err
		}
	}
	switch {
	case is.full && !was.full:
		if err := fillDisk(disk); err != nil {
			return err
		}
	case was.full && !is.full:
		if err := freeDisk(disk); err != nil {
			return err
		}
	}
	if is.dead {
		return kill(ctx, []string{spaceName(l.Name, s.Space)})
	}
	if err := l.reviveController(ctx, s, is); err != nil {
		return err
	}
	if is.held {
		return l.signalController(s, unix.SIGSTOP)
	}
	return nil
}

// reviveController makes a controller run that may be dead, with the clock that it is to have. Nobody waits for it here: where several come back, none
// serves before most are there.
func (l *Lab) reviveController(ctx context.Context, s world.Seat, is controllerCondition) error {
	alive, err := l.livesOn(s.Space)
	if err != nil {
		return err
	}
	if !alive {
		if err := l.startController(s, ""); err != nil {
			return err
		}
	}
	return l.setClock(ctx, s, is.offset)
}

// awaitsController reports whether a controller under these conditions is waited for. Without most of the others it cannot serve, and whether one starts
// without room on its disk is its own affair.
func (l *Lab) awaitsController(is controllerCondition) bool {
	return !is.dead && !is.held && !is.full && l.quorum()
}

// quorum reports whether so many controllers are there that they can do their work.
func (l *Lab) quorum() bool {
	seats := l.record.World.Controllers()
	there := 0
	for _, s := range seats {
		c := controllerUnder(s, l.record.Faults)
		apart := slices.ContainsFunc(l.record.Faults, func(f Fault) bool {
			return (f.Kind == ControllerPartition || f.Kind == RegionPartition) && f.A == s.Place
		})
		if !c.dead && !c.held && !c.full && !(apart && len(seats) > 1) {
			there++
		}
	}
	return there > len(seats)/2
}

// signalController stops a controller or lets it go on. One that is not there is sent nothing.
func (l *Lab) signalController(s world.Seat, sig unix.Signal) error {
	return l.onMachine(s.Space, func(pid int) error { return unix.Kill(pid, sig) })
}

// setClock gives a controller a clock that is off by so much.
func (l *Lab) setClock(ctx context.Context, s world.Seat, offset time.Duration) error {
	return l.onMachine(s.Space, func(pid int) error { return skew.Set(ctx, pid, offset) })
}

// onMachine does something with the processes that live on a machine. One that ends meanwhile needs nothing any more: a controller that has no room on its
// disk does so by itself.
func (l *Lab) onMachine(space string, do func(pid int) error) error {
	ids, err := identities([]string{spaceName(l.Name, space)})
	if err != nil {
		return err
	}
	living, err := inhabitants(ids)
	if err != nil {
		return err
	}
	for pid := range living {
		if err := do(pid); err != nil && !ended(pid) {
			return err
		}
	}
	return nil
}

// ended reports whether a process has ended, though nobody may have asked yet how: then it has no program any more.
func ended(pid int) bool {
	_, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid))
	return errors.Is(err, fs.ErrNotExist)
}

// seated fills in what there is to say of a machine that has a seat.
func (l *Lab) seated(ctx context.Context, m *Machine) error {
	for _, s := range l.record.World.Seats {
		if s.Space != m.Name {
			continue
		}
		m.Addresses = []netip.Addr{s.Addr}
		if m.Kind != world.Controller {
			return nil
		}
		alive, err := l.livesOn(s.Space)
		switch {
		case err != nil:
			return err
		case !alive:
			m.Controller = "dead"
		case controllerUnder(s, l.record.Faults).held:
			m.Controller = "held"
		case l.serves(ctx, s):
			m.Controller = "serving"
		default:
			m.Controller = "silent" // it waits for others, for example
		}
	}
	return nil
}
