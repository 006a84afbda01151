package lab

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"ropeway/internal/lab/netns"
)

// reapTimeout is how long killed processes may take to be gone. The kernel frees their memory meanwhile, on a busy machine slowly.
const reapTimeout = 20 * time.Second

// inhabitants returns the processes that live in one of the namespaces, by the number of their namespace. A process belongs where
// its first thread does; whoever only looked in on another thread is none.
func inhabitants(ids map[uint64]bool) (map[int]uint64, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, fmt.Errorf("list the processes: %w", err)
	}
	found := map[int]uint64{}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		var st unix.Stat_t
		if unix.Stat(filepath.Join("/proc", e.Name(), "ns/net"), &st) != nil {
			continue // it ended, or is a zombie
		}
		if ids[st.Ino] {
			found[pid] = st.Ino
		}
	}
	return found, nil
}

// identities returns the numbers of the named namespaces. A name without a namespace, which a killed Create leaves, has none.
func identities(names []string) (map[uint64]bool, error) {
	ids := map[uint64]bool{}
	for _, name := range names {
		id, err := identity(name)
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			return nil, err
		case id != 0:
			ids[id] = true
		}
	}
	return ids, nil
}

// nsfsMagic is the type of the file system that namespaces are on (NSFS_MAGIC in linux/magic.h).
const nsfsMagic = 0x6e736673

// identity returns the number of a namespace, and 0 where the name is a plain file. Numbers of files of other file systems say
// nothing, and would match any process by chance.
func identity(name string) (uint64, error) {
	s, err := netns.Open(name)
	if err != nil {
		return 0, err
	}
	defer s.Close()
	var st unix.Statfs_t
	if err := unix.Fstatfs(s.FD(), &st); err != nil {
		return 0, fmt.Errorf("look at namespace %s: %w", name, err)
	}
	if st.Type != nsfsMagic {
		return 0, nil
	}
	return s.ID()
}

// kill ends every process that lives in one of the namespaces and waits until none does.
func kill(ctx context.Context, names []string) error {
	ids, err := identities(names)
	if err != nil || len(ids) == 0 {
		return err
	}
	deadline := time.Now().Add(reapTimeout)
	for {
		alive, err := inhabitants(ids)
		if err != nil || len(alive) == 0 {
			return err
		}
		for pid, id := range alive {
			if err := killIn(pid, id); err != nil {
				return err
			}
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%d processes of the lab do not end", len(alive))
		}
		if err := sleep(ctx, 5*time.Millisecond); err != nil {
			return err
		}
	}
}

// killIn ends a process if it still is the one that lives in the namespace: between looking and killing, its number may have
// become somebody else's. A descriptor of the process cannot.
func killIn(pid int, id uint64) error {
	fd, err := unix.PidfdOpen(pid, 0)
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("open process %d: %w", pid, err)
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if unix.Stat(fmt.Sprintf("/proc/%d/ns/net", pid), &st) != nil || st.Ino != id {
		return nil
	}
	if err := unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("kill process %d: %w", pid, err)
	}
	return nil
}
