package state

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ropeway/internal/diag"
	"ropeway/internal/key"
)

func sample(t testing.TB) *Lock {
	t.Helper()
	k, err := key.NewPrivate()
	if err != nil {
		t.Fatal(err)
	}
	l := &Lock{
		Fabric:   "acme",
		Places:   map[string]int{"use1": 0, "euw1": 1},
		Gateways: map[string]Gateway{"use1-a": {Index: 1, PublicKey: k.Public()}, "euw1-a": {Index: 2}},
	}
	return l.Accept([]byte("line one\nline two\n"), map[string]string{"use1-a": "00", "euw1-a": "01"})
}

func TestLockSurvivesItsFile(t *testing.T) {
	l := sample(t)
	data, err := l.Encode()
	if err != nil {
		t.Fatal(err)
	}
	again, err := Parse("acme.lock.json", data)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(l, again, cmp.Comparer(func(a, b key.Public) bool { return a == b })); diff != "" {
		t.Error(diff)
	}
	before, source, ok := again.Before()
	if !ok || string(source) != "line one\nline two\n" || before.Gateways["euw1-a"].Index != 2 {
		t.Errorf("Before returned %v, %q, %v", before, source, ok)
	}
}

func TestParseRefuses(t *testing.T) {
	tests := map[string]struct {
		text string
		code diag.Code
		says string
	}{
		"empty":            {"", "RW2001", "not a lock file"},
		"cut":              {`{"fabric": "acme"`, "RW2001", "not a lock file"},
		"unknown key":      {`{"fabric": "acme", "privateKey": "x"}`, "RW2001", "privateKey"},
		"two documents":    {`{"fabric": "acme"} {}`, "RW2001", "after its end"},
		"merge markers":    {"<<<<<<< HEAD\n{}", "RW2001", "not a lock file"},
		"name":             {`{"fabric": "a\nb"}`, "RW2002", `"a\nb"`},
		"index twice":      {`{"fabric": "acme", "gateways": {"a": {"index": 1}, "b": {"index": 1}}}`, "RW2002", `that of gateway "a"`},
		"ordinal twice":    {`{"fabric": "acme", "places": {"a": 0, "b": 0}}`, "RW2002", `that of place "a"`},
		"negative index":   {`{"fabric": "acme", "gateways": {"a": {"index": -1}}}`, "RW2002", "negative"},
		"gateway name":     {`{"fabric": "acme", "gateways": {"$(id)": {"index": 1}}}`, "RW2002", "$(id)"},
		"key":              {`{"fabric": "acme", "gateways": {"a": {"publicKey": "short"}}}`, "RW2001", "not a WireGuard key"},
		"accepted indices": {`{"fabric": "acme", "accepted": {"source": [], "places": {}, "gateways": {"a": {"index": 1}, "b": {"index": 1}}, "revisions": {}}}`, "RW2002", "in what was accepted"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := Parse("f.lock.json", []byte(tt.text))
			var p diag.Problem
			if !errors.As(err, &p) || p.Code != tt.code || !strings.Contains(p.Message, tt.says) {
				t.Errorf("got %v, want %s with %q", err, tt.code, tt.says)
			}
		})
	}
}

func TestParseRefusesOneKeyForTwo(t *testing.T) {
	l := sample(t)
	l.Gateways["euw1-a"] = Gateway{Index: 2, PublicKey: l.Gateways["use1-a"].PublicKey}
	data, err := l.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Parse("f.lock.json", data); err == nil || !strings.Contains(err.Error(), "same public key") {
		t.Errorf("got %v", err)
	}
}

func FuzzParse(f *testing.F) {
	data, err := sample(f).Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add([]byte(`{"fabric":"a","gateways":{"a":{"index":1}}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		l, err := Parse("f", data)
		if err != nil {
			if strings.ContainsAny(err.Error(), "\n\x00\x1b") {
				t.Errorf("an error holds control characters: %q", err)
			}
			return
		}
		out, err := l.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Parse("f", out); err != nil {
			t.Errorf("Encode wrote what Parse refuses: %v", err)
		}
	})
}
