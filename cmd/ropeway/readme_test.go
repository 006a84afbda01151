package main

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The README's fabric is proven, and the packet in it fares as it says.
func TestReadme(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	fabric := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindSubmatch(readme)
	shown := regexp.MustCompile("(?s)```\n\\$ ropeway (trace .*?)\n(.*?)```").FindSubmatch(readme)
	if fabric == nil || shown == nil {
		t.Fatal("the README shows no fabric file, or no trace")
	}
	file := filepath.Join(t.TempDir(), "shop.yaml")
	if err := os.WriteFile(file, fabric[1], 0o600); err != nil {
		t.Fatal(err)
	}
	run := func(args ...string) (string, error) {
		var out bytes.Buffer
		cmd := newRootCommand()
		cmd.SetOut(&out)
		cmd.SetErr(&out)
		cmd.SetArgs(args)
		err := cmd.ExecuteContext(t.Context())
		return out.String(), err
	}
	if out, err := run("verify", file); err != nil {
		t.Errorf("its fabric is not proven: %v\n%s", err, out)
	}
	args := strings.Fields(strings.ReplaceAll(string(shown[1]), "shop.yaml", file))
	out, _ := run(args...)
	if diff := cmp.Diff(string(shown[2]), out); diff != "" {
		t.Errorf("%s, -README +got:\n%s", shown[1], diff)
	}
}
