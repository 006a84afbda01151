// Package tune sets the kernel settings (sysctls) that a plan asks for, and puts back what was there before.
//
// The first time a setting is changed its previous value goes to a state file, and only then is the new one written, so that a crash between
// the two forgets nothing. Remove, and a plan that no longer asks for a setting, restore the previous value, unless somebody has changed
// the setting to a third one meanwhile: then it is theirs.
//
// Settings are opened below /proc/sys without following links and without leaving it, whatever their keys say.
package tune

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"ropeway/internal/diag"
	"ropeway/internal/plan"
)

// Options of a Client. The zero value is what an agent wants.
type Options struct {
	Root  string // default /proc/sys
	State string // file that remembers previous values; default /var/lib/ropeway/sysctls.json
}

// A Change is one setting that has another value than it should.
type Change struct {
	Key  string `json:"key"`
	From string `json:"from"` // "": the setting does not exist
	To   string `json:"to"`
}

// String returns a line such as "net/ipv4/ip_forward: 0 -> 1".
func (c Change) String() string {
	if c.From == "" {
		return c.Key + ": (absent) -> " + c.To
	}
	return c.Key + ": " + c.From + " -> " + c.To
}

// A Client observes and changes settings of the network namespace that its methods are called in. They may be called by several
// goroutines, and wait for each other.
type Client struct {
	opts Options
	mu   sync.Mutex
}

// New returns a Client. It touches nothing.
func New(opts Options) *Client {
	if opts.Root == "" {
		opts.Root = "/proc/sys"
	}
	if opts.State == "" {
		opts.State = "/var/lib/ropeway/sysctls.json"
	}
	return &Client{opts: opts}
}

// Observe returns the present values of the settings that the plan names, in its order. A setting that does not exist has the value "".
func (c *Client) Observe(ctx context.Context, want []plan.Sysctl) ([]plan.Sysctl, error) {
	out := make([]plan.Sysctl, len(want))
	for i, w := range want {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		value, err := c.read(w.Key)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, err
		}
		out[i] = plan.Sysctl{Key: w.Key, Value: value}
	}
	return out, nil
}

// Diff returns the settings that differ, in the order of want. have may have other settings too.
func Diff(want, have []plan.Sysctl) []Change {
	present := make(map[string]string, len(have))
	for _, h := range have {
		present[h.Key] = h.Value
	}
	var changes []Change
	for _, w := range want {
		if present[w.Key] != w.Value {
			changes = append(changes, Change{w.Key, present[w.Key], w.Value})
		}
	}
	return changes
}

// Apply makes the settings what the plan wants, restores those that an earlier plan wanted and this one does not, and returns what it changed. A
// setting that does not exist, or that the kernel refuses, is an error; the others are set all the same.
func (c *Client) Apply(ctx context.Context, want []plan.Sysctl) ([]Change, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	was, err := loadMemory(c.opts.State)
	if err != nil {
		return nil, err
	}
	have, err := c.Observe(ctx, want)
	if err != nil {
		return nil, err
	}
	done, errs := c.restore(was, want)
	changes := slices.DeleteFunc(Diff(want, have), func(change Change) bool {
		err := change.check()
		if err != nil {
			errs = append(errs, err)
		}
		return err != nil
	})
	for _, change := range changes {
		was.remember(change)
	}
	if len(changes)+len(done) > 0 {
		if err := was.save(c.opts.State); err != nil {
			return done, errors.Join(append(errs, err)...)
		}
	}
	for _, change := range changes {
		if err := c.write(change.Key, change.To); err != nil {
			errs = append(errs, err)
			continue
		}
		done = append(done, change)
	}
	return done, errors.Join(errs...)
}

// Remove restores every setting that Apply changed, and forgets.
func (c *Client) Remove(ctx context.Context) ([]Change, error) { return c.Apply(ctx, nil) }

// restore puts back what the plan does not want any more, and takes it out of the memory. What cannot be put back is tried again next time.
func (c *Client) restore(was memory, want []plan.Sysctl) (done []Change, errs []error) {
	for _, k := range was.keys() {
		if slices.ContainsFunc(want, func(w plan.Sysctl) bool { return w.Key == k }) {
			continue
		}
		e := was[k]
		now, err := c.read(k)
		switch {
		case errors.Is(err, os.ErrNotExist): // it went with its interface
		case err != nil:
			errs = append(errs, err)
			continue
		case now == e.Set && now != e.Before:
			if err := c.write(k, e.Before); err != nil {
				errs = append(errs, err)
				continue
			}
			done = append(done, Change{k, now, e.Before})
		}
		delete(was, k)
	}
	return done, errs
}

// The forms of keys and values that plan.Gateway.Validate lets through. They are asked for here again, as this package writes them as root.
var (
	validKey   = regexp.MustCompile(`^net/(ipv4|ipv6|core|netfilter)/[a-z0-9_]+(/[a-z0-9_]+)*$`)
	validValue = regexp.MustCompile(`^-?[0-9]+( -?[0-9]+)*$`)
)

// maxValue bounds what is read of a setting, in bytes.
const maxValue = 4 << 10

func (c *Client) read(key string) (string, error) {
	f, err := c.open(key, unix.O_RDONLY)
	if err != nil {
		return "", fmt.Errorf("read the setting %s: %w", diag.Quote(key), err)
	}
	defer func() { _ = f.Close() }()
	raw, err := io.ReadAll(io.LimitReader(f, maxValue))
	if err != nil {
		return "", fmt.Errorf("read the setting %s: %w", diag.Quote(key), err)
	}
	return strings.Join(strings.Fields(string(raw)), " "), nil
}

// check refuses a change to something that is no number, and of something that is none now and so could not be put back.
func (c Change) check() error {
	if !validValue.MatchString(c.To) || c.From != "" && !validValue.MatchString(c.From) {
		return fmt.Errorf("set %s: its value must be a number, or some in a row, before and after", diag.Quote(c.Key))
	}
	return nil
}

func (c *Client) write(key, value string) error {
	f, err := c.open(key, unix.O_WRONLY)
	if err != nil {
		return fmt.Errorf("set %s: %w", diag.Quote(key), err)
	}
	_, err = f.WriteString(value + "\n")
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("set %s to %s: %w", diag.Quote(key), value, err)
	}
	return nil
}

// open opens a setting. The kernel itself keeps the path below the root and refuses links (openat2, Linux 5.6).
func (c *Client) open(key string, flags uint64) (*os.File, error) {
	if !validKey.MatchString(key) {
		return nil, errors.New("the key of a setting is below net/ and has lower-case letters, digits and underscores only")
	}
	root, err := unix.Open(c.opts.Root, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: c.opts.Root, Err: err}
	}
	defer func() { _ = unix.Close(root) }()
	fd, err := unix.Openat2(root, key, &unix.OpenHow{
		Flags:   flags | unix.O_CLOEXEC | unix.O_NOFOLLOW,
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS,
	})
	if err != nil {
		return nil, plain(err)
	}
	return os.NewFile(uintptr(fd), filepath.Join(c.opts.Root, key)), nil
}

// plain tells what some errors mean here.
func plain(err error) error {
	switch {
	case errors.Is(err, syscall.ENOENT):
		return fmt.Errorf("this kernel or namespace has no such setting: %w", err)
	case errors.Is(err, syscall.ELOOP), errors.Is(err, syscall.EXDEV):
		return fmt.Errorf("the path is a link or leaves the directory of settings: %w", err)
	}
	return err
}
