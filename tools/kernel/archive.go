package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// An archive is in cpio's "newc" format, which is what the kernel unpacks (Documentation/driver-api/early-userspace/buffer-format.rst): headers of hexadecimal
// numbers, everything aligned to 4 bytes.
type archive struct {
	buf   bytes.Buffer
	inode int
	made  map[string]bool
}

// copy adds a file of this machine where it is here, and the directories that it is in.
func (a *archive) copy(path string) error { return a.file(path, path) }

// file adds a file of this machine under a name, once, and the directories that it is in.
func (a *archive) file(name, from string) error {
	if name = merged(name); a.made[name] {
		return nil
	}
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	a.content(name, data)
	return nil
}

// content adds a program with that content, and the directories that it is in.
func (a *archive) content(name string, data []byte) {
	a.directory(filepath.Dir(name))
	a.made[name] = true
	a.add(name, unix.S_IFREG|0o755, data)
}

// directory adds a directory, once, and those that it is in.
func (a *archive) directory(name string) {
	if name == "/" || a.made[name] {
		return
	}
	a.directory(filepath.Dir(name))
	a.made[name] = true
	a.add(name, unix.S_IFDIR|0o755, nil)
}

// merged returns where a file is on a machine whose /bin, /sbin and /lib are links into /usr, as Debian's are and the virtual one's.
func merged(path string) string {
	for _, top := range topLinks() {
		if strings.HasPrefix(path, "/"+top+"/") {
			return "/usr" + path
		}
	}
	return path
}

// topLinks are the directories of the root that are links to those of the same name below /usr.
func topLinks() []string { return []string{"bin", "sbin", "lib", "lib64"} }

// link adds a symbolic link.
func (a *archive) link(name, to string) { a.add(name, unix.S_IFLNK|0o777, []byte(to)) }

// add adds an entry. Names in an archive have no slash in front.
func (a *archive) add(name string, mode uint32, data []byte) {
	name = strings.TrimPrefix(name, "/")
	a.inode++
	fmt.Fprintf(&a.buf, "070701%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X",
		a.inode, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name)+1, 0)
	a.buf.WriteString(name + "\x00")
	a.pad()
	a.buf.Write(data)
	a.pad()
}

func (a *archive) pad() {
	for a.buf.Len()%4 != 0 {
		a.buf.WriteByte(0)
	}
}

// end returns the archive.
func (a *archive) end() []byte {
	a.add("TRAILER!!!", 0, nil)
	return a.buf.Bytes()
}
