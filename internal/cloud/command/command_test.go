package command

import (
	"context"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// program writes a shell script and returns its path.
func program(t *testing.T, script string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "table")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+script), 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

func prefixes(texts ...string) (out []netip.Prefix) {
	for _, s := range texts {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

// The program gets its own arguments, the gateway and the prefixes, and what it prints has changed.
func TestLead(t *testing.T) {
	seen := filepath.Join(t.TempDir(), "seen")
	p, err := New(program(t, `echo "$@" > `+seen+`; tee -a `+seen+` | head -1`) + "  vpc-1 eu-west-1 ")
	if err != nil {
		t.Fatal(err)
	}
	changed, err := p.Lead(t.Context(), "use1-b", prefixes("10.20.0.0/16", "2001:db8::/32"))
	if err != nil || !slices.Equal(changed, prefixes("10.20.0.0/16")) {
		t.Errorf("changed %v, error %v", changed, err)
	}
	said, _ := os.ReadFile(seen)
	if want := "vpc-1 eu-west-1 lead use1-b\n10.20.0.0/16\n2001:db8::/32\n"; string(said) != want {
		t.Errorf("the program was told %q, want %q", said, want)
	}
	if again, err := p.Lead(t.Context(), "use1-a", nil); err != nil || len(again) > 0 {
		t.Errorf("for no prefix: %v, %v", again, err)
	}
}

// A failure says what the program said last. What it prints is bounded, and is no prefix just because it is printed.
func TestFailures(t *testing.T) {
	for script, want := range map[string]string{
		`echo one >&2; echo "no such table" >&2; exit 3`: `exit status 3: "no such table"`,
		`printf 'a\033[1mb' >&2; exit 1`:                 `exit status 1: "a\x1b[1mb"`,
		`exit 1`:                                         "exit status 1",
		`echo hello`:                                     `"hello", which is not a prefix`,
	} {
		p, err := New(program(t, script))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := p.Lead(t.Context(), "a", nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want one with %s", script, err, want)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	p, err := New(program(t, "sleep 60 & wait"))
	if err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	if _, err := p.Lead(ctx, "a", nil); err == nil || !strings.Contains(err.Error(), "deadline") {
		t.Errorf("a program that hangs: %v", err)
	}
	if took := time.Since(begun); took > 10*time.Second {
		t.Errorf("given up after %v", took)
	}
	flood, err := New(program(t, "yes | head -c 10000000 >&2; exit 1"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := flood.Lead(t.Context(), "a", nil); err == nil || len(err.Error()) > 2*mostWords {
		t.Errorf("of a flood: %d bytes", len(err.Error()))
	}
}

func TestNew(t *testing.T) {
	for _, line := range []string{"", "  ", "/does/not/exist", "/etc/passwd"} {
		if _, err := New(line); err == nil {
			t.Errorf("%q is taken for a program", line)
		}
	}
}
