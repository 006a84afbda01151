package netns

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"

	"golang.org/x/sys/unix"
)

// A Bind puts the file or directory From in the place of To, for one process and its children only. A directory To is made where
// it is missing.
type Bind struct{ From, To string }

// Start starts a command inside the namespace, in a mount namespace of its own that has the binds and the /sys of the network
// namespace, as ip-netns(8) does. The caller waits for the command as ever.
func (s *Space) Start(cmd *exec.Cmd, binds ...Bind) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		if unix.Gettid() == unix.Getpid() { // the first thread never ends; another one, then
			done <- s.Start(cmd, binds...)
			runtime.UnlockOSThread()
			return
		}
		done <- s.start(cmd, binds) // stays locked: this thread's mounts are not those of the process, so it ends here
	}()
	return <-done
}

func (s *Space) start(cmd *exec.Cmd, binds []Bind) error {
	if err := unix.Setns(s.FD(), unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("enter namespace %s: %w", s.Name, err)
	}
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("make a mount namespace: %w", err)
	}
	// Mounts and unmounts of the machine still come in, so that this process holds on to nothing; none of ours go out.
	if err := unix.Mount("", "/", "", unix.MS_SLAVE|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	if err := unix.Unmount("/sys", unix.MNT_DETACH); err == nil {
		if err := unix.Mount(s.Name, "/sys", "sysfs", 0, ""); err != nil {
			return fmt.Errorf("mount /sys of namespace %s: %w", s.Name, err)
		}
	}
	for _, b := range binds {
		if err := b.mount(); err != nil {
			return fmt.Errorf("put %s in the place of %s: %w", b.From, b.To, err)
		}
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start a program in namespace %s: %w", s.Name, err)
	}
	return nil
}

// mount tries a few times, since somebody who tidies up may take an empty directory away between making and using it.
func (b Bind) mount() error {
	info, err := os.Stat(b.From)
	for range 3 {
		if err != nil {
			return err
		}
		if info.IsDir() {
			err = os.MkdirAll(b.To, 0o755)
		}
		if err == nil {
			err = unix.Mount(b.From, b.To, "", unix.MS_BIND, "")
		}
		if !errors.Is(err, unix.ENOENT) {
			return err
		}
		err = nil
	}
	return unix.ENOENT
}
