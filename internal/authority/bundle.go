package authority

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"ropeway/internal/files"
)

// A Bundle is what makes an authority, to be handed to another controller of the same fabric or put into a backup: the files of its directory
// by name, private keys among them. Whoever has it is the authority. It is behind a function for the reason that sealed is, and does not print or
// marshal.
type Bundle struct{ open func() map[string][]byte }

// Bounds on what a bundle holds; an authority has a handful of small files.
const maxFiles = 16

// Pack reads the bundle of the authority in a directory.
func Pack(dir string) (Bundle, error) {
	d, err := files.OpenSecrets(dir)
	if err != nil {
		return Bundle{}, refused(dir, err)
	}
	defer func() { _ = d.Close() }()
	entries, err := os.ReadDir(dir)
	if err != nil {
		return Bundle{}, refused(dir, err)
	}
	found := map[string][]byte{}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") { // what a crash left
			continue
		}
		data, err := d.Read(e.Name(), maxFile)
		if err != nil {
			return Bundle{}, refused(dir, err)
		}
		found[e.Name()] = data
	}
	return NewBundle(found)
}

// NewBundle makes a bundle of files that Files returned, by name.
func NewBundle(files map[string][]byte) (Bundle, error) {
	b := Bundle{func() map[string][]byte { return files }}
	return b, b.check()
}

// errBundle does not say what is in it.
var errBundle = errors.New("it is no bundle of an authority")

func (b Bundle) check() error {
	held := b.Files()
	if len(held) > maxFiles {
		return errBundle
	}
	for name, data := range held {
		if name == "" || strings.HasPrefix(name, ".") || strings.ContainsAny(name, "/\x00") || len(name) > 64 || len(data) == 0 || len(data) > maxFile {
			return errBundle
		}
	}
	if held[caFile] == nil || held[caKeyFile] == nil {
		return errBundle
	}
	return nil
}

// Files returns what is in the bundle, for the one message or file that carries it, and for nothing else.
func (b Bundle) Files() map[string][]byte {
	if b.open == nil {
		return nil
	}
	return maps.Clone(b.open())
}

// Unpack makes the authority of a bundle in a directory that has none, and returns it. The name is that of its fabric, as for Open. Where the
// directory has the same authority already, it is taken as it is; another one is refused.
func Unpack(dir, name string, b Bundle, now time.Time) (*Authority, error) {
	if err := b.check(); err != nil {
		return nil, fmt.Errorf("unpack an authority: %w", err)
	}
	d, err := files.MakeSecrets(dir)
	if err != nil {
		return nil, refused(dir, err)
	}
	defer func() { _ = d.Close() }()
	held := b.Files()
	names := slices.DeleteFunc(slices.Sorted(maps.Keys(held)), func(n string) bool { return n == caFile })
	for _, file := range append(names, caFile) { // the certificate last: where it is, the others are
		if err := put(d, file, held[file]); err != nil {
			return nil, err
		}
	}
	return store{d, dir}.load(name, now)
}

// put makes a file, or accepts one that holds the same.
func put(d *files.Secrets, file string, data []byte) error {
	err := d.Create(file, data)
	if !errors.Is(err, fs.ErrExist) {
		return known(d, err)
	}
	there, err := d.Read(file, maxFile)
	if err == nil && string(there) != string(data) {
		return problem(codeForeign, d.Path(file), "is there already, and is another authority's")
	}
	return known(d, err)
}

func known(d *files.Secrets, err error) error {
	if err == nil {
		return nil
	}
	return refused(d.Path(""), err)
}

// Exists reports whether a directory has an authority.
func Exists(dir string) bool {
	_, err := os.Lstat(dir + "/" + caFile)
	return err == nil
}

// String returns a placeholder.
func (Bundle) String() string { return redacted }

// Format prints a placeholder for every verb.
func (Bundle) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// MarshalText always fails.
func (Bundle) MarshalText() ([]byte, error) { return nil, errSecret }

// MarshalJSON always fails.
func (Bundle) MarshalJSON() ([]byte, error) { return nil, errSecret }
