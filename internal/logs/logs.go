// Package logs makes what a program says safe to read: a log line, an error on a terminal and a metric hold printable ASCII only, whatever
// somebody put into a file or sent over the network.
package logs

import (
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"strings"
	"unicode/utf8"
)

// maxPrinted bounds a text that may hold something from outside, in bytes.
const maxPrinted = 2000

// Printable makes a text safe for a terminal, a log and a metric: one line of printable ASCII. Errors quote what they repeat of a
// file, but not every library's error does.
func Printable(s string) string {
	if len(s) > maxPrinted {
		s = s[:maxPrinted] + "..."
	}
	var b strings.Builder
	for i, r := range s {
		switch {
		case r == '\n':
			b.WriteString("; ")
		case r == utf8.RuneError:
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case r < ' ' || r > '~':
			b.WriteString(strings.Trim(strconv.QuoteRuneToASCII(r), "'"))
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// A Format says how log lines look.
type Format string

const (
	Text Format = "text"
	JSON Format = "json"
)

// New returns a logger whose every value is printable.
func New(w io.Writer, format Format) (*slog.Logger, error) {
	opts := &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if kind := a.Value.Kind(); kind == slog.KindString || kind == slog.KindAny { // numbers, times and truth print as they are
			a.Value = slog.StringValue(Printable(fmt.Sprint(a.Value.Any())))
		}
		return a
	}}
	switch format {
	case Text:
		return slog.New(slog.NewTextHandler(w, opts)), nil
	case JSON:
		return slog.New(slog.NewJSONHandler(w, opts)), nil
	}
	return nil, fmt.Errorf("log format %q: want text or json", string(format))
}
