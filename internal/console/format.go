package console

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf16"

	"github.com/goccy/go-yaml"
)

// A Format is a value of -o.
type Format string

// What -o takes. Text and Table are for people, JSON and YAML for programs.
const (
	Text        Format = "text"
	TableFormat Format = "table"
	Wide        Format = "wide" // a table with every column
	JSON        Format = "json"
	YAML        Format = "yaml"
)

// A Choice is a -o flag: the format chosen, out of those that a command offers.
type Choice struct {
	Format
	allowed []Format
}

// Choose makes a -o flag; the first of the formats is the default.
func Choose(allowed ...Format) *Choice { return &Choice{allowed[0], allowed} }

// Set implements pflag.Value.
func (c *Choice) Set(s string) error {
	if !slices.Contains(c.allowed, Format(s)) {
		return fmt.Errorf("want %s", c.Usage())
	}
	c.Format = Format(s)
	return nil
}

// String implements pflag.Value.
func (c *Choice) String() string { return string(c.Format) }

// Type implements pflag.Value.
func (c *Choice) Type() string { return "format" }

// Usage returns the formats offered: "text|json".
func (c *Choice) Usage() string {
	names := make([]string, len(c.allowed))
	for i, f := range c.allowed {
		names[i] = string(f)
	}
	return strings.Join(names, "|")
}

// Encode writes a value as JSON, indented, or as YAML with the same names. What could move a cursor, hide or reorder text stands
// escaped in both.
func Encode(w io.Writer, f Format, value any) error {
	out, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		return fmt.Errorf("encode the output: %w", err)
	}
	text := escapeHidden(string(out)) + "\n"
	if f == YAML && !strings.ContainsFunc(string(out), hiddenInJSON) { // else JSON, which is YAML as well, and can escape everything
		if out, err = yaml.JSONToYAML(out); err != nil {
			return fmt.Errorf("encode the output as YAML: %w", err)
		}
		text = string(out)
	}
	if _, err := io.WriteString(w, text); err != nil {
		return fmt.Errorf("write the output: %w", err)
	}
	return nil
}

// escapeHidden escapes in JSON what encoding/json leaves as it is; outside of strings JSON has no such characters.
func escapeHidden(text string) string {
	if !strings.ContainsFunc(text, hiddenInJSON) {
		return text
	}
	var b strings.Builder
	for _, r := range text {
		if !hiddenInJSON(r) {
			b.WriteRune(r)
			continue
		}
		for _, unit := range utf16.Encode([]rune{r}) {
			fmt.Fprintf(&b, `\u%04x`, unit)
		}
	}
	return b.String()
}

func hiddenInJSON(r rune) bool { return r != '\n' && hidden(r) }

// Show writes a value in the format chosen: the table for people, the value itself for programs.
func Show(w io.Writer, s Style, f Format, value any, table func() *Table) error {
	if f == JSON || f == YAML {
		return Encode(w, f, value)
	}
	return table().Write(w, s, f == Wide)
}
