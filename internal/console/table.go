package console

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

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
	line := func(row int, cells func(column int) string) {
		var parts []string
		for i, c := range shown {
			part := t.pad(cells(c), c, width[c], i == len(shown)-1)
			switch {
			case row < 0:
				part = s.Bold(part)
			case t.Paint != nil:
				part = t.Paint(s, row, c, part)
			}
			parts = append(parts, part)
		}
		b.WriteString(strings.TrimRight(strings.Join(parts, "  "), " ") + "\n")
	}
	line(-1, func(c int) string { return t.Columns[c].Title })
	for r, row := range t.Rows {
		line(r, func(c int) string { return row[c] })
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
