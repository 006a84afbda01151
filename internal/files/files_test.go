package files_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"ropeway/internal/files"
)

func write(t *testing.T, path, text string, mode os.FileMode) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestReadTakesRegularFilesOnly(t *testing.T) {
	dir := t.TempDir()
	plain := write(t, filepath.Join(dir, "plain"), "text", 0o644)
	link, pipe := filepath.Join(dir, "link"), filepath.Join(dir, "pipe")
	if err := errors.Join(os.Symlink(plain, link), unix.Mkfifo(pipe, 0o600)); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]error{
		plain: nil, link: files.ErrLink, pipe: files.ErrNotRegular, dir: files.ErrNotRegular, filepath.Join(dir, "none"): fs.ErrNotExist,
	} {
		if _, err := files.Read(path, 100); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", path, err, want)
		}
	}
	if _, err := files.Read(plain, 3); !errors.Is(err, files.ErrTooLarge) {
		t.Errorf("4 bytes with a limit of 3: %v", err)
	}
	if data, err := files.Read(plain, 4); err != nil || string(data) != "text" {
		t.Errorf("4 bytes with a limit of 4: %q, %v", data, err)
	}
}

func TestCreateNeverOverwrites(t *testing.T) {
	dir := t.TempDir()
	old := write(t, filepath.Join(dir, "old"), "old", 0o644)
	link := filepath.Join(dir, "link")
	if err := os.Symlink(filepath.Join(dir, "elsewhere"), link); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{old, link} {
		if err := files.Create(path, []byte("new"), 0o600); !errors.Is(err, fs.ErrExist) {
			t.Errorf("%s: %v", path, err)
		}
	}
	if _, err := os.Lstat(filepath.Join(dir, "elsewhere")); err == nil {
		t.Error("a link was followed")
	}
	fresh := filepath.Join(dir, "fresh")
	if err := files.Create(fresh, []byte("new"), 0o600); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(fresh); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}

// A reader sees the old content or the new one, whole, while writers replace the file.
func TestReplaceIsAtomic(t *testing.T) {
	dir := t.TempDir()
	path := write(t, filepath.Join(dir, "lock"), strings.Repeat("a", 1<<16), 0o644)
	var writers sync.WaitGroup
	for _, letter := range []string{"b", "c"} {
		writers.Go(func() {
			for range 20 {
				if err := files.Replace(path, []byte(strings.Repeat(letter, 1<<16)), 0o644); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for range 200 {
		data, err := files.Read(path, 1<<20)
		if err != nil || len(data) != 1<<16 || strings.Count(string(data), string(data[:1])) != 1<<16 {
			t.Fatalf("torn: %d bytes, %v", len(data), err)
		}
	}
	writers.Wait()
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestReplaceDoesNotTouchALink(t *testing.T) {
	dir := t.TempDir()
	target := write(t, filepath.Join(dir, "target"), "old", 0o644)
	link := filepath.Join(dir, "link")
	if err := os.Symlink(target, link); err != nil {
		t.Fatal(err)
	}
	if err := files.Replace(link, []byte("new"), 0o644); !errors.Is(err, files.ErrNotRegular) {
		t.Errorf("%v", err)
	}
	if data, _ := os.ReadFile(target); string(data) != "old" {
		t.Errorf("the target holds %q", data)
	}
}

func TestSecretDir(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a", "keys")
	for range 2 { // made, then accepted
		if err := files.SecretDir(path); err != nil {
			t.Fatal(err)
		}
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if err := os.Chmod(path, 0o750); err != nil {
		t.Fatal(err)
	}
	if err := files.SecretDir(path); !errors.Is(err, files.ErrExposed) {
		t.Errorf("mode 0750: %v", err)
	}
	link := filepath.Join(dir, "link")
	if err := os.Symlink(filepath.Join(dir, "a"), link); err != nil {
		t.Fatal(err)
	}
	if err := files.SecretDir(link); !errors.Is(err, files.ErrLink) {
		t.Errorf("a link: %v", err)
	}
	if err := files.SecretDir(write(t, filepath.Join(dir, "file"), "", 0o600)); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a file: %v", err)
	}
}

// What is read, changed and written under Hold loses nothing.
func TestHold(t *testing.T) {
	dir := t.TempDir()
	guard, counter := write(t, filepath.Join(dir, "guard"), "", 0o644), write(t, filepath.Join(dir, "counter"), "", 0o644)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			release, err := files.Hold(guard)
			if err != nil {
				t.Error(err)
				return
			}
			data, err := files.Read(counter, 100)
			err = errors.Join(err, files.Replace(counter, append(data, 'x'), 0o644), release())
			if err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if data, _ := os.ReadFile(counter); len(data) != 8 {
		t.Errorf("%d of 8 changes are there", len(data))
	}
}
