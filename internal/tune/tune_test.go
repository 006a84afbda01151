package tune

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ropeway/internal/nstest"
	"ropeway/internal/plan"
)

const forward, rpFilter = "net/ipv4/ip_forward", "net/ipv4/conf/lo/rp_filter"

// fresh is a client in a namespace of its own, and the path of its state file.
func fresh(t *testing.T) (*Client, string) {
	t.Helper()
	nstest.Enter(t)
	state := filepath.Join(t.TempDir(), "state", "sysctls.json")
	return New(Options{State: state}), state
}

func kernel(t *testing.T, key string) string {
	t.Helper()
	raw, err := os.ReadFile("/proc/sys/" + key) // of this thread's namespace
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(raw))
}

func set(t *testing.T, key, value string) {
	t.Helper()
	if err := os.WriteFile("/proc/sys/"+key, []byte(value), 0); err != nil {
		t.Fatal(err)
	}
}

func TestApplyAndRemove(t *testing.T) {
	c, state := fresh(t)
	set(t, forward, "0")
	want := []plan.Sysctl{{Key: forward, Value: "1"}, {Key: rpFilter, Value: "2"}}
	before := kernel(t, rpFilter)
	changes, err := c.Apply(context.Background(), want)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]Change{{forward, "0", "1"}, {rpFilter, before, "2"}}, changes); diff != "" {
		t.Errorf("changes (-want +got):\n%s", diff)
	}
	if again, err := c.Apply(context.Background(), want); err != nil || len(again) > 0 {
		t.Errorf("a second Apply: %v %v", again, err)
	}
	set(t, forward, "0") // drift
	if again, err := c.Apply(context.Background(), want); err != nil || len(again) != 1 || kernel(t, forward) != "1" {
		t.Errorf("after drift: %v %v", again, err)
	}
	// a plan that wants less, in a new process
	if changes, err = New(Options{State: state}).Apply(context.Background(), want[:1]); err != nil || kernel(t, rpFilter) != before {
		t.Errorf("a smaller plan: %v %v", changes, err)
	}
	if _, err := New(Options{State: state}).Remove(context.Background()); err != nil || kernel(t, forward) != "0" {
		t.Errorf("Remove: %v, ip_forward is %s", err, kernel(t, forward))
	}
	if _, err := os.Stat(state); !os.IsNotExist(err) {
		t.Errorf("the state file is still there: %v", err)
	}
}

func TestWhatSomebodyElseSetsLaterStays(t *testing.T) {
	c, _ := fresh(t)
	set(t, rpFilter, "0")
	if _, err := c.Apply(context.Background(), []plan.Sysctl{{Key: rpFilter, Value: "2"}}); err != nil {
		t.Fatal(err)
	}
	set(t, rpFilter, "1")
	if changes, err := c.Remove(context.Background()); err != nil || len(changes) > 0 || kernel(t, rpFilter) != "1" {
		t.Errorf("Remove: %v %v", changes, err)
	}
}

func TestMissingSettingIsNamedAndTheOthersSet(t *testing.T) {
	c, _ := fresh(t)
	set(t, forward, "0")
	changes, err := c.Apply(context.Background(), []plan.Sysctl{{Key: "net/ipv4/conf/rw9/rp_filter", Value: "2"}, {Key: forward, Value: "1"}})
	if err == nil || !strings.Contains(err.Error(), "rw9") {
		t.Errorf("error %v, want one about rw9", err)
	}
	if len(changes) != 1 || kernel(t, forward) != "1" {
		t.Errorf("changes: %v", changes)
	}
}

// TestNothingOutsideTheRoot tries keys that lead elsewhere, in a directory made for it.
func TestNothingOutsideTheRoot(t *testing.T) {
	dir := t.TempDir()
	root, outside := filepath.Join(dir, "root"), filepath.Join(dir, "outside")
	for _, d := range []string{filepath.Join(root, "net", "ipv4"), outside} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	target := filepath.Join(outside, "target")
	for _, err := range []error{
		os.WriteFile(target, []byte("0\n"), 0o644),
		os.Symlink(target, filepath.Join(root, "net", "ipv4", "link")),
		os.Symlink(outside, filepath.Join(root, "net", "ipv4", "away")),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	c := New(Options{Root: root, State: filepath.Join(dir, "state.json")})
	for _, key := range []string{
		"net/ipv4/link", "net/ipv4/away/target", "net/ipv4/../../../outside/target", "net/ipv4/..", "/net/ipv4/link", target, "",
		"kernel/core_pattern", "net/ipv4/x\nnet", "net/ipv4/x\x00y", "net/ipv4/\u202egpj",
	} {
		changes, err := c.Apply(context.Background(), []plan.Sysctl{{Key: key, Value: "1"}})
		if err == nil || len(changes) > 0 {
			t.Errorf("key %q: %v, changes %v", key, err, changes)
		} else if strings.ContainsAny(err.Error(), "\x00\u202e") {
			t.Errorf("key %q stands in the error as it is: %v", key, err)
		}
	}
	if got, _ := os.ReadFile(target); string(got) != "0\n" {
		t.Errorf("the file outside was written: %q", got)
	}
}

func TestHostileValue(t *testing.T) {
	c, _ := fresh(t)
	set(t, forward, "0")
	for _, value := range []string{"1\n2", "", "one", "1;reboot"} {
		if changes, err := c.Apply(context.Background(), []plan.Sysctl{{Key: forward, Value: value}}); err == nil || len(changes) > 0 {
			t.Errorf("value %q: %v %v", value, err, changes)
		}
	}
	if _, err := c.Apply(context.Background(), []plan.Sysctl{{Key: forward, Value: "1"}}); err != nil {
		t.Errorf("after them: %v", err)
	}
}

func TestBrokenStateFileStopsEverything(t *testing.T) {
	c, state := fresh(t)
	set(t, forward, "0")
	for name, text := range map[string]string{
		"cut":         `{"net/ipv4/ip_forward": {"before"`,
		"foreign key": `{"kernel/core_pattern": {"before": "1", "set": "0"}}`,
		"hostile":     `{"net/ipv4/ip_forward": {"before": "|/bin/sh", "set": "0"}}`,
		"unknown":     `{"net/ipv4/ip_forward": {"before": "1", "set": "0", "shell": "x"}}`,
	} {
		if err := os.MkdirAll(filepath.Dir(state), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(state, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Apply(context.Background(), []plan.Sysctl{{Key: forward, Value: "1"}}); err == nil || kernel(t, forward) != "0" {
			t.Errorf("%s: %v, ip_forward is %s", name, err, kernel(t, forward))
		}
	}
}

func FuzzKey(f *testing.F) {
	for _, s := range []string{forward, "net/../x", "net/ipv4/", "net/ipv4//x"} {
		f.Add(s)
	}
	dir := f.TempDir()
	c := New(Options{Root: dir})
	f.Fuzz(func(t *testing.T, key string) {
		if file, err := c.open(key, 0); err == nil {
			_ = file.Close()
			t.Errorf("opened %q in an empty directory", key)
		}
	})
}

func TestDiff(t *testing.T) {
	want := []plan.Sysctl{{Key: "a", Value: "1"}, {Key: "b", Value: "2"}, {Key: "c", Value: "3"}}
	have := []plan.Sysctl{{Key: "c", Value: "4"}, {Key: "a", Value: "1"}, {Key: "z", Value: "9"}}
	if diff := cmp.Diff([]Change{{"b", "", "2"}, {"c", "4", "3"}}, Diff(want, have)); diff != "" {
		t.Errorf("changes (-want +got):\n%s", diff)
	}
}
