package main

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	ropewayv1 "ropeway/api/ropeway/v1"
	"ropeway/internal/files"
)

func newBackupCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "backup FILE",
		Short: "Keep everything that the fabric cannot be without, encrypted",
		Long: `Backup writes a file out of which "ropewayd restore" makes a controller again: revisions, members, tokens, and the authority with its keys, as they are at
one moment. The controller encrypts it for the keys that it was started with (ropewayd serve --backup-recipient), so neither this machine nor a stolen
certificate can read it. FILE must not exist; it is there when all of it is.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return talk(cmd, func(r *remote) error {
				size, err := backUp(cmd, r, args[0])
				if err != nil {
					return err
				}
				return say(cmd, "%s holds the fabric, encrypted, in %d bytes. It was not read again: try it with ropewayd restore before you need it.\n", args[0], size)
			})
		},
	}
}

// backUp writes beside the file first, and gives it its name at the end.
func backUp(cmd *cobra.Command, r *remote, path string) (size int64, err error) {
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		return 0, unwritable("backup", fmt.Errorf("make %s: %w", path, fs.ErrExist))
	}
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*") // mode 0600
	if err != nil {
		return 0, unwritable("backup", err)
	}
	defer func() { err = errors.Join(err, ignoreGone(os.Remove(f.Name()))) }()
	defer func() { _ = f.Close() }()
	w := &summed{to: f, sum: sha256.New()}
	if err := receive(cmd, r, w); err != nil {
		return 0, err
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return 0, unwritable("backup", err)
	}
	if err := unix.Renameat2(unix.AT_FDCWD, f.Name(), unix.AT_FDCWD, path, unix.RENAME_NOREPLACE); err != nil {
		return 0, unwritable("backup", fmt.Errorf("name %s: %w", path, err))
	}
	if err := files.SyncDir(filepath.Dir(path)); err != nil {
		return 0, unwritable("backup", err)
	}
	return w.size, nil
}

func ignoreGone(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// receive takes what the controller sends, and holds it against the sum at its end.
func receive(cmd *cobra.Command, r *remote, w *summed) error {
	stream, err := r.cluster.Backup(cmd.Context(), &ropewayv1.BackupRequest{})
	if err != nil {
		return err
	}
	defer func() { _ = stream.Close() }()
	var sum []byte
	for stream.Receive() {
		if _, err := w.Write(stream.Msg().Data); err != nil {
			return unwritable("backup", err)
		}
		sum = stream.Msg().Sum
	}
	if err := stream.Err(); err != nil {
		return err
	}
	if !bytes.Equal(sum, w.sum.Sum(nil)) {
		return problem("RW7227", "backup", "the controller did not send all of it", "try again")
	}
	return nil
}

// summed is a writer that knows what was written.
type summed struct {
	to   io.Writer
	sum  hash.Hash
	size int64
}

// Write implements io.Writer.
func (s *summed) Write(data []byte) (int, error) {
	_, _ = s.sum.Write(data) // never fails (package hash)
	s.size += int64(len(data))
	return s.to.Write(data)
}
