package intent_test

import (
	"os"
	"path/filepath"
	"testing"

	"ropeway/internal/fabric"
	"ropeway/internal/intent"
)

// TestExamplesAndStarterAreValid allows one warning: in dual-stack some gateways meet over IPv4 and some over IPv6.
func TestExamplesAndStarterAreValid(t *testing.T) {
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
		if in == nil {
			t.Errorf("%v", problems)
		}
		for _, p := range problems {
			if filepath.Base(name) != "dual-stack.yaml" || p.Code != "RW1313" {
				t.Error(p)
			}
		}
	}
}
