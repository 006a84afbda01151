// Package identity keeps private keys in files: those of a gateway, one per device, made on the gateway, which never leave it; and
// those that a person makes for gateways without an agent.
//
// A key file is DIR/NAME.key, of mode 0600, in a directory of mode 0700; both belong to the user that runs the program. Anything
// else is refused rather than mended: a key that others could read may have been read. Directory and file are opened without
// following links, and what is checked is the open file that is then read. A new file appears under its name whole and on disk,
// or not at all, and never takes the place of another.
package identity

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"

	"golang.org/x/sys/unix"

	"ropeway/internal/diag"
	"ropeway/internal/fabric"
	"ropeway/internal/key"
)

// What can be wrong with a key file; see docs/errors.md.
const (
	codeExposed  diag.Code = "RW4006" // mode, owner or kind of file or directory
	codeNotAKey  diag.Code = "RW4007" // content
	codeNoAccess diag.Code = "RW4014" // cannot be opened or written
)

// ErrMissing is returned by Load where there is no key yet. Test with errors.Is.
var ErrMissing = errors.New("there is no private key yet")

// device is what an interface of Ropeway's is called.
var device = regexp.MustCompile(`^rw[a-z0-9]{1,13}$`)

// A Store is a directory of key files. The zero value is not usable.
type Store struct {
	dir   string
	names func(string) bool // what may name a key: nothing that leaves the directory
}

// In returns the store of an agent's devices below a state directory: STATE/keys. It touches nothing.
func In(state string) Store { return Store{filepath.Join(state, "keys"), device.MatchString} }

// At returns the store of a person in a directory of his choice, where gateways name keys. It touches nothing.
func At(dir string) Store { return Store{dir, fabric.ValidName} }

// Path returns where a key stands.
func (s Store) Path(name string) string { return filepath.Join(s.dir, name+".key") }

// Load returns the key of that name, or ErrMissing.
func (s Store) Load(name string) (key.Private, error) {
	if !s.names(name) {
		return key.Private{}, fmt.Errorf("load a private key: %s is no name for one", diag.Quote(name))
	}
	dir, err := s.open()
	if errors.Is(err, fs.ErrNotExist) {
		return key.Private{}, fmt.Errorf("load %s: %w", s.Path(name), ErrMissing)
	}
	if err != nil {
		return key.Private{}, err
	}
	defer func() { _ = dir.Close() }()
	return s.load(dir, name)
}

// LoadOrMake returns the key of that name, and makes one where there is none. Two that do so at once get the same key.
func (s Store) LoadOrMake(name string) (key.Private, error) {
	k, err := s.Load(name)
	if !errors.Is(err, ErrMissing) {
		return k, err
	}
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return key.Private{}, s.problem(codeNoAccess, s.dir, "cannot be made", err)
	}
	dir, err := s.open()
	if err != nil {
		return key.Private{}, err
	}
	defer func() { _ = dir.Close() }()
	made, err := key.NewPrivate()
	if err != nil {
		return key.Private{}, err
	}
	if err := s.write(dir, name, made); err != nil && !errors.Is(err, fs.ErrExist) {
		return key.Private{}, s.problem(codeNoAccess, s.Path(name), "cannot be written", err)
	}
	return s.load(dir, name) // what is on disk, whoever was first
}

