package frr

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"ropeway/internal/files"
)

// toldFile holds the lines that the daemons were told, and which processes they were. Passwords are not in it.
func (d *Daemon) toldFile() string { return filepath.Join(d.dir, "told") }

// mostTold bounds what is read of it, in bytes: a gateway with 100,000 prefixes stays below.
const mostTold = 64 << 20

// What the first line of the file says of those below.
const (
	surely  = "told"
	perhaps = "telling" // all the lines, or some of them and some of before
)

// A told is what the daemons were told, as far as anybody knows.
type told struct {
	lines []line // nothing where bgpd is another than the one that was told
	sure  bool   // all of them were taken, and nothing else is there
	same  bool   // the daemons are all those that were told
	ofBGP bool   // bgpd is
}

// router returns the context of bgpd's lines.
func (t *told) router() string {
	for _, l := range t.lines {
		if strings.HasPrefix(l.context, routerWord) {
			context, _, _ := strings.Cut(l.context, separator)
			return context
		}
	}
	return ""
}

// told reads what the daemons that run were told.
func (d *Daemon) told() (*told, error) {
	data, err := files.Read(d.toldFile(), mostTold)
	if errors.Is(err, fs.ErrNotExist) {
		return &told{}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read what FRR was told: %w", err)
	}
	head, rest, _ := strings.Cut(string(data), "\n")
	words := strings.Split(head, "\t")
	if len(words) != 1+len(daemons()) {
		return &told{}, nil
	}
	t := &told{sure: words[0] == surely, same: true}
	for i, name := range daemons() {
		is := words[1+i] == d.incarnation(name)
		t.same = t.same && is
		t.ofBGP = is // it is the last
	}
	if !t.ofBGP {
		return &told{}, nil
	}
	for l := range strings.Lines(rest) {
		parts := strings.Split(strings.TrimSuffix(l, "\n"), "\t")
		if len(parts) != 5 {
			return &told{}, nil
		}
		t.lines = append(t.lines, line{parts[0], parts[1], parts[2], parts[3], parts[4]})
	}
	return t, nil
}

// remember keeps what the daemons are told, for whoever asks next. Before it is known that they took it, lines that they have beside it are kept as well: they are to go.
func (d *Daemon) remember(s *script, sure bool) error {
	state, lines := surely, s.lines
	if !sure {
		before, err := d.told()
		if err != nil {
			return err
		}
		_, gone := difference(before.lines, s.lines)
		state, lines = perhaps, append(reversed(gone), s.lines...)
	}
	var b strings.Builder
	b.WriteString(state)
	for _, name := range daemons() {
		b.WriteString("\t" + d.incarnation(name))
	}
	b.WriteString("\n")
	for _, l := range lines {
		b.WriteString(strings.Join([]string{l.context, l.set, l.unset, l.key, l.mark}, "\t") + "\n")
	}
	if err := files.Hand(d.toldFile(), []byte(b.String()), 0o600); err != nil {
		return fmt.Errorf("keep what FRR is told: %w", err)
	}
	return nil
}

// incarnation names the process that runs as a daemon: another that comes after it knows nothing of what this one was told.
func (d *Daemon) incarnation(name string) string {
	pid := d.pid(name)
	return fmt.Sprintf("%s %d %s", name, pid, born(pid))
}
