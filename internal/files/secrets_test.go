package files_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"ropeway/internal/files"
)

func secrets(t *testing.T) (*files.Secrets, string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "a", "keys")
	s, err := files.MakeSecrets(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s, dir
}

func TestASecretIsWrittenOnce(t *testing.T) {
	s, dir := secrets(t)
	if _, err := s.Read("one", 100); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("read before it is there: %v", err)
	}
	write(t, filepath.Join(dir, ".one.new"), "what a crash left", 0o600)
	if err := s.Create("one", []byte("first")); err != nil {
		t.Fatal(err)
	}
	if err := s.Create("one", []byte("second")); !errors.Is(err, fs.ErrExist) {
		t.Errorf("written twice: %v", err)
	}
	if data, err := s.Read("one", 5); err != nil || string(data) != "first" {
		t.Errorf("it holds %q, %v", data, err)
	}
	if _, err := s.Read("one", 4); !errors.Is(err, files.ErrTooLarge) {
		t.Errorf("5 bytes with a limit of 4: %v", err)
	}
	for path, want := range map[string]os.FileMode{dir: os.ModeDir | 0o700, filepath.Join(dir, "one"): 0o600} {
		if info, err := os.Lstat(path); err != nil || info.Mode() != want {
			t.Errorf("%s has mode %v, want %v (%v)", path, info.Mode(), want, err)
		}
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
		t.Errorf("the directory holds %v, %v", left, err)
	}
}

func TestManyWriteOneSecret(t *testing.T) {
	_, dir := secrets(t)
	var made atomic.Int32
	var all sync.WaitGroup
	for range 16 {
		all.Go(func() {
			s, err := files.OpenSecrets(dir)
			if err != nil {
				t.Error(err)
				return
			}
			defer s.Close()
			switch err := s.Create("one", []byte(strings.Repeat("x", 4096))); {
			case err == nil:
				made.Add(1)
			case !errors.Is(err, fs.ErrExist):
				t.Error(err)
			}
		})
	}
	all.Wait()
	if made.Load() != 1 {
		t.Errorf("%d of 16 wrote it", made.Load())
	}
}

// TestExposedSecrets: every way in which a file or its directory can be somebody else's.
func TestExposedSecrets(t *testing.T) {
	for name, c := range map[string]struct {
		damage func(dir, file string) error
		want   error
	}{
		"file that others may read":       {func(_, file string) error { return os.Chmod(file, 0o640) }, files.ErrExposed},
		"file that others may write":      {func(_, file string) error { return os.Chmod(file, 0o602) }, files.ErrExposed},
		"file of somebody else":           {func(_, file string) error { return os.Chown(file, 65534, 65534) }, files.ErrExposed},
		"link in place of the file":       {func(_, file string) error { return swap(file) }, files.ErrLink},
		"pipe in place of the file":       {func(_, file string) error { return errors.Join(os.Remove(file), syscall.Mkfifo(file, 0o600)) }, files.ErrNotRegular},
		"directory in place of the file":  {func(_, file string) error { return errors.Join(os.Remove(file), os.Mkdir(file, 0o700)) }, files.ErrNotRegular},
		"directory that others may enter": {func(dir, _ string) error { return os.Chmod(dir, 0o755) }, files.ErrExposed},
		"directory of somebody else":      {func(dir, _ string) error { return os.Chown(dir, 65534, 65534) }, files.ErrExposed},
		"link in place of the directory":  {func(dir, _ string) error { return swap(dir) }, files.ErrLink},
	} {
		t.Run(name, func(t *testing.T) {
			if strings.Contains(name, "somebody else") && os.Geteuid() != 0 {
				t.Skip("needs root to give a file away")
			}
			s, dir := secrets(t)
			if err := s.Create("one", []byte("canary")); err != nil {
				t.Fatal(err)
			}
			if err := c.damage(dir, filepath.Join(dir, "one")); err != nil {
				t.Fatal(err)
			}
			again, err := files.MakeSecrets(dir)
			if err == nil {
				defer again.Close()
				_, err = again.Read("one", 100)
			}
			if !errors.Is(err, c.want) || strings.Contains(err.Error(), "canary") {
				t.Errorf("%v, want %v", err, c.want)
			}
		})
	}
}

func swap(path string) error {
	return errors.Join(os.Rename(path, path+".moved"), os.Symlink(path+".moved", path))
}

func TestASecretStaysInItsDirectory(t *testing.T) {
	s, _ := secrets(t)
	for _, name := range []string{"", ".", "..", "/", "../x", "a/b", "/etc/passwd", "a\x00b"} {
		if err := s.Create(name, []byte("x")); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("created %q: %v", name, err)
		}
		if _, err := s.Read(name, 1); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("read %q: %v", name, err)
		}
	}
}

// A secret that stands alone is as private as those of a directory.
func TestReadSecret(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "key")
	if err := os.WriteFile(path, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := files.ReadSecret(path, 6); err != nil || string(got) != "secret" {
		t.Errorf("got %q, %v", got, err)
	}
	if _, err := files.ReadSecret(path, 5); !errors.Is(err, files.ErrTooLarge) {
		t.Errorf("larger than the limit: %v", err)
	}
	if err := os.Symlink(path, path+".link"); err != nil {
		t.Fatal(err)
	}
	if _, err := files.ReadSecret(path+".link", 6); !errors.Is(err, files.ErrLink) {
		t.Errorf("a link: %v", err)
	}
	if _, err := files.ReadSecret(dir, 6); !errors.Is(err, files.ErrNotRegular) {
		t.Errorf("a directory: %v", err)
	}
	if err := os.Chmod(path, 0o604); err != nil {
		t.Fatal(err)
	}
	if _, err := files.ReadSecret(path, 6); !errors.Is(err, files.ErrExposed) {
		t.Errorf("others may read it: %v", err)
	}
}
