package intent_test

import (
	"os"
	"path/filepath"
	"testing"

	"ropeway/internal/fabric"
	"ropeway/internal/intent"
)

func TestExamplesAndStarterHaveNoProblem(t *testing.T) {
	paths, err := filepath.Glob("../../examples/*.yaml")
	if err != nil || len(paths) < 3 {
		t.Fatalf("want at least three examples, got %v, %v", paths, err)
	}
	files := map[string][]byte{"starter": fabric.Starter()}
	for _, path := range paths {
		if files[path], err = os.ReadFile(path); err != nil {
			t.Fatal(err)
		}
	}
	for name, data := range files {
		in, problems := intent.Read(name, data)
		if in == nil || len(problems) > 0 {
			t.Errorf("%v", problems)
		}
	}
}
