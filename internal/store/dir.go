package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"ropeway/internal/diag"
	"ropeway/internal/files"
)

const lockName = "store.lock"

// claim makes the data directory, or accepts one that is ours alone, and takes the lock that only one process holds: etcd itself would wait
// for the other one without end. The lock ends with the process, however it ends; its file stays, because a file that is removed and made
// again is two locks.
func claim(dir string) (release func() error, err error) {
	if err := files.SecretDir(dir); err != nil {
		return nil, fmt.Errorf("use the data directory: %w", err)
	}
	info, err := os.Lstat(dir)
	if err != nil {
		return nil, fmt.Errorf("use the data directory: %w", err)
	}
	if st, ok := info.Sys().(*syscall.Stat_t); !ok || int(st.Uid) != os.Geteuid() {
		return nil, fmt.Errorf("use the data directory %s: it belongs to somebody else", diag.Quote(dir))
	}
	path := filepath.Join(dir, lockName)
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock the data directory: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		if errors.Is(err, syscall.EWOULDBLOCK) {
			err = ErrInUse
		}
		return nil, errors.Join(fmt.Errorf("lock %s: %w", diag.Quote(path), err), f.Close())
	}
	return f.Close, nil
}
