// Package netns makes, enters and removes named network namespaces.
//
// A namespace belongs to a thread, not to a process, and Go moves goroutines between threads. So everything here that works
// inside a namespace holds on to its thread while it does, and a thread that cannot be brought back is never given back: it
// ends with the goroutine that spoilt it. A socket stays in the namespace that it was made in, whatever its thread does
// afterwards; that is why a probe needs a namespace only for a moment.
//
// Names are files below Dir, as ip-netns(8) keeps them, so every tool finds them.
package netns

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// Dir is where ip-netns(8) keeps names.
const Dir = "/run/netns"

// A Space is an open namespace.
type Space struct {
	Name string
	file *os.File
}

// Create makes a namespace and runs prepare inside it. It returns an error that is fs.ErrExist where the name is taken, and
// leaves nothing where it fails.
func Create(name string, prepare func() error) error {
	f, err := claim(name)
	if err != nil {
		return fmt.Errorf("name a namespace: %w", err)
	}
	if err := f.Close(); err != nil {
		return fmt.Errorf("name a namespace: %w", err)
	}
	err = inThread(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("make namespace %s: %w", name, err)
		}
		if err := unix.Mount(own(), path(name), "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("mount namespace %s: %w", name, err)
		}
		return prepare()
	})
	if err != nil {
		return errors.Join(err, Delete(name))
	}
	return nil
}

// claim makes the file of a name. It tries a few times, since somebody who tidies up may take an empty directory away between
// making and using it.
func claim(name string) (f *os.File, err error) {
	for range 3 {
		if err := os.MkdirAll(Dir, 0o755); err != nil {
			return nil, err
		}
		f, err = os.OpenFile(path(name), os.O_CREATE|os.O_EXCL|unix.O_NOFOLLOW, 0o444)
		if !errors.Is(err, fs.ErrNotExist) {
			break
		}
	}
	return f, err
}

// Open opens a namespace. It returns an error that is fs.ErrNotExist where there is none of that name.
func Open(name string) (*Space, error) {
	f, err := os.OpenFile(path(name), os.O_RDONLY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, fmt.Errorf("open a namespace: %w", err)
	}
	return &Space{name, f}, nil
}

// Close gives up the handle. The namespace stays.
func (s *Space) Close() error { return s.file.Close() }

// FD returns the descriptor of the namespace, open until Close.
func (s *Space) FD() int { return int(s.file.Fd()) }

// ID returns what tells one namespace from another: the inode of its file.
func (s *Space) ID() (uint64, error) {
	var st unix.Stat_t
	if err := unix.Fstat(s.FD(), &st); err != nil {
		return 0, fmt.Errorf("look at namespace %s: %w", s.Name, err)
	}
	return st.Ino, nil
}

// Do runs f on a thread inside the namespace. What f starts on other goroutines runs outside it.
func (s *Space) Do(f func() error) error {
	return inThread(func() error {
		if err := unix.Setns(s.FD(), unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("enter namespace %s: %w", s.Name, err)
		}
		return f()
	})
}

// Delete takes the name away; the namespace goes when its last process has. No such name is no error.
func Delete(name string) error {
	for { // something may have been mounted twice on one name; each turn takes one away
		err := unix.Unmount(path(name), unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
		if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOENT) {
			break // no mount, or no file
		}
		if err != nil {
			return fmt.Errorf("unmount namespace %s: %w", name, err)
		}
	}
	if err := os.Remove(path(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove a namespace: %w", err)
	}
	return nil
}

// List returns the names that begin with prefix, in order.
func List(prefix string) ([]string, error) {
	entries, err := os.ReadDir(Dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list namespaces: %w", err)
	}
	var names []string
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), prefix) {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

func path(name string) string { return filepath.Join(Dir, name) }

// own is the path of the calling thread's namespace.
func own() string { return fmt.Sprintf("/proc/self/task/%d/ns/net", unix.Gettid()) }

// inThread runs f on a thread of its own that may change its namespace, and puts the thread back. It spares the first thread of the
// process: where that one is, others take the whole process to be.
func inThread(f func() error) error {
	runtime.LockOSThread()
	if unix.Gettid() == unix.Getpid() {
		done := make(chan error, 1)
		go func() { done <- inThread(f) }() // on another thread, as this goroutine keeps the first
		err := <-done
		runtime.UnlockOSThread()
		return err
	}
	home, err := os.Open(own())
	if err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("open the thread's namespace: %w", err)
	}
	err = f()
	back := unix.Setns(int(home.Fd()), unix.CLONE_NEWNET)
	if back == nil {
		runtime.UnlockOSThread()
	} // else the thread is lost to this goroutine, and ends with it
	return errors.Join(err, back, home.Close())
}
