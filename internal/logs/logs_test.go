package logs

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

func TestPrintable(t *testing.T) {
	for in, want := range map[string]string{
		"plain text, as it is": "plain text, as it is",
		"two\nlines":           "two; lines",
		"\x1b[31m\x00\t":       `\x1b[31m\x00\t`,
		"\u202egnp":            `\u202egnp`,
		"\xff":                 `\xff`,
		`back\slash "quote"`:   `back\slash "quote"`,
	} {
		if got := Printable(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
	if got := Printable(strings.Repeat("é", maxPrinted)); len(got) > 5*maxPrinted {
		t.Errorf("%d bytes", len(got))
	}
}

func FuzzPrintable(f *testing.F) {
	f.Add("a\nb\u202e\xff\x00é")
	f.Fuzz(func(t *testing.T, s string) {
		for _, c := range []byte(Printable(s)) {
			if c < ' ' || c > '~' {
				t.Fatalf("byte %#x in %q", c, Printable(s))
			}
		}
		for _, format := range []Format{Text, JSON} {
			var b bytes.Buffer
			log, err := New(&b, format)
			if err != nil {
				t.Fatal(err)
			}
			log.Error("m", "text", s, "error", errors.New(s), "slice", []string{s}, "struct", struct{ S string }{s})
			if strings.Count(b.String(), "\n") != 1 {
				t.Fatalf("%s: more than one line: %q", format, b.String())
			}
			for _, c := range b.Bytes() {
				if c != '\n' && (c < ' ' || c > '~') {
					t.Fatalf("%s: byte %#x in %q", format, c, b.String())
				}
			}
		}
	})
}
