package main

import (
	"strings"
	"testing"

	"ropeway/internal/console"
)

// What differs in the files of two revisions stands there line by line, and nothing of it moves a cursor.
func TestWords(t *testing.T) {
	a := &version{number: 3, file: []byte("a: 1\nb: 2\n# old\n")}
	b := &version{number: 5, file: []byte("a: 1\nb: 3\n# \x1b[2Jnew\n")}
	got := paintWords(console.Style{}, wordsBetween(a, b))
	want := "--- revision-3.yaml\n+++ revision-5.yaml\n@@ -1,3 +1,3 @@\n a: 1\n-b: 2\n-# old\n+b: 3\n+# \\x1b[2Jnew\n"
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if got := wordsBetween(a, a); got != "" {
		t.Errorf("the same: %q", got)
	}
	if got := wordsBetween(&version{}, a); !strings.Contains(got, "+b: 2\n") || strings.Contains(got, "\n-") {
		t.Errorf("of the first revision: %q", got)
	}
}
