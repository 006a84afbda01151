package files

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// Secrets is an open directory of mode 0700 with files of mode 0600, all of the user that runs the program. What is otherwise is refused
// rather than mended (ErrExposed, ErrLink, ErrNotRegular, ErrNotDir): what others could read may have been read. Directory and files are opened
// without following links, and what is checked is the open file that is then read. No error repeats what a file holds.
type Secrets struct{ dir *os.File }

// MakeSecrets opens the directory, and makes it where there is none.
func MakeSecrets(path string) (*Secrets, error) {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, err // names the call and the directory
	}
	s, err := OpenSecrets(path)
	if err != nil {
		return nil, err
	}
	if err := SyncDir(filepath.Dir(path)); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// OpenSecrets opens the directory. The error is fs.ErrNotExist where there is none.
func OpenSecrets(path string) (*Secrets, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	switch {
	case errors.Is(err, unix.ELOOP) || errors.Is(err, unix.ENOTDIR): // open(2) gives either for a link
		return nil, fmt.Errorf("open %+q: %w", path, notDir(path))
	case err != nil:
		return nil, fmt.Errorf("open %+q: %w", path, err)
	}
	dir := os.NewFile(uintptr(fd), path)
	if err := private(dir, unix.S_IFDIR); err != nil {
		return nil, errors.Join(err, dir.Close())
	}
	return &Secrets{dir}, nil
}

// notDir says why a path did not open as a directory.
func notDir(path string) error {
	if info, err := os.Lstat(path); err == nil && info.Mode()&os.ModeSymlink != 0 {
		return ErrLink
	}
	return ErrNotDir
}

// Close also ends what Lock began.
func (s *Secrets) Close() error { return s.dir.Close() }

// Lock waits until nobody else, in this process or another one, has the directory locked.
func (s *Secrets) Lock() error {
	for {
		err := unix.Flock(int(s.dir.Fd()), unix.LOCK_EX)
		if err == nil {
			return nil
		}
		if !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("lock %+q: %w", s.dir.Name(), err)
		}
	}
}

// Read returns what a file holds, at most limit bytes. The error is fs.ErrNotExist where there is none.
func (s *Secrets) Read(name string, limit int64) ([]byte, error) {
	path := s.Path(name)
	if !plain(name) {
		return nil, fmt.Errorf("open %+q: %w", path, fs.ErrInvalid)
	}
	// Not blocking, so that a pipe under this name cannot hold the program.
	fd, err := unix.Openat(int(s.dir.Fd()), name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	switch {
	case errors.Is(err, unix.ELOOP):
		return nil, fmt.Errorf("open %+q: %w", path, ErrLink)
	case err != nil:
		return nil, fmt.Errorf("open %+q: %w", path, err)
	}
	f := os.NewFile(uintptr(fd), path)
	defer func() { _ = f.Close() }()
	if err := private(f, unix.S_IFREG); err != nil {
		return nil, err
	}
	return readOpen(f, path, limit)
}

// Create puts a file under a name that nothing has yet, whole and on disk, or not at all; the error is fs.ErrExist where something has
// it. It is written and synced under another name first, then linked. A crash leaves the other one at most, which the next Create
// removes; the lock says that nobody is still writing it.
func (s *Secrets) Create(name string, data []byte) (err error) {
	if !plain(name) {
		return fmt.Errorf("create %+q: %w", s.Path(name), fs.ErrInvalid)
	}
	if err := s.Lock(); err != nil {
		return err
	}
	dir, fresh := int(s.dir.Fd()), "."+name+".new"
	if err := unix.Unlinkat(dir, fresh, 0); err != nil && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("remove what a crash left of %+q: %w", s.Path(name), err)
	}
	fd, err := unix.Openat(dir, fresh, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return fmt.Errorf("create %+q: %w", s.Path(name), err)
	}
	defer func() { err = errors.Join(err, unix.Unlinkat(dir, fresh, 0), s.dir.Sync()) }()
	if err := fill(os.NewFile(uintptr(fd), fresh), data, 0o600); err != nil {
		return fmt.Errorf("write %+q: %w", s.Path(name), err)
	}
	if err := unix.Linkat(dir, fresh, dir, name, 0); err != nil {
		return fmt.Errorf("name %+q: %w", s.Path(name), err)
	}
	return nil
}

// Remove takes a file away for good.
func (s *Secrets) Remove(name string) error {
	if !plain(name) {
		return fmt.Errorf("remove %+q: %w", s.Path(name), fs.ErrInvalid)
	}
	if err := unix.Unlinkat(int(s.dir.Fd()), name, 0); err != nil {
		return fmt.Errorf("remove %+q: %w", s.Path(name), err)
	}
	if err := s.dir.Sync(); err != nil {
		return fmt.Errorf("remove %+q: %w", s.Path(name), err)
	}
	return nil
}

// Path returns where a file stands, for messages.
func (s *Secrets) Path(name string) string { return filepath.Join(s.dir.Name(), name) }

// plain reports whether a name stays in the directory.
func plain(name string) bool {
	return name != "" && name != "." && name != ".." && !strings.ContainsAny(name, "/\x00")
}

// private refuses an open file that is not of the kind wanted, ours and nobody else's.
func private(f *os.File, kind uint32) error {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return fmt.Errorf("examine %+q: %w", f.Name(), err)
	}
	me := os.Geteuid()
	switch {
	case st.Mode&unix.S_IFMT != kind:
		return fmt.Errorf("%+q: %w", f.Name(), ErrNotRegular)
	case int(st.Uid) != me:
		return fmt.Errorf("%+q belongs to user %d, and this program runs as user %d: %w", f.Name(), st.Uid, me, ErrExposed)
	case st.Mode&0o077 != 0:
		return fmt.Errorf("%+q has mode %04o: %w", f.Name(), st.Mode&0o7777, ErrExposed)
	}
	return nil
}

// ReadSecret returns what a file of mode 0600 holds, at most limit bytes, wherever it stands: a key that somebody keeps where he likes.
func ReadSecret(path string, limit int64) ([]byte, error) {
	f, err := open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	if err := private(f, unix.S_IFREG); err != nil {
		return nil, err
	}
	return readOpen(f, path, limit)
}
