package main

import (
	"fmt"
	"strings"

	"github.com/rogpeppe/go-internal/diff"

	"ropeway/internal/console"
)

// wordsBetween is how the files of two revisions differ, as a unified diff; "" where they do not. Nothing before the first revision is no file.
func wordsBetween(a, b *version) string {
	text := diff.Diff(fileOf(a), a.file, fileOf(b), b.file)
	_, unified, _ := strings.Cut(string(text), "\n") // the first line says "diff A B" once more
	return unified
}

func fileOf(v *version) string { return fmt.Sprintf("revision-%d.yaml", v.number) }

// paintWords makes a unified diff safe for a screen, and colours it as everybody does.
func paintWords(s console.Style, unified string) string {
	var b strings.Builder
	for line := range strings.Lines(unified) {
		line = console.Visible(strings.TrimSuffix(line, "\n"))
		switch {
		case strings.HasPrefix(line, "--- "), strings.HasPrefix(line, "+++ "):
			line = s.Bold(line)
		case strings.HasPrefix(line, "@@"):
			line = s.Cyan(line)
		case strings.HasPrefix(line, "+"):
			line = s.Green(line)
		case strings.HasPrefix(line, "-"):
			line = s.Red(line)
		}
		b.WriteString(line + "\n")
	}
	return b.String()
}
