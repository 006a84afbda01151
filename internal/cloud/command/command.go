// Package command changes a place's route table by a program of its operator's, for networks that Ropeway does not know itself.
//
// The program is run as PROGRAM ARGUMENTS… lead GATEWAY, with the prefixes on standard input, one a line. It makes them lead to that gateway and prints those that did
// not do so before, one a line. Any exit code but 0 is a failure, and the last line of standard error says why. It is run again after a failure, and now and then for
// what should be so already.
package command

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os/exec"
	"strings"
	"time"

	"ropeway/internal/cloud"
)

// Bounds of a program.
const (
	longest   = 20 * time.Second // it is killed then
	lastWords = time.Second      // and what it started may hold its output open for so long
	mostWords = 64 << 10         // bytes of its output that are kept
)

// A Program is a RouteTable.
type Program struct{ words []string }

var _ cloud.RouteTable = (*Program)(nil)

// New returns the route table that a program keeps. The line is its path and arguments, separated by spaces; there is no shell and no quoting.
func New(line string) (*Program, error) {
	words := strings.Fields(line)
	if len(words) == 0 {
		return nil, errors.New("the program that keeps the route table has no name")
	}
	if _, err := exec.LookPath(words[0]); err != nil {
		return nil, fmt.Errorf("find the program that keeps the route table: %w", err)
	}
	return &Program{words}, nil
}

// Lead implements cloud.RouteTable.
func (p *Program) Lead(ctx context.Context, gateway string, prefixes []netip.Prefix) ([]netip.Prefix, error) {
	ctx, cancel := context.WithTimeout(ctx, longest)
	defer cancel()
	var in strings.Builder
	for _, x := range prefixes {
		in.WriteString(x.String() + "\n")
	}
	cmd := exec.CommandContext(ctx, p.words[0], append(p.words[1:len(p.words):len(p.words)], "lead", gateway)...)
	out, said := &bounded{}, &bounded{}
	cmd.Stdin, cmd.Stdout, cmd.Stderr, cmd.WaitDelay = strings.NewReader(in.String()), out, said, lastWords
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			err = fmt.Errorf("%w: %w", context.Cause(ctx), err)
		}
		return nil, fmt.Errorf("%s lead %s: %w%s", p.words[0], gateway, err, said.last())
	}
	return out.prefixes()
}

// A bounded buffer keeps the first bytes of what is written to it.
type bounded struct{ bytes.Buffer }

func (b *bounded) Write(data []byte) (int, error) {
	if room := mostWords - b.Len(); room > 0 {
		b.Buffer.Write(data[:min(len(data), room)])
	}
	return len(data), nil
}

// last returns the last line for an error's end.
func (b *bounded) last() string {
	lines := strings.Split(strings.TrimSpace(b.String()), "\n")
	if last := lines[len(lines)-1]; last != "" {
		return fmt.Sprintf(": %q", last)
	}
	return ""
}

// prefixes reads one a line.
func (b *bounded) prefixes() (out []netip.Prefix, err error) {
	for lines := bufio.NewScanner(&b.Buffer); lines.Scan(); {
		text := strings.TrimSpace(lines.Text())
		if text == "" {
			continue
		}
		p, err := netip.ParsePrefix(text)
		if err != nil {
			return nil, fmt.Errorf("the program that keeps the route table printed %q, which is not a prefix", text)
		}
		out = append(out, p)
	}
	return out, nil
}
