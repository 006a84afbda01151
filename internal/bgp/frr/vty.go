package frr

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os/exec"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	// askTimeout bounds one question: 10,000 prefixes are told in 0.2 s.
	askTimeout = 30 * time.Second
	// answerTimeout is how long a daemon that is well may take to take a connection and answer an empty question. It answers none while it reads a long configuration.
	answerTimeout = 10 * time.Second
	// mostAnswer bounds an answer, in bytes: a path takes 1 KiB of JSON, and a neighbour can bring no more prefixes than its plan says.
	mostAnswer = 256 << 20
	// shellTimeout bounds what vtysh does: 10,000 prefixes take a second.
	shellTimeout = 60 * time.Second
)

// ask puts a question to one daemon, as vtysh does (vtysh_client_run in FRR's vtysh/vtysh.c): a command ends with a NUL; an answer with three, and the status.
func (d *Daemon) ask(ctx context.Context, daemon, question string) ([]byte, error) {
	answer, err := d.converse(ctx, askTimeout, daemon, "enable", question)
	if err != nil {
		return nil, fmt.Errorf("ask FRR's %s (%s): %w", daemon, question, err)
	}
	return answer, nil
}

// answers reports whether a daemon takes questions.
func (d *Daemon) answers(ctx context.Context, daemon string) bool {
	_, err := d.converse(ctx, answerTimeout, daemon, "enable")
	return err == nil || ctx.Err() != nil // who is in a hurry knows nothing of it
}

// converse says several things to a daemon and returns its last answer. Each is heard before the next is said.
func (d *Daemon) converse(ctx context.Context, limit time.Duration, daemon string, commands ...string) (answer []byte, err error) {
	err = d.connect(ctx, limit, daemon, func(conn net.Conn, r *bufio.Reader) error {
		for _, command := range commands {
			if _, err := io.WriteString(conn, command+"\x00"); err != nil {
				return err
			}
			if answer, err = readAnswer(r); err != nil {
				return err
			}
		}
		return nil
	})
	return answer, err
}

// connect opens a conversation with a daemon for as long as it takes.
func (d *Daemon) connect(ctx context.Context, limit time.Duration, daemon string, converse func(net.Conn, *bufio.Reader) error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", d.kept(daemon+".vty"))
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Now()) })()
	return converse(conn, bufio.NewReader(io.LimitReader(conn, mostAnswer)))
}

// Statuses of an answer (FRR's lib/command.h).
const (
	statusSuccess = 0
	statusWarning = 1
)

// readAnswer reads one answer. There is no NUL in a text of FRR.
func readAnswer(r *bufio.Reader) ([]byte, error) {
	text, err := r.ReadBytes(0)
	if err != nil {
		return nil, unfinished(err)
	}
	var end [3]byte
	if _, err := io.ReadFull(r, end[:]); err != nil {
		return nil, unfinished(err)
	}
	text = text[:len(text)-1]
	switch {
	case end[0] != 0 || end[1] != 0:
		return nil, errors.New("the answer does not end as one does")
	case end[2] > statusWarning:
		return nil, fmt.Errorf("%w %d: %s", errStatus, end[2], firstLine(string(text)))
	}
	return bytes.Clone(text), nil
}

var errStatus = errors.New("it answers with status")

func unfinished(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// judge has FRR's own reader look at a configuration. It needs no daemon.
func (d *Daemon) judge(ctx context.Context, s *script) error {
	if out, err := d.vtysh(ctx, s.text(), "--dryrun"); err != nil {
		return fmt.Errorf("FRR does not take this configuration: %w: %s", err, out)
	}
	return nil
}

// tell has daemons take lines: vtysh knows which line is whose. Where it is not known what they have, what they are to forget may be forgotten already.
func (d *Daemon) tell(ctx context.Context, text string, forgotten bool) error {
	if text == "" {
		return nil
	}
	if out, err := d.vtysh(ctx, text); err != nil && !(forgotten && errors.Is(err, errRefused)) {
		return fmt.Errorf("configure FRR: %w: %s", err, out)
	}
	return nil
}

// dictate has bgpd take lines that are its alone. All are said at once and the answers heard behind, which with 10,000 of them is five times as fast as vtysh.
func (d *Daemon) dictate(ctx context.Context, text string, forgotten bool) error {
	if text == "" {
		return nil
	}
	commands := []string{"enable", "configure terminal"}
	for l := range strings.Lines(text) {
		if l = strings.TrimSpace(l); l != "!" {
			commands = append(commands, l)
		}
	}
	err := d.connect(ctx, askTimeout, "bgpd", func(conn net.Conn, r *bufio.Reader) error {
		var said errgroup.Group
		said.Go(func() error {
			_, err := io.WriteString(conn, strings.Join(commands, "\x00")+"\x00")
			return err
		})
		err := hear(r, len(commands))
		if err != nil {
			_ = conn.SetDeadline(time.Now()) // nobody listens to the rest
		}
		return cmp.Or(err, said.Wait())
	})
	if err != nil && !(forgotten && errors.Is(err, errRefused)) {
		return fmt.Errorf("configure FRR's bgpd: %w", err)
	}
	return nil
}

// hear reads so many answers. The first complaint is what it returns, when it has heard all.
func hear(r *bufio.Reader, answers int) error {
	var refused error
	for range answers {
		answer, err := readAnswer(r)
		if err != nil && !errors.Is(err, errStatus) {
			return err
		}
		if c := complaint(answer); c != "" {
			err = errors.New(c)
		}
		if err != nil && refused == nil {
			refused = fmt.Errorf("%w: %w", errRefused, err)
		}
	}
	return refused
}

var errRefused = errors.New("a line was refused")

// vtysh has FRR's shell read lines, which are in no file, since passwords may be among them. It returns the first complaint, and with it an error.
func (d *Daemon) vtysh(ctx context.Context, text string, flags ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, shellTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, "vtysh", append(flags, "--vty_socket", d.kept(""), "-f", "/dev/stdin")...)
	cmd.Env = []string{"PATH=/usr/bin:/bin"}
	cmd.Dir, cmd.Stdin = "/", strings.NewReader(text)
	out, err := cmd.CombinedOutput()
	if c := complaint(out); c != "" && ctx.Err() == nil {
		return c, errRefused
	}
	return firstLine(string(out)), err
}

// complaint returns the first thing that an answer complains of, or "".
func complaint(answer []byte) string {
	i := bytes.Index(answer, []byte("% "))
	if i < 0 {
		return ""
	}
	return firstLine(string(answer[i:]))
}

// firstLine returns what of an answer is shown. What was told is never in it whole, so no password is.
func firstLine(text string) string {
	text, _, _ = strings.Cut(strings.TrimSpace(text), "\n")
	if strings.Contains(text, "password") {
		return "a line about a password"
	}
	return text
}
