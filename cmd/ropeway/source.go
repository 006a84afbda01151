package main

import (
	"bytes"
	"errors"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"ropeway/internal/compile"
	"ropeway/internal/console"
	"ropeway/internal/diag"
	"ropeway/internal/files"
	"ropeway/internal/intent"
	"ropeway/internal/plan"
	"ropeway/internal/state"
)

// How much of a file is read, in bytes. A fabric of 1,000 gateways and 10,000 prefixes is below 1 MiB; its lock file holds it
// once more and some 200 bytes for each gateway.
const (
	maxFabricFile = 16 << 20
	maxLockFile   = 64 << 20
)

// A source is a fabric file, what it means, and what is remembered of it.
type source struct {
	file     string
	text     []byte
	intent   *intent.Fabric
	lockFile string
	lock     *state.Lock // nil: there is no lock file yet
}

// readFabric reads a fabric file and prints its warnings.
func readFabric(cmd *cobra.Command, file string) (*source, error) {
	text, err := files.Read(file, maxFabricFile)
	if err != nil {
		return nil, unreadable("fabric file", err)
	}
	in, problems := intent.Read(file, text)
	if in == nil {
		return nil, problems
	}
	w := cmd.ErrOrStderr()
	return &source{file: file, text: text, intent: in}, console.Print(w, styleOf(cmd, w), problems)
}

// readSource reads a fabric file and its lock file, which need not exist. An empty lockFile means the one beside the file.
func readSource(cmd *cobra.Command, file, lockFile string) (*source, error) {
	src, err := readFabric(cmd, file)
	if err != nil {
		return nil, err
	}
	return src, src.readLock(lockFile)
}

// readLock reads the lock file of a fabric file. An empty name means the one beside the file.
func (s *source) readLock(lockFile string) (err error) {
	if s.lockFile = lockFile; lockFile == "" {
		s.lockFile = lockBeside(s.file)
	}
	s.lock, err = readLock(s.lockFile)
	if err == nil && s.lock != nil && s.lock.Fabric != s.intent.Name {
		err = problem("RW6010", "lock file "+s.lockFile, "it belongs to fabric "+s.lock.Fabric+", and "+s.file+" is fabric "+s.intent.Name,
			"name the right one with --lock; where the fabric was renamed, change the name in the lock file, too")
	}
	return err
}

// compile returns the plan, and the lock that holds what the plan allocated.
func (s *source) compile() (*plan.Fabric, *state.Lock) { return compile.Compile(s.intent, s.lock) }

// lockBeside returns the name of the lock file of a fabric file: the extension replaced by ".lock.json".
func lockBeside(file string) string {
	return strings.TrimSuffix(file, filepath.Ext(file)) + ".lock.json"
}

func readLock(path string) (*state.Lock, error) {
	data, err := files.Read(path, maxLockFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, unreadable("lock file", err)
	}
	return state.Parse(path, data)
}

// remember returns the lock to change, and makes it where there is none yet.
func (s *source) remember() *state.Lock {
	if s.lock == nil {
		s.lock = &state.Lock{Fabric: s.intent.Name, Places: map[string]int{}}
	}
	if s.lock.Gateways == nil {
		s.lock.Gateways = map[string]state.Gateway{}
	}
	return s.lock
}

// changeLock runs a change on a source and writes its lock where the change made it another. Commands that do so at the same time
// do so one after the other.
func changeLock(cmd *cobra.Command, file, lockFile string, change func(*source) error) (err error) {
	release, err := files.Hold(file)
	if err != nil {
		return unreadable("fabric file", err)
	}
	defer func() { err = errors.Join(err, release()) }()
	src, err := readSource(cmd, file, lockFile)
	if err != nil {
		return err
	}
	was, err := encoded(src.lock)
	if err != nil {
		return err
	}
	if err := change(src); err != nil {
		return err
	}
	now, err := encoded(src.lock)
	if err != nil || bytes.Equal(was, now) {
		return err
	}
	if err := files.Replace(src.lockFile, now, 0o644); err != nil {
		return unwritable("lock file", err)
	}
	return nil
}

// encoded returns the text of a lock, and nothing for none.
func encoded(lock *state.Lock) ([]byte, error) {
	if lock == nil {
		return nil, nil
	}
	return lock.Encode()
}

// unreadable explains why a file that was named cannot be read.
func unreadable(what string, err error) diag.Problem {
	hint := "check the name and the permissions"
	switch {
	case errors.Is(err, files.ErrLink):
		hint = "name the file itself rather than a link to it"
	case errors.Is(err, files.ErrTooLarge), errors.Is(err, files.ErrNotRegular):
		hint = "is this the file that you meant?"
	}
	return problem("RW6002", what, err.Error(), hint)
}

// unwritable explains why a file or directory cannot be written.
func unwritable(what string, err error) diag.Problem {
	hint := "check the directory and its permissions; nothing was changed"
	switch {
	case errors.Is(err, fs.ErrExist):
		hint = "move it away first; Ropeway never overwrites it"
	case errors.Is(err, files.ErrLink), errors.Is(err, files.ErrNotRegular):
		hint = "name a plain file or directory"
	}
	return problem("RW6003", what, err.Error(), hint)
}

// lockFlag adds --lock.
func lockFlag(cmd *cobra.Command) *string {
	return cmd.Flags().String("lock", "", "lock file (default: FILE with its extension replaced by .lock.json)")
}

// oneFile is the completion of commands that take a fabric file first.
func oneFile(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return []string{"yaml", "yml"}, cobra.ShellCompDirectiveFilterFileExt
}
