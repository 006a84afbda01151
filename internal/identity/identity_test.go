package identity

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"ropeway/internal/diag"
	"ropeway/internal/key"
)

func TestAKeyIsMadeOnceAndKept(t *testing.T) {
	s := In(t.TempDir())
	if _, err := s.Load("rw0"); !errors.Is(err, ErrMissing) {
		t.Fatalf("load before there is a key: %v, want ErrMissing", err)
	}
	first, err := s.LoadOrMake("rw0")
	if err != nil {
		t.Fatal(err)
	}
	again, err := s.LoadOrMake("rw0")
	if err != nil {
		t.Fatal(err)
	}
	if !first.Equal(again) {
		t.Error("the second call made another key")
	}
	other, err := s.LoadOrMake("rw1")
	if err != nil {
		t.Fatal(err)
	}
	if first.Equal(other) {
		t.Error("two devices share a key")
	}
	for path, want := range map[string]os.FileMode{s.dir: os.ModeDir | 0o700, s.Path("rw0"): 0o600} {
		info, err := os.Lstat(path)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode() != want {
			t.Errorf("%s has mode %v, want %v", path, info.Mode(), want)
		}
	}
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != 2 {
		t.Errorf("the directory holds %v, want the two keys and nothing else", entries)
	}
}

// TestDevicesShareTheGatewaysKey but for those with a file of their own, even one that is no good.
func TestDevicesShareTheGatewaysKey(t *testing.T) {
	s := In(t.TempDir())
	if _, name, err := s.Of("rw7"); !errors.Is(err, ErrMissing) || name != Gateway {
		t.Fatalf("before there is a key: %q, %v", name, err)
	}
	first, err := s.OfOrMake("rw7")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(s.Path("rw7")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the device got a file of its own: %v", err)
	}
	for _, device := range []string{Gateway, "rw1", "rw42"} {
		if k, name, err := s.Of(device); err != nil || name != Gateway || !k.Equal(first) {
			t.Errorf("%s has the key in %s, %v; want the gateway's", device, name, err)
		}
	}
	own, err := s.LoadOrMake("rw2")
	if err != nil {
		t.Fatal(err)
	}
	if k, name, err := s.Of("rw2"); err != nil || name != "rw2" || !k.Equal(own) || k.Equal(first) {
		t.Errorf("rw2 has the key in %s, %v; want its own", name, err)
	}
	if k, err := s.OfOrMake("rw2"); err != nil || !k.Equal(own) {
		t.Errorf("rw2 got another key: %v", err)
	}
	if err := os.WriteFile(s.Path("rw2"), []byte("rubbish\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Of("rw2"); err == nil || errors.Is(err, ErrMissing) {
		t.Errorf("a damaged key was passed over: %v", err)
	}
	if _, _, err := s.Of("../rw0"); err == nil || errors.Is(err, ErrMissing) {
		t.Errorf("a name that is none was taken: %v", err)
	}
}

func TestManyAtOnceGetOneKey(t *testing.T) {
	s := In(t.TempDir())
	keys := make([]key.Private, 16)
	var wg sync.WaitGroup
	for i := range keys {
		wg.Go(func() {
			k, err := s.LoadOrMake("rw0")
			if err != nil {
				t.Error(err)
			}
			keys[i] = k
		})
	}
	wg.Wait()
	for i := range keys {
		if !keys[i].Equal(keys[0]) {
			t.Fatalf("caller %d got another key than caller 0", i)
		}
	}
}

func TestWhatACrashLeftDoesNotStandInTheWay(t *testing.T) {
	s := In(t.TempDir())
	if err := os.Mkdir(s.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	left := filepath.Join(s.dir, ".rw0.key.new")
	if err := os.WriteFile(left, []byte("half a k"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := s.LoadOrMake("rw0"); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(left); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s is still there: %v", left, err)
	}
}

// TestRefusals: every way in which a key file can be somebody else's, and what it says.
func TestRefusals(t *testing.T) {
	const canary = "KNarykNarykNarykNarykNarykNarykNarykNarykA=="
	cases := []struct {
		name   string
		damage func(t *testing.T, s Store)
		code   diag.Code
		says   string
	}{
		{"file that others may read", func(t *testing.T, s Store) { chmod(t, s.Path("rw0"), 0o640) }, codeExposed, "mode 0640"},
		{"file that others may write", func(t *testing.T, s Store) { chmod(t, s.Path("rw0"), 0o602) }, codeExposed, "mode 0602"},
		{"directory that others may enter", func(t *testing.T, s Store) { chmod(t, s.dir, 0o755) }, codeExposed, "mode 0755"},
		{"file of somebody else", func(t *testing.T, s Store) { chown(t, s.Path("rw0")) }, codeExposed, "belongs to user 65534"},
		{"directory of somebody else", func(t *testing.T, s Store) { chown(t, s.dir) }, codeExposed, "belongs to user 65534"},
		{"link in place of the file", func(t *testing.T, s Store) { link(t, s.Path("rw0")) }, codeExposed, "symbolic link"},
		{"link in place of the directory", func(t *testing.T, s Store) { link(t, s.dir) }, codeExposed, "link"},
		{"pipe in place of the file", func(t *testing.T, s Store) {
			must(t, os.Remove(s.Path("rw0")))
			must(t, syscall.Mkfifo(s.Path("rw0"), 0o600))
		}, codeExposed, "not a regular file"},
		{"truncated key", func(t *testing.T, s Store) { write(t, s.Path("rw0"), canary[:20]) }, codeNotAKey, "does not hold"},
		{"empty file", func(t *testing.T, s Store) { write(t, s.Path("rw0"), "") }, codeNotAKey, "does not hold"},
		{"longer text", func(t *testing.T, s Store) { write(t, s.Path("rw0"), canary+"\n"+canary) }, codeNotAKey, "does not hold"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s := In(t.TempDir())
			if _, err := s.LoadOrMake("rw0"); err != nil {
				t.Fatal(err)
			}
			c.damage(t, s)
			_, err := s.LoadOrMake("rw0")
			var p diag.Problem
			if !errors.As(err, &p) || p.Code != c.code || !strings.Contains(p.Message, c.says) || p.Hint == "" {
				t.Fatalf("got %v, want %s with %q and a hint", err, c.code, c.says)
			}
			if strings.Contains(err.Error(), canary[:20]) {
				t.Errorf("the error repeats the file: %v", err)
			}
		})
	}
}

func TestANameNeverLeavesTheDirectory(t *testing.T) {
	s := In(t.TempDir())
	for _, name := range []string{"", "rw", "../rw0", "rw0/../../x", "eth0", "rw0\x00", "rw0\n", "RW0"} {
		if _, err := s.LoadOrMake(name); err == nil {
			t.Errorf("device %q was taken", name)
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func chmod(t *testing.T, path string, mode os.FileMode) { t.Helper(); must(t, os.Chmod(path, mode)) }

func chown(t *testing.T, path string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root to give a file away")
	}
	must(t, os.Chown(path, 65534, 65534))
}

func link(t *testing.T, path string) {
	t.Helper()
	must(t, os.Rename(path, path+".moved"))
	must(t, os.Symlink(path+".moved", path))
}

func write(t *testing.T, path, text string) {
	t.Helper()
	must(t, os.WriteFile(path, []byte(text), 0o600))
}
