// Command picture draws recorded terminal output as an SVG: text on standard input, with colours as a terminal takes them (ECMA-48,
// SGR), a picture on standard output. `make picture` draws the README's with it.
package main

import (
	"fmt"
	"html"
	"io"
	"os"
	"regexp"
	"strings"
	"unicode/utf8"
)

// The measures of the picture, in pixels: a character cell of a 13 px monospace font, and the margin.
const (
	cellWidth  = 7.83
	cellHeight = 18.0
	margin     = 18.0
	titleBar   = 30.0
)

// A look is how a run of characters is drawn.
type look struct {
	fill string
	bold bool
}

const (
	background = "#12181f"
	foreground = "#d7dee6"
)

// colours are the SGR parameters that package console writes.
var colours = map[string]string{
	"2": "#7d8a97", "31": "#ff7b72", "32": "#6fdd8b", "33": "#f2cc60", "36": "#76d9e6",
}

var escape = regexp.MustCompile("\x1b\\[([0-9;]*)m")

func main() {
	text, err := io.ReadAll(os.Stdin)
	if err == nil {
		_, err = io.WriteString(os.Stdout, draw(strings.TrimRight(string(text), "\n")))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "picture:", err)
		os.Exit(1)
	}
}

func draw(text string) string {
	lines := strings.Split(text, "\n")
	columns := 0
	for _, line := range lines {
		columns = max(columns, utf8.RuneCountInString(escape.ReplaceAllString(line, "")))
	}
	width, height := float64(columns)*cellWidth+2*margin, titleBar+float64(len(lines))*cellHeight+margin
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%.0f" height="%.0f" viewBox="0 0 %[1]f %[2]f" role="img" aria-label="Ropeway in a terminal">`+"\n", width, height)
	fmt.Fprintf(&b, `<rect width="%.0f" height="%.0f" rx="8" fill="%s"/>`+"\n", width, height, background)
	for i, fill := range []string{"#ff5f57", "#febc2e", "#28c840"} {
		fmt.Fprintf(&b, `<circle cx="%d" cy="16" r="5" fill="%s"/>`+"\n", 20+18*i, fill)
	}
	b.WriteString(`<g font-family="ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace" font-size="13" xml:space="preserve">` + "\n")
	for i, line := range lines {
		drawLine(&b, line, titleBar+float64(i)*cellHeight+13)
	}
	b.WriteString("</g>\n</svg>\n")
	return b.String()
}

// drawLine draws each run of one look where its first cell is, as wide as its cells: fonts differ, columns stay.
func drawLine(b *strings.Builder, line string, y float64) {
	now, column := look{fill: foreground}, 0
	put := func(run string) {
		cells := utf8.RuneCountInString(run)
		lead := len(run) - len(strings.TrimLeft(run, " "))
		if shown := strings.TrimSpace(run); shown != "" {
			weight := ""
			if now.bold {
				weight = ` font-weight="bold"`
			}
			fmt.Fprintf(b, `<text x="%.2f" y="%.0f" fill="%s"%s textLength="%.2f">%s</text>`+"\n",
				margin+float64(column+lead)*cellWidth, y, now.fill, weight, float64(utf8.RuneCountInString(shown))*cellWidth, html.EscapeString(shown))
		}
		column += cells
	}
	for line != "" {
		at := escape.FindStringSubmatchIndex(line)
		if at == nil {
			put(line)
			return
		}
		put(line[:at[0]])
		now = now.after(line[at[2]:at[3]])
		line = line[at[1]:]
	}
}

// after returns the look that the parameters of an escape sequence leave.
func (l look) after(parameters string) look {
	for p := range strings.SplitSeq(parameters, ";") {
		switch fill, known := colours[p]; {
		case known:
			l.fill = fill
		case p == "1":
			l.bold = true
		case p == "" || p == "0":
			l = look{fill: foreground}
		}
	}
	return l
}
