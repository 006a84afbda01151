package intent_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"ropeway/internal/compile"
	"ropeway/internal/fabric"
	"ropeway/internal/intent"
	"ropeway/internal/verify"
)

// TestExamplesAndStarterHold proves each, and sees that it tests something reachable, something denied and an MTU. It allows one warning: in dual-stack some gateways meet over IPv4 and some over IPv6.
func TestExamplesAndStarterHold(t *testing.T) {
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
			continue
		}
		plans, _ := compile.Compile(in, nil)
		report := verify.New(plans, verify.Facts{}).Check(in)
		if !report.OK || len(report.Problems) > 0 {
			t.Errorf("%s is not proven: %v, %+v", name, report.Problems, report.Tests)
		}
		expected := map[intent.Expectation]int{}
		mtu := 0
		for _, test := range in.Tests {
			expected[test.Expect]++
			mtu = max(mtu, test.MTU)
		}
		if expected[intent.Reachable] == 0 || expected[intent.Denied] == 0 || mtu == 0 {
			t.Errorf("%s tests too little: %v", name, expected)
		}
		for _, p := range problems {
			if filepath.Base(name) != "dual-stack.yaml" || p.Code != "RW1313" {
				t.Error(p)
			}
		}
	}
}

// TestReference holds docs/fabric-file.md to the format: whole files in it are valid, fragments parse, and it explains every key.
func TestReference(t *testing.T) {
	page, err := os.ReadFile("../../docs/fabric-file.md")
	if err != nil {
		t.Fatal(err)
	}
	whole := 0
	for _, m := range regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllSubmatch(page, -1) {
		if !bytes.HasPrefix(m[1], []byte("apiVersion")) {
			continue
		}
		whole++
		if in, problems := intent.Read("docs/fabric-file.md", m[1]); in == nil {
			t.Error(problems)
		}
	}
	if whole == 0 {
		t.Error("the page shows no whole file")
	}
	var schema any
	if err := json.Unmarshal(fabric.Schema(), &schema); err != nil {
		t.Fatal(err)
	}
	for _, key := range keysOf(schema) {
		if !regexp.MustCompile("`([a-z]+\\.)?" + key + "[`.]").Match(page) {
			t.Errorf("docs/fabric-file.md does not explain %s", key)
		}
	}
}

// keysOf returns every key of the format that a schema knows.
func keysOf(v any) (keys []string) {
	switch v := v.(type) {
	case map[string]any:
		if properties, ok := v["properties"].(map[string]any); ok {
			for key := range properties {
				keys = append(keys, key)
			}
		}
		for _, below := range v {
			keys = append(keys, keysOf(below)...)
		}
	case []any:
		for _, below := range v {
			keys = append(keys, keysOf(below)...)
		}
	}
	return keys
}
