package lab

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"

	"ropeway/internal/lab/netns"
)

// Down takes a lab away: its processes, namespaces with all that is in them, and files. It needs none of what the lab recorded, so
// it does so also for what a killed command left. It returns RW5003 where there is nothing.
func Down(ctx context.Context, name string) error {
	if err := checkName(name); err != nil {
		return err
	}
	release, err := hold(name, unix.LOCK_EX)
	if errors.Is(err, fs.ErrNotExist) { // namespaces without a directory: nobody can be at work on them
		names, err := netns.List(labPrefix(name))
		if err == nil && len(names) == 0 {
			err = missingLab(name)
		}
		if err != nil {
			return err
		}
		release = func() error { return nil }
	} else if err != nil {
		return err
	}
	l := &Lab{Name: name}
	return errors.Join(l.demolish(ctx), release())
}

// Down takes the lab away and waits for the processes that this one started.
func (l *Lab) Down(ctx context.Context) error {
	if err := Down(ctx, l.Name); err != nil {
		return err
	}
	l.children.Wait()
	return nil
}

// demolish removes everything that begins with the lab's name. The order is such that it can be killed at any point and begun
// again: what names the rest goes last.
func (l *Lab) demolish(ctx context.Context) error {
	names, err := netns.List(labPrefix(l.Name))
	if err != nil {
		return err
	}
	if err := kill(ctx, names); err != nil {
		return fmt.Errorf("end the processes of lab %s: %w", l.Name, err)
	}
	var errs []error
	for _, name := range names {
		errs = append(errs, netns.Delete(name))
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	if err := unmountBelow(home(l.Name)); err != nil {
		return err
	}
	if err := os.RemoveAll(home(l.Name)); err != nil {
		return fmt.Errorf("remove the files of lab %s: %w", l.Name, err)
	}
	for _, dir := range []string{Dir, netns.Dir, wireguardSockets, agentRun} { // as long as others use them they stay
		if err := os.Remove(dir); err != nil && !errors.Is(err, unix.ENOTEMPTY) && !errors.Is(err, unix.EBUSY) && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove an empty directory: %w", err)
		}
	}
	return nil
}
