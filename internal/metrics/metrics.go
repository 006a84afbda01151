// Package metrics writes figures in the text format of Prometheus (version 0.0.4) by appending to one buffer.
//
// A gateway may have ten thousand peers with several series each; building every sample as an object first costs a hundred times
// what writing it does. The names of metrics and labels are constants of the program; the values of labels come from anywhere and
// are escaped.
package metrics

import (
	"math"
	"strconv"
)

// ContentType is what a response of this format says it is.
const ContentType = "text/plain; version=0.0.4; charset=utf-8"

// A Kind is the type of a metric.
type Kind string

const (
	Counter Kind = "counter" // only grows; its name ends in _total
	Gauge   Kind = "gauge"
)

// A Text is an exposition being written. The zero value is empty and ready. The samples of a metric follow its Family without
// another Family between.
type Text struct {
	buf  []byte
	name string
}

// A Label is a name and a value.
type Label struct{ Name, Value string }

// Family begins a metric.
func (t *Text) Family(name string, kind Kind, help string) {
	t.name = name
	t.buf = append(t.buf, "# HELP "...)
	t.buf = append(t.buf, name...)
	t.buf = append(t.buf, ' ')
	t.buf = appendEscaped(t.buf, help, false)
	t.buf = append(t.buf, "\n# TYPE "...)
	t.buf = append(t.buf, name...)
	t.buf = append(t.buf, ' ')
	t.buf = append(t.buf, kind...)
	t.buf = append(t.buf, '\n')
}

// Sample writes a value of the metric that was begun last.
func (t *Text) Sample(value float64, labels ...Label) {
	t.buf = append(t.buf, t.name...)
	for i, l := range labels {
		if i == 0 {
			t.buf = append(t.buf, '{')
		} else {
			t.buf = append(t.buf, ',')
		}
		t.buf = append(t.buf, l.Name...)
		t.buf = append(t.buf, `="`...)
		t.buf = appendEscaped(t.buf, l.Value, true)
		t.buf = append(t.buf, '"')
	}
	if len(labels) > 0 {
		t.buf = append(t.buf, '}')
	}
	t.buf = append(t.buf, ' ')
	if value == math.Trunc(value) && math.Abs(value) < 1<<53 { // exact as an integer, and shorter
		t.buf = strconv.AppendInt(t.buf, int64(value), 10)
	} else {
		t.buf = strconv.AppendFloat(t.buf, value, 'g', -1, 64)
	}
	t.buf = append(t.buf, '\n')
}

// Bytes returns the exposition. It is valid until the next call.
func (t *Text) Bytes() []byte { return t.buf }

// appendEscaped escapes what the format asks for (backslash, line feed, in labels the quote), and besides replaces what does not
// belong on a terminal: control characters and everything outside ASCII, byte by byte.
func appendEscaped(buf []byte, s string, quoted bool) []byte {
	if plain(s) {
		return append(buf, s...) // nearly every value
	}
	for i := range len(s) {
		switch c := s[i]; {
		case c == '\\':
			buf = append(buf, `\\`...)
		case c == '\n':
			buf = append(buf, `\n`...)
		case c == '"' && quoted:
			buf = append(buf, `\"`...)
		case c < ' ' || c > '~':
			buf = append(buf, '?')
		default:
			buf = append(buf, c)
		}
	}
	return buf
}

func plain(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '\\' || c == '"' {
			return false
		}
	}
	return true
}
