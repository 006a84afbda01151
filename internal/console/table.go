package console

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

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

// A Column of a table.
type Column struct {
	Title string
	Wide  bool // shown with -o wide only
	Right bool // numbers line up on the right
}

// A Table is rows of cells, one for each column.
type Table struct {
	Columns []Column
	Rows    [][]string
	// Paint colours a cell once it is padded; nil leaves all alone.
	Paint func(s Style, row, column int, cell string) string
}

// Write prints the table, columns two spaces apart.
func (t *Table) Write(w io.Writer, s Style, wide bool) error {
	var shown []int
	for i, c := range t.Columns {
		if wide || !c.Wide {
			shown = append(shown, i)
		}
	}
	width := t.widths()
	var b strings.Builder
	for i, c := range shown {
		b.WriteString(s.Bold(t.pad(t.Columns[c].Title, c, width[c], i == len(shown)-1)))
		b.WriteString(gap(i, shown))
	}
	for r, row := range t.Rows {
		for i, c := range shown {
			cell := t.pad(row[c], c, width[c], i == len(shown)-1)
			if t.Paint != nil {
				cell = t.Paint(s, r, c, cell)
			}
			b.WriteString(cell)
			b.WriteString(gap(i, shown))
		}
	}
	if _, err := io.WriteString(w, b.String()); err != nil {
		return fmt.Errorf("write the table: %w", err)
	}
	return nil
}

func (t *Table) widths() []int {
	width := make([]int, len(t.Columns))
	for i, c := range t.Columns {
		width[i] = utf8.RuneCountInString(c.Title)
		for _, row := range t.Rows {
			width[i] = max(width[i], utf8.RuneCountInString(row[i]))
		}
	}
	return width
}

func (t *Table) pad(cell string, column, width int, last bool) string {
	fill := strings.Repeat(" ", max(0, width-utf8.RuneCountInString(cell)))
	switch {
	case t.Columns[column].Right:
		return fill + cell
	case last:
		return cell
	}
	return cell + fill
}

func gap(i int, shown []int) string {
	if i == len(shown)-1 {
		return "\n"
	}
	return "  "
}

// Encode writes a value as JSON, indented, or as YAML with the same names.
func Encode(w io.Writer, f Format, value any) error {
	out, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		return fmt.Errorf("encode the output: %w", err)
	}
	out = append(out, '\n')
	if f == YAML {
		if out, err = yaml.JSONToYAML(out); err != nil {
			return fmt.Errorf("encode the output as YAML: %w", err)
		}
	}
	if _, err := w.Write(out); err != nil {
		return fmt.Errorf("write the output: %w", err)
	}
	return nil
}

// Show writes a value in the format chosen: the table for people, the value itself for programs.
func Show(w io.Writer, s Style, f Format, value any, table func() *Table) error {
	if f == JSON || f == YAML {
		return Encode(w, f, value)
	}
	return table().Write(w, s, f == Wide)
}
