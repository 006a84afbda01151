// Package stories reads the stories that tests tell: txtar files of testdata, input and expected text side by side. It is for tests.
package stories

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
)

// A Story is one file, and whether to write what it expects rather than to compare.
type Story struct {
	*txtar.Archive
	update bool
}

// Each tells every story that a pattern names, each in a test of its own. There has to be one.
func Each(t *testing.T, pattern string, update bool, tell func(*testing.T, *Story)) {
	t.Helper()
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) == 0 {
		t.Fatalf("no stories: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			tell(t, &Story{archive, update})
			if update {
				if err := os.WriteFile(file, txtar.Format(archive), 0o600); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// Want compares a text with what the story's file of that name says. An update replaces the file, or adds it at the end.
func (s *Story) Want(t *testing.T, name, got string) {
	t.Helper()
	for i := range s.Files {
		f := &s.Files[i]
		if f.Name != name {
			continue
		}
		if s.update {
			f.Data = []byte(got)
		}
		if diff := cmp.Diff(string(f.Data), got); diff != "" {
			t.Errorf("%s, -want +got:\n%s", name, diff)
		}
		return
	}
	if !s.update {
		t.Errorf("the story has no file %s for\n%s", name, got)
		return
	}
	s.Files = append(s.Files, txtar.File{Name: name, Data: []byte(got)})
}