// open returns the directory, checked.
func (s Store) open() (*os.File, error) {
	fd, err := unix.Open(s.dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	switch {
	case errors.Is(err, unix.ELOOP) || errors.Is(err, unix.ENOTDIR):
		return nil, s.problem(codeExposed, s.dir, "is a link or no directory", nil)
	case err != nil:
		return nil, s.problem(codeNoAccess, s.dir, "cannot be opened", err)
	}
	dir := os.NewFile(uintptr(fd), s.dir)
	if err := s.private(dir, unix.S_IFDIR); err != nil {
		return nil, errors.Join(err, dir.Close())
	}
	return dir, nil
}

// maxFile is more than a key and its end of line take, in bytes.
const maxFile = 64

func (s Store) load(dir *os.File, name string) (key.Private, error) {
	path := s.Path(name)
	// Not blocking, so that a pipe under this name cannot hold the agent.
	fd, err := unix.Openat(int(dir.Fd()), name+".key", unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	switch {
	case errors.Is(err, unix.ENOENT):
		return key.Private{}, fmt.Errorf("load %s: %w", path, ErrMissing)
	case errors.Is(err, unix.ELOOP):
		return key.Private{}, s.problem(codeExposed, path, "is a symbolic link", nil)
	case err != nil:
		return key.Private{}, s.problem(codeNoAccess, path, "cannot be opened", err)
	}
	f := os.NewFile(uintptr(fd), path)
	defer func() { _ = f.Close() }()
	if err := s.private(f, unix.S_IFREG); err != nil {
		return key.Private{}, err
	}
	data, err := io.ReadAll(io.LimitReader(f, maxFile))
	if err != nil {
		return key.Private{}, s.problem(codeNoAccess, path, "cannot be read", err)
	}
	defer clear(data)
	k, err := key.ParsePrivate(string(bytes.TrimSpace(data)))
	if err != nil {
		return key.Private{}, s.problem(codeNotAKey, path, "does not hold a WireGuard key", nil) // never its content
	}
	return k, nil
}

// private reports whether an open file is of the kind wanted, ours and nobody else's.
func (s Store) private(f *os.File, kind uint32) error {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return s.problem(codeNoAccess, f.Name(), "cannot be examined", err)
	}
	me := os.Geteuid()
	switch {
	case st.Mode&unix.S_IFMT != kind:
		return s.problem(codeExposed, f.Name(), "is not of the right kind", nil)
	case int(st.Uid) != me:
		return s.problem(codeExposed, f.Name(), fmt.Sprintf("belongs to user %d, and this program runs as user %d", st.Uid, me), nil)
	case st.Mode&0o077 != 0:
		return s.problem(codeExposed, f.Name(), fmt.Sprintf("has mode %04o: others may use it", st.Mode&0o7777), nil)
	}
	return nil
}

// write puts a key under its name if nothing has that name: written and synced under another one first, then linked. A crash
// leaves the other one at most, which the next write removes; the lock on the directory says that nobody is still writing it.
func (s Store) write(dir *os.File, name string, k key.Private) (err error) {
	if err := unix.Flock(int(dir.Fd()), unix.LOCK_EX); err != nil { // ends when dir is closed
		return fmt.Errorf("lock the directory: %w", err)
	}
	fresh := "." + name + ".key.new"
	if err := unix.Unlinkat(int(dir.Fd()), fresh, 0); err != nil && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("remove what a crash left: %w", err)
	}
	flags := unix.O_WRONLY | unix.O_CREAT | unix.O_EXCL | unix.O_NOFOLLOW | unix.O_CLOEXEC
	fd, err := unix.Openat(int(dir.Fd()), fresh, flags, 0o600)
	if err != nil {
		return fmt.Errorf("create the file: %w", err)
	}
	defer func() { err = errors.Join(err, unix.Unlinkat(int(dir.Fd()), fresh, 0), dir.Sync()) }()
	if err := fill(os.NewFile(uintptr(fd), fresh), k); err != nil {
		return err
	}
	if err := unix.Linkat(int(dir.Fd()), fresh, int(dir.Fd()), name+".key", 0); err != nil {
		return fmt.Errorf("name the file: %w", err)
	}
	return nil
}

func fill(f *os.File, k key.Private) error {
	secret := k.Reveal()
	text := base64.StdEncoding.AppendEncode(nil, secret[:])
	text = append(text, '\n')
	defer clear(text)
	defer clear(secret[:])
	_, err := f.Write(text)
	return errors.Join(err, f.Chmod(0o600), f.Sync(), f.Close())
}

func (s Store) problem(code diag.Code, path, what string, cause error) error {
	hint := map[diag.Code]string{
		codeExposed:  "make sure that nobody has read it, then: chown it to this user, chmod 0700 the directory and 0600 the file",
		codeNotAKey:  "restore it from where it was kept, or move it away and have a new key made; a new key has to be made known to the fabric",
		codeNoAccess: "check the directory, its file system and the user that this program runs as",
	}[code]
	p := diag.Problem{Code: code, Severity: diag.Error, Subject: "private key", Message: diag.Quote(path) + " " + what, Hint: hint}
	if cause == nil {
		return p
	}
	return fmt.Errorf("%w: %w", p, cause)
}
