package authority

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ropeway/internal/diag"
)

func codeOf(err error) diag.Code {
	var p diag.Problem
	errors.As(err, &p)
	return p.Code
}

// What was packed and unpacked elsewhere is the same authority: the same pin, and the same signatures.
func TestABundleIsTheAuthority(t *testing.T) {
	a, dir := fresh(t)
	must(t, os.WriteFile(filepath.Join(dir, ".sign.key.new"), []byte("what a crash left"), 0o600))
	b, err := Pack(dir)
	must(t, err)
	elsewhere := filepath.Join(t.TempDir(), "deep", "authority")
	must(t, os.Mkdir(filepath.Dir(elsewhere), 0o700))
	for range 2 { // a second time it is there already
		same, err := Unpack(elsewhere, "acme", b, noon)
		must(t, err)
		if same.Pin() != a.Pin() || !same.PublicKey().Equal(a.PublicKey()) {
			t.Error("it is another authority")
		}
	}
	again, err := Open(elsewhere, "acme", noon)
	must(t, err)
	if again.Pin() != a.Pin() {
		t.Error("what was unpacked does not open as the same")
	}
}

func TestUnpackRefuses(t *testing.T) {
	a, dir := fresh(t)
	b, err := Pack(dir)
	must(t, err)
	other, otherDir := fresh(t)
	if _, err := Unpack(otherDir, "acme", b, noon); codeOf(err) != codeForeign {
		t.Errorf("where another one is: %v", err)
	}
	if now, err := Open(otherDir, "acme", noon); err != nil || now.Pin() != other.Pin() || now.Pin() == a.Pin() {
		t.Errorf("the other one is no more what it was: %v", err)
	}
	if _, err := Unpack(filepath.Join(t.TempDir(), "a"), "evil", b, noon); codeOf(err) != codeForeign {
		t.Errorf("under another name: %v", err)
	}
	for name, change := range map[string]func(map[string][]byte){
		"no certificate": func(m map[string][]byte) { delete(m, caFile) },
		"no key":         func(m map[string][]byte) { delete(m, caKeyFile) },
		"a path":         func(m map[string][]byte) { m["../x"] = []byte("x") },
		"a hidden file":  func(m map[string][]byte) { m[".x"] = []byte("x") },
		"an empty file":  func(m map[string][]byte) { m["x"] = nil },
		"a large file":   func(m map[string][]byte) { m["x"] = make([]byte, maxFile+1) },
		"many files": func(m map[string][]byte) {
			for i := range maxFiles {
				m[fmt.Sprint(i)] = []byte("x")
			}
		},
	} {
		files := b.Files()
		change(files)
		if _, err := NewBundle(files); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
	if _, err := Unpack(filepath.Join(t.TempDir(), "a"), "acme", Bundle{}, noon); err == nil {
		t.Error("nothing was taken")
	}
	mixed := b.Files()
	mixed[caKeyFile] = mustPack(t, otherDir).Files()[caKeyFile]
	m, err := NewBundle(mixed)
	must(t, err)
	if _, err := Unpack(filepath.Join(t.TempDir(), "a"), "acme", m, noon); codeOf(err) != codeDamaged {
		t.Errorf("with another's key: %v", err)
	}
	must(t, os.Chmod(filepath.Join(dir, caKeyFile), 0o640))
	if _, err := Pack(dir); codeOf(err) != codeExposed {
		t.Errorf("a key that others may read: %v", err)
	}
}

func mustPack(t *testing.T, dir string) Bundle {
	t.Helper()
	b, err := Pack(dir)
	must(t, err)
	return b
}

// A bundle shows nothing of what is in it, however it is printed.
func TestABundleDoesNotPrint(t *testing.T) {
	_, dir := fresh(t)
	b := mustPack(t, dir)
	type holder struct{ bundle Bundle }
	secret := bytes.Fields(b.Files()[caKeyFile])[3]
	for _, text := range []string{fmt.Sprint(b), fmt.Sprintf("%v %+v %#v %s %x", b, b, b, b, b), fmt.Sprintf("%+v", holder{b}), fmt.Sprintf("%#v", &holder{b})} {
		if strings.Contains(text, string(secret)) || strings.Contains(text, fmt.Sprintf("%x", secret)) || strings.Contains(text, fmt.Sprint(secret)[1:20]) {
			t.Errorf("it prints: %s", text)
		}
	}
	if _, err := json.Marshal(b); err == nil {
		t.Error("it marshals")
	}
}
