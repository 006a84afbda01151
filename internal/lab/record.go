package lab

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"ropeway/internal/diag"
	"ropeway/internal/fabric"
	"ropeway/internal/files"
	"ropeway/internal/lab/world"
	"ropeway/internal/plan"
)

// Dir holds a directory per lab. It is on a file system that a reboot empties, as the lab itself does not survive one.
const Dir = "/run/ropeway-lab"

const recordName = "lab.json"

// maxRecord bounds what is read of a record, in bytes. A lab of 100 gateways has one of about 10 MB.
const maxRecord = 256 << 20

// A record is what a lab keeps of itself on disk.
type record struct {
	Name    string       `json:"name"`
	Phase   Phase        `json:"phase"`
	File    string       `json:"file"`   // where the fabric file was, for people
	Source  string       `json:"source"` // its text
	Plan    *plan.Fabric `json:"plan"`   // what the agents were given
	World   *world.World `json:"world"`
	Faults  []Fault      `json:"faults"` // active ones, oldest first
	Counter int          `json:"counter"`

	// Programs: the agent, ropeway where it was found, and of a lab with controllers ropewayd.
	Agent      string `json:"agent"`
	Controller string `json:"controller,omitempty"`
	Command    string `json:"command,omitempty"`

	Places   []string `json:"places,omitempty"`   // that have a controller; none: plans are files
	Revision uint64   `json:"revision,omitempty"` // of the controllers, that Source and Plan are of
}

// A Phase is how far a lab has come.
type Phase string

// The phases of a lab.
const (
	Building Phase = "building" // or what is left of an attempt that was killed
	Running  Phase = "running"
)

// home is the directory of a lab.
func home(lab string) string { return filepath.Join(Dir, lab) }

// checkName refuses what cannot be a lab's name before it becomes part of any path.
func checkName(lab string) error {
	if !fabric.ValidName(lab) {
		return problem("RW5002", "lab "+diag.Quote(lab), "not a name for a lab", "use lower-case letters, digits and dashes, at most 63 of them")
	}
	return nil
}

// write replaces the record on disk, all or nothing.
func (r *record) write() error {
	data, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("encode the record of lab %s: %w", r.Name, err)
	}
	return files.Replace(filepath.Join(home(r.Name), recordName), data, 0o600)
}

// readRecord returns the record of a lab, or RW5003 where there is no such lab.
func readRecord(lab string) (*record, error) {
	if err := checkName(lab); err != nil {
		return nil, err
	}
	data, err := files.Read(filepath.Join(home(lab), recordName), maxRecord)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, missingLab(lab)
	}
	if err != nil {
		return nil, needsRoot(lab, err)
	}
	var r record
	if err := json.Unmarshal(data, &r); err != nil {
		return nil, fmt.Errorf("read the record of lab %s: %w", lab, err)
	}
	return &r, nil
}

func missingLab(lab string) error {
	return problem("RW5003", "lab "+lab, "there is no such lab", "ropeway lab up FILE makes one; ropeway lab list shows those there are")
}

// needsRoot explains an error of permissions; others come through as they are.
func needsRoot(lab string, err error) error {
	if !errors.Is(err, fs.ErrPermission) {
		return err
	}
	return problem("RW5006", strings.TrimSpace("lab "+lab), "a lab is made of network namespaces, and only root makes and enters those", "run the command as root")
}

// inside opens a lab's machines for a look, beside others who look, and closes them again.
func (l *Lab) inside(look func(*site) error) (err error) {
	release, err := hold(l.Name, unix.LOCK_SH)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, release()) }()
	st, err := openSite(l.Name, l.record.World)
	if err != nil {
		return err
	}
	defer st.Close()
	return look(st)
}

// hold takes the lock of a lab, alone or shared, until release. It returns RW5004 where somebody else's hold forbids it, and an
// error that is fs.ErrNotExist where the lab has no directory.
func hold(lab string, how int) (release func() error, err error) {
	d, err := os.OpenFile(home(lab), os.O_RDONLY|unix.O_NOFOLLOW|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, needsRoot(lab, fmt.Errorf("lock lab %s: %w", lab, err))
	}
	err = tryFlock(int(d.Fd()), how)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return nil, joinClose(problem("RW5004", "lab "+lab, "another command is at work on it", "wait for it, or stop it"), d)
	}
	if err != nil {
		return nil, joinClose(fmt.Errorf("lock lab %s: %w", lab, err), d)
	}
	return d.Close, nil
}

// lockPatience is how long a lock is waited for. Other commands hold it for longer; a process that is just being started holds a copy
// of every descriptor until it has become another program.
const lockPatience = 2 * time.Second

func tryFlock(fd, how int) error {
	deadline := time.Now().Add(lockPatience)
	for {
		err := unix.Flock(fd, how|unix.LOCK_NB)
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) || time.Now().After(deadline) {
			return err
		}
		time.Sleep(pollInterval)
	}
}

// List returns the names of the labs there are, whatever their phase, in order.
func List() ([]string, error) {
	entries, err := os.ReadDir(Dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, needsRoot("", fmt.Errorf("list the labs: %w", err))
	}
	var names []string
	for _, e := range entries {
		if e.IsDir() && fabric.ValidName(e.Name()) {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

func problem(code diag.Code, subject, message, hint string) diag.Problem {
	return diag.Problem{Code: code, Severity: diag.Error, Subject: subject, Message: message, Hint: hint}
}
