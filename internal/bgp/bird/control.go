package bird

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"

	"ropeway/internal/diag"
)

// A line is one line of a reply: a code of four digits and a text. The first digit is 0 where it is about success, 1 for data, 8 and 9 for errors of running and reading.
type line struct {
	code int
	text string
}

// answerTimeout is how long BIRD, which is one thread, may take to say the next line. It is for a daemon that hangs.
const answerTimeout = 10 * time.Second

// maxReply bounds a reply, in lines: 100,000 routes have some 12 each.
const maxReply = 4 << 20

var errTooLong = errors.New("the reply of BIRD does not end")

// ask has the daemon behind a control socket carry out commands, in one conversation, and returns what it says to each. A refusal is an error.
func ask(ctx context.Context, socket string, commands ...string) ([][]line, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", socket)
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }()
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	in := bufio.NewReader(deadlined{conn})
	if _, err := readReply(in); err != nil { // the greeting
		return nil, fmt.Errorf("hear BIRD's greeting: %w", err)
	}
	var replies [][]line
	for _, command := range commands {
		if _, err := io.WriteString(conn, command+"\n"); err != nil {
			return nil, fmt.Errorf("tell BIRD to %s: %w", diag.Quote(command), err)
		}
		reply, err := readReply(in)
		if err != nil {
			return nil, fmt.Errorf("have BIRD %s: %w", diag.Quote(command), errors.Join(err, context.Cause(ctx)))
		}
		replies = append(replies, reply)
	}
	return replies, nil
}

// deadlined reads for answerTimeout at most.
type deadlined struct{ net.Conn }

func (d deadlined) Read(p []byte) (int, error) {
	if err := d.SetReadDeadline(time.Now().Add(answerTimeout)); err != nil {
		return 0, err
	}
	return d.Conn.Read(p)
}

// readReply reads up to the line that ends a reply: one whose code is followed by a space. "-" after it says that more comes, and a line that begins with a space
// has the code of the one before it. "+" begins what BIRD says unasked, which ends no reply. (BIRD, nest/cli.c)
func readReply(in *bufio.Reader) ([]line, error) {
	var reply []line
	code := 0
	for len(reply) < maxReply {
		raw, err := in.ReadSlice('\n')
		if err != nil {
			return nil, fmt.Errorf("read its reply: %w", err)
		}
		s := strings.TrimSuffix(string(raw), "\n")
		switch {
		case strings.HasPrefix(s, "+"):
			continue
		case strings.HasPrefix(s, " "):
			reply = append(reply, line{code, s[1:]})
			continue
		case len(s) < 5 || s[4] != '-' && s[4] != ' ':
			return nil, fmt.Errorf("want a line with a code, not %s", diag.Quote(s))
		}
		n, err := strconv.ParseUint(s[:4], 10, 16)
		if err != nil {
			return nil, fmt.Errorf("want a line with a code, not %s", diag.Quote(s))
		}
		code = int(n)
		reply = append(reply, line{code, s[5:]})
		if s[4] == '-' {
			continue
		}
		if code >= 8000 {
			return nil, fmt.Errorf("it says %s (%04d)", diag.Quote(s[5:]), code)
		}
		return reply, nil
	}
	return nil, errTooLong
}
