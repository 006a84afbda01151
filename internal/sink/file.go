package sink

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"ropeway/internal/diag"
	"ropeway/internal/files"
)

// A File is a file of JSON lines that grows. Rotating it is for others (logrotate): who renamed it says so with Reopen.
type File struct {
	path  string
	f     *os.File // nil: not open
	stale atomic.Bool
}

// NewFile returns a sink that appends to a file. One that it makes has mode 0600; one that is there keeps its mode.
func NewFile(path string) *File { return &File{path: path} }

// Name implements Sink.
func (*File) Name() string { return "file" }

// Reopen has the path opened anew before the next event. Any goroutine may call it.
func (s *File) Reopen() { s.stale.Store(true) }

// Send implements Sink: what it took is on disk.
func (s *File) Send(_ context.Context, events []Event) error {
	if s.stale.Swap(false) {
		_ = s.Close() // everything in it was synced
	}
	if s.f == nil {
		if err := s.open(); err != nil {
			return err
		}
	}
	var all []byte
	for _, e := range events {
		all = append(append(all, e.Line...), '\n')
	}
	if _, err := s.f.Write(all); err != nil {
		return errors.Join(fmt.Errorf("write the audit file: %w", err), s.Close())
	}
	if err := s.f.Sync(); err != nil { // nobody knows what a disk kept whose fsync failed: write it again
		return errors.Join(fmt.Errorf("write the audit file: %w", err), s.Close())
	}
	return nil
}

// open begins a new line where a crash left half of one.
func (s *File) open() error {
	f, err := os.OpenFile(s.path, os.O_RDWR|os.O_APPEND|os.O_CREATE|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0o600)
	if errors.Is(err, unix.ELOOP) {
		return fmt.Errorf("open the audit file %s: %w", diag.Quote(s.path), files.ErrLink)
	}
	if err != nil {
		return fmt.Errorf("open the audit file: %w", err)
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = files.ErrNotRegular
	}
	if err == nil {
		err = endLine(f, info.Size())
	}
	if err != nil {
		return errors.Join(fmt.Errorf("open the audit file %s: %w", diag.Quote(s.path), err), f.Close())
	}
	s.f = f
	return nil
}

func endLine(f *os.File, size int64) error {
	if size == 0 {
		return nil
	}
	var last [1]byte
	if _, err := f.ReadAt(last[:], size-1); err != nil && err != io.EOF {
		return err
	}
	if last[0] == '\n' {
		return nil
	}
	_, err := f.WriteString("\n")
	return err
}

// Close implements Sink.
func (s *File) Close() error {
	if s.f == nil {
		return nil
	}
	f := s.f
	s.f = nil
	return f.Close()
}
