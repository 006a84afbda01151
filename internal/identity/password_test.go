package identity

import (
	"errors"
	"os"
	"strings"
	"testing"

	"ropeway/internal/diag"
)

func TestPasswords(t *testing.T) {
	s := In(t.TempDir())
	refused := func(what string, code diag.Code) {
		t.Helper()
		_, err := s.Password("colo")
		var p diag.Problem
		if !errors.As(err, &p) || p.Code != code || !strings.Contains(p.Message, "colo.password") {
			t.Errorf("%s: %v, want %s and the file's name", what, err, code)
		}
		if err != nil && strings.Contains(err.Error(), "hunter") {
			t.Errorf("%s: the error repeats the password: %v", what, err)
		}
	}
	refused("no directory", codePassword)
	must(t, os.Mkdir(s.dir, 0o700))
	refused("no file", codePassword)
	for what, content := range map[string]string{
		"empty": "", "a line's end alone": "\n", "a space": "hunter 2", "two lines": "hunter\n2\n", "a quote": `hunter"2`, "a backslash": `hunter\2`,
		"beyond ASCII": "hunter\u00fc", "too long": strings.Repeat("hunter2_", 10) + "x", "far too long": strings.Repeat("hunter2_", 1000),
	} {
		write(t, s.PasswordPath("colo"), content)
		refused(what, codePassword)
	}
	for _, good := range []string{"hunter2", "h#;{}!$", strings.Repeat("hunter2_", 10)} {
		for _, end := range []string{"", "\n", "\r\n"} {
			write(t, s.PasswordPath("colo"), good+end)
			if got, err := s.Password("colo"); err != nil || got != good {
				t.Errorf("%q: %q, %v", good+end, got, err)
			}
		}
	}
	chmod(t, s.PasswordPath("colo"), 0o640)
	refused("a file that others may read", codeExposed)
	if _, err := s.Password("../colo"); err == nil {
		t.Error("a name left the directory")
	}
}
