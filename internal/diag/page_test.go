package diag

import (
	"bytes"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

//go:generate go test -run TestErrorsPage -update .

var update = flag.Bool("update", false, "write docs/errors.md")

const page = "../../docs/errors.md"

// chapters name the ranges of codes by their first digit.
var chapters = map[byte]string{
	'1': "The fabric file",
	'2': "Lock file, plans and keys",
	'3': "The proof",
	'4': "The agent of a gateway",
	'5': "The lab",
	'6': "The command line",
	'7': "The controller",
}

func TestErrorsPage(t *testing.T) {
	want := render(Catalog())
	if *update {
		if err := os.WriteFile(page, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("docs/errors.md is stale; run: go generate ./internal/diag\n%s", diff)
	}
}

func TestCatalogIsInOrderAndComplete(t *testing.T) {
	var last Code
	for _, e := range Catalog() {
		if !regexp.MustCompile(`^RW[1-7]\d{3}$`).MatchString(string(e.Code)) {
			t.Errorf("%s: not a code", e.Code)
		}
		if e.Code <= last {
			t.Errorf("%s comes after %s: codes are in order and unique", e.Code, last)
		}
		last = e.Code
		for name, text := range map[string]string{"title": e.Title, "explanation": e.Explanation, "fix": e.Fix} {
			if strings.TrimSpace(text) == "" {
				t.Errorf("%s has no %s", e.Code, name)
			}
		}
	}
}

// TestEveryCodeIsDocumented reads the source of every package and program: a code that it names has an entry, and an entry is
// named somewhere outside the catalog.
func TestEveryCodeIsDocumented(t *testing.T) {
	used := codesInSource(t, "../../internal", "../../cmd")
	documented := map[Code]bool{}
	for _, e := range Catalog() {
		documented[e.Code] = true
		if _, ok := used[e.Code]; !ok {
			t.Errorf("%s is documented but nothing reports it", e.Code)
		}
	}
	for code, file := range used {
		if !documented[code] {
			t.Errorf("%s is used in %s and has no entry in the catalog", code, file)
		}
	}
}

// codesInSource returns every code that Go source names, tests and the catalog itself aside, with a file that does.
func codesInSource(t *testing.T, roots ...string) map[Code]string {
	t.Helper()
	literal := regexp.MustCompile(`"(RW\d{4})"`)
	used := map[Code]string{}
	for _, root := range roots {
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if os.IsNotExist(err) {
				return nil
			}
			base := filepath.Base(path)
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") ||
				strings.HasPrefix(base, "catalog_") {
				return err
			}
			source, err := os.ReadFile(path)
			for _, m := range literal.FindAllSubmatch(source, -1) {
				used[Code(m[1])] = path
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return used
}

func render(entries []Entry) []byte {
	var b bytes.Buffer
	b.WriteString(`<!-- Made by "go generate ./internal/diag" from the catalog in internal/diag. Do not edit. -->

# Errors and warnings

Every message of Ropeway carries a code. A code keeps its meaning for ever, so it can be searched for, matched in scripts and
looked up here. The message itself names the object, the file, the line and the column.
`)
	var chapter byte
	for _, e := range entries {
		if c := e.Code[2]; c != chapter {
			chapter = c
			fmt.Fprintf(&b, "\n## %s\n", chapters[c])
		}
		fmt.Fprintf(&b, "\n### %s: %s\n\n%s\n\n**What to do.** %s\n", e.Code, e.Title, e.Explanation, e.Fix)
	}
	return b.Bytes()
}
