// Package identity keeps private keys in files: that of a gateway, made on the gateway, which never leaves it; and those that a
// person makes for gateways without an agent.
//
// A gateway has one key, whatever it has of devices: the file is called after the first device there ever was (Gateway). A device
// that has a file of its own name has that key instead.
//
// A key file is DIR/NAME.key, of mode 0600, in a directory of mode 0700; both belong to the user that runs the program. Anything
// else is refused rather than mended (files.Secrets). A new file appears under its name whole and on disk, or not at all, and never
// takes the place of another.
package identity

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"regexp"

	"ropeway/internal/diag"
	"ropeway/internal/fabric"
	"ropeway/internal/files"
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

// Gateway names the key of a gateway, which all its devices have but those that have one of their own.
const Gateway = "rw0"

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
	dir, err := files.OpenSecrets(s.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return key.Private{}, fmt.Errorf("load %s: %w", s.Path(name), ErrMissing)
	}
	if err != nil {
		return key.Private{}, s.refused(err)
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
	dir, err := files.MakeSecrets(s.dir)
	if err != nil {
		return key.Private{}, s.refused(err)
	}
	defer func() { _ = dir.Close() }()
	made, err := key.NewPrivate()
	if err != nil {
		return key.Private{}, err
	}
	if err := create(dir, name, made); err != nil && !errors.Is(err, fs.ErrExist) {
		return key.Private{}, s.refused(err)
	}
	return s.load(dir, name) // what is on disk, whoever was first
}

// Of returns the key that a device has, its own one or the gateway's, and the name that the key stands under. Where there is neither it returns
// ErrMissing and the name of the gateway's. A file that is there and is no good stands for no other one.
func (s Store) Of(device string) (k key.Private, name string, err error) {
	if k, err = s.Load(device); device == Gateway || !errors.Is(err, ErrMissing) {
		return k, device, err
	}
	k, err = s.Load(Gateway)
	return k, Gateway, err
}

// OfOrMake returns the key that a device has, and makes that of the gateway where there is none.
func (s Store) OfOrMake(device string) (key.Private, error) {
	k, name, err := s.Of(device)
	if !errors.Is(err, ErrMissing) {
		return k, err
	}
	return s.LoadOrMake(name)
}

// maxFile is more than a key and its end of line take, in bytes.
const maxFile = 64

func (s Store) load(dir *files.Secrets, name string) (key.Private, error) {
	data, err := dir.Read(name+".key", maxFile)
	defer clear(data)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return key.Private{}, fmt.Errorf("load %s: %w", s.Path(name), ErrMissing)
	case err != nil && !errors.Is(err, files.ErrTooLarge): // which is no key
		return key.Private{}, s.refused(err)
	}
	k, err := key.ParsePrivate(string(bytes.TrimSpace(data)))
	if err != nil {
		return key.Private{}, problem(codeNotAKey, diag.Quote(s.Path(name))+" does not hold a WireGuard key") // never its content
	}
	return k, nil
}

func create(dir *files.Secrets, name string, k key.Private) error {
	secret := k.Reveal()
	text := base64.StdEncoding.AppendEncode(nil, secret[:])
	text = append(text, '\n')
	defer clear(text)
	defer clear(secret[:])
	return dir.Create(name+".key", text)
}

// refused turns what package files refused into a problem.
func (s Store) refused(err error) error {
	for _, exposed := range []error{files.ErrExposed, files.ErrLink, files.ErrNotRegular, files.ErrNotDir} {
		if errors.Is(err, exposed) {
			return problem(codeExposed, err.Error())
		}
	}
	return fmt.Errorf("%w: %w", problem(codeNoAccess, diag.Quote(s.dir)+" or a key in it cannot be used"), err)
}

func problem(code diag.Code, message string) diag.Problem {
	hint := map[diag.Code]string{
		codeExposed:  "make sure that nobody has read it, then: chown it to this user, chmod 0700 the directory and 0600 the file",
		codeNotAKey:  "restore it from where it was kept, or move it away and have a new key made; a new key has to be made known to the fabric",
		codeNoAccess: "check the directory, its file system and the user that this program runs as",
	}[code]
	return diag.Problem{Code: code, Severity: diag.Error, Subject: "private key", Message: message, Hint: hint}
}
