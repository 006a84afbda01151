package lab

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// A controller has a disk of its own, so that it can run full without the machine's doing so. It is in memory, and goes with the lab.

// diskSize is what a controller's disk holds: etcd keeps two files of its log of 64 MiB each beside the one in which it stores.
const diskSize = "256m"

// makeDisk mounts an empty disk.
func makeDisk(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if err := unix.Mount("ropeway-lab", dir, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "mode=0700,size="+diskSize); err != nil {
		return fmt.Errorf("mount it: %w", err)
	}
	return nil
}

// ballastFile takes what room there is while a disk is to be full.
const ballastFile = "ballast"

// fillDisk leaves no room on a disk.
func fillDisk(dir string) error {
	f, err := os.OpenFile(filepath.Join(dir, ballastFile), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	for _, size := range []int64{1 << 20, 1 << 12} { // to the last page
		if _, err := io.Copy(f, zeros(size)); !errors.Is(err, unix.ENOSPC) {
			return fmt.Errorf("fill %s: %w", dir, err)
		}
	}
	return nil
}

// zeros never ends, and is read in pieces of a size.
type zeros int64

// Read implements io.Reader.
func (z zeros) Read(b []byte) (int, error) {
	n := min(len(b), int(z))
	clear(b[:n])
	return n, nil
}

// freeDisk gives the room back.
func freeDisk(dir string) error {
	if err := os.Remove(filepath.Join(dir, ballastFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// unmountBelow takes away every mount below a directory, the last one first.
func unmountBelow(dir string) error {
	table, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return fmt.Errorf("list the mounts: %w", err)
	}
	lines := strings.Split(string(table), "\n")
	for i := len(lines) - 1; i >= 0; i-- {
		words := strings.Fields(lines[i]) // proc(5): the fifth is where; names of a lab hold nothing that is escaped there
		if len(words) < 5 || !strings.HasPrefix(words[4], dir+"/") {
			continue
		}
		if err := unix.Unmount(words[4], unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW); err != nil && !errors.Is(err, unix.EINVAL) {
			return fmt.Errorf("unmount %s: %w", words[4], err)
		}
	}
	return nil
}
