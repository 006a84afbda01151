// Package files reads and writes the few files that people hand to Ropeway or keep for it.
//
// Every file is opened once, by a descriptor that follows no link in the last part of its name, and what is checked is what is
// then used. Reading is bounded and takes regular files only, so that neither a device nor a pipe stalls a command. Writing is
// all or nothing: another process sees the old content or the new one, also after a power cut.
package files

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// What a file can be that is not taken. Test with errors.Is; the errors of package io/fs come through as they are.
var (
	ErrLink       = errors.New("it is a symbolic link")
	ErrNotRegular = errors.New("it is not a regular file")
	ErrNotDir     = errors.New("it is not a directory")
	ErrTooLarge   = errors.New("it is too large")
	ErrExposed    = errors.New("others may use it")
)

// Read returns the content of a regular file of at most limit bytes.
func Read(path string, limit int64) ([]byte, error) {
	f, err := open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readOpen(f, path, limit)
}

// open never blocks, so that a pipe without a writer cannot hold a command.
func open(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if errors.Is(err, unix.ELOOP) {
		return nil, fmt.Errorf("read %s: %w", path, ErrLink)
	}
	if err != nil {
		return nil, err // names the call and the file
	}
	return f, nil
}

func readOpen(f *os.File, path string, limit int64) ([]byte, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("read %s: %w", path, ErrNotRegular)
	}
	data, err := io.ReadAll(io.LimitReader(f, limit+1)) // the size in info may be stale by now
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	if int64(len(data)) > limit {
		return nil, fmt.Errorf("read %s: %w: more than %d bytes", path, ErrTooLarge, limit)
	}
	return data, nil
}

// Create writes a file that must not exist yet, and returns an error that is fs.ErrExist where anything, a link included, has
// its name. A failure leaves no file.
func Create(path string, data []byte, mode os.FileMode) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err // names the call and the file
	}
	if err := fill(f, data, mode); err != nil {
		return errors.Join(fmt.Errorf("create %s: %w", path, err), os.Remove(path))
	}
	return SyncDir(filepath.Dir(path))
}

// Replace puts new content in place of a regular file, or makes the file.
func Replace(path string, data []byte, mode os.FileMode) error {
	if err := replace(path, data, mode, fill); err != nil {
		return err
	}
	return SyncDir(filepath.Dir(path))
}

// Hand is Replace for what another process waits for, and can be written again: nothing waits for the disk, so after a power cut the file may be as it was, or
// cut off.
func Hand(path string, data []byte, mode os.FileMode) error {
	return replace(path, data, mode, pour)
}

func replace(path string, data []byte, mode os.FileMode, fill func(*os.File, []byte, os.FileMode) error) error {
	if info, err := os.Lstat(path); err == nil && !info.Mode().IsRegular() {
		return fmt.Errorf("replace %s: %w", path, ErrNotRegular)
	}
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return fmt.Errorf("replace %s: %w", path, err)
	}
	if err := fill(f, data, mode); err != nil {
		return errors.Join(fmt.Errorf("replace %s: %w", path, err), os.Remove(f.Name()))
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return errors.Join(fmt.Errorf("replace %s: %w", path, err), os.Remove(f.Name()))
	}
	return nil
}

// fill writes, syncs and closes.
func fill(f *os.File, data []byte, mode os.FileMode) error {
	_, err := f.Write(data)
	return errors.Join(err, f.Chmod(mode), f.Sync(), f.Close())
}

// pour writes and closes.
func pour(f *os.File, data []byte, mode os.FileMode) error {
	_, err := f.Write(data)
	return errors.Join(err, f.Chmod(mode), f.Close())
}

// SyncDir makes a new name outlive a power cut (fsync(2): syncing a file does not sync the directory that names it).
func SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("sync a directory: %w", err)
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil {
		return fmt.Errorf("sync %s: %w", dir, err)
	}
	return nil
}

// SecretDir makes a directory that only its owner can enter, or accepts one that is so already. It returns ErrLink or ErrExposed
// for one that is not.
func SecretDir(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err // names the call and the directory
	}
	err := os.Mkdir(path, 0o700)
	if err == nil {
		return nil
	}
	info, statErr := os.Lstat(path)
	switch {
	case statErr != nil:
		return err
	case info.Mode()&os.ModeSymlink != 0:
		return fmt.Errorf("directory %s: %w", path, ErrLink)
	case !info.IsDir():
		return err
	case info.Mode().Perm()&0o077 != 0:
		return fmt.Errorf("directory %s: %w", path, ErrExposed)
	}
	return nil
}

// Hold takes an advisory lock on an existing file, so that two commands that read, change and write what belongs to it do so one
// after the other. The lock ends with release, or with the process.
func Hold(path string) (release func() error, err error) {
	f, err := open(path)
	if err != nil {
		return nil, err
	}
	for {
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", path, err), f.Close())
	}
	return f.Close, nil
}
