// Package console is how a command speaks to a person: colour where somebody looks, tables that line up, the same facts as JSON
// or YAML where a program reads, and diagnostics a line each.
//
// It decides nothing about what is said. Colour never carries meaning of its own: without it, every line reads the same.
package console

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"unicode"

	"golang.org/x/term"

	"ropeway/internal/diag"
)

// A Style colours text, or leaves it alone. The zero value leaves it alone.
type Style struct{ colour bool }

// When says when to colour: "auto", "always" or "never".
type When string

// The values of --color.
const (
	Auto   When = "auto"   // on a terminal, unless NO_COLOR is set or TERM is "dumb"
	Always When = "always" // also into a file or a pipe
	Never  When = "never"
)

// Set implements pflag.Value.
func (w *When) Set(s string) error {
	switch When(s) {
	case Auto, Always, Never:
		*w = When(s)
		return nil
	}
	return fmt.Errorf("want auto, always or never")
}

// String implements pflag.Value.
func (w *When) String() string { return string(*w) }

// Type implements pflag.Value.
func (w *When) Type() string { return "when" }

// StyleFor decides about one stream. An explicit --color goes before NO_COLOR (no-color.org), which goes before the terminal.
func StyleFor(when When, w io.Writer, getenv func(string) string) Style {
	switch when {
	case Always:
		return Style{true}
	case Never:
		return Style{}
	}
	file, ok := w.(*os.File)
	return Style{ok && getenv("NO_COLOR") == "" && getenv("TERM") != "dumb" && term.IsTerminal(int(file.Fd()))}
}

// Bold, Dim and the colours return text in that style (ECMA-48, SGR).
func (s Style) Bold(text string) string   { return s.sgr("1", text) }
func (s Style) Dim(text string) string    { return s.sgr("2", text) }
func (s Style) Red(text string) string    { return s.sgr("31", text) }
func (s Style) Green(text string) string  { return s.sgr("32", text) }
func (s Style) Yellow(text string) string { return s.sgr("33", text) }
func (s Style) Cyan(text string) string   { return s.sgr("36", text) }

func (s Style) sgr(code, text string) string {
	if !s.colour || text == "" {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

// Visible returns text with everything that could move a cursor, hide or reorder text written out: control characters, newlines,
// and the invisible format characters of Unicode (category Cf, which holds the bidirectional ones). Messages are made safe where
// they are made (diag.Quote); this is for what comes from elsewhere, such as the name of a file.
func Visible(text string) string {
	if !strings.ContainsFunc(text, hidden) {
		return text
	}
	var b strings.Builder
	for _, r := range text {
		if hidden(r) {
			b.WriteString(strings.Trim(strconv.QuoteRuneToASCII(r), "'"))
			continue
		}
		b.WriteRune(r)
	}
	return b.String()
}

func hidden(r rune) bool { return unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp) }

// Problem returns the line of diag.Problem.Error, coloured.
func (s Style) Problem(p diag.Problem) string {
	p.Position.File, p.Subject, p.Message, p.Hint = Visible(p.Position.File), Visible(p.Subject), Visible(p.Message), Visible(p.Hint)
	line := p.Error()
	if !s.colour {
		return line
	}
	code := string(p.Code) + " "
	at, rest, _ := strings.Cut(line, code)
	mark := s.Red
	if p.Severity == diag.Warning {
		mark = s.Yellow
	}
	if hint := " (" + p.Hint + ")"; p.Hint != "" {
		rest = strings.TrimSuffix(rest, hint) + s.Dim(hint)
	}
	return s.Bold(at) + mark(string(p.Code)) + " " + rest
}

// Diff returns a line that begins with +, ~ or - in the colour that people expect of it.
func (s Style) Diff(line string) string {
	switch {
	case !s.colour:
		return line
	case strings.HasPrefix(strings.TrimLeft(line, " "), "+"):
		return s.Green(line)
	case strings.HasPrefix(strings.TrimLeft(line, " "), "-"):
		return s.Red(line)
	case strings.HasPrefix(strings.TrimLeft(line, " "), "~"):
		return s.Yellow(line)
	}
	return line
}

// Print writes every problem of a list on a line of its own.
func Print(w io.Writer, s Style, list diag.List) error {
	for _, p := range list {
		if _, err := fmt.Fprintln(w, s.Problem(p)); err != nil {
			return fmt.Errorf("write the problems: %w", err)
		}
	}
	return nil
}
