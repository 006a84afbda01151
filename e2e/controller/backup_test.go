package controller_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"ropeway/internal/nstest"
)

// ropewayd runs the controller's program for one command.
func (w *world) ropewayd(args ...string) (out string, code int) {
	w.t.Helper()
	cmd := exec.Command(filepath.Join(programs, "ropewayd"), args...)
	var both []byte
	var err error
	nstest.In(w.t, w.office, func() { both, err = cmd.CombinedOutput() })
	if cmd.ProcessState == nil {
		w.t.Fatalf("ropewayd %s: %v", args[0], err)
	}
	return string(both), cmd.ProcessState.ExitCode()
}

// TestARestoredController: a controller is lost with its disk, after changes that no backup has. What is restored of an older backup is the same
// fabric to people and gateways, and gateways follow it on.
func TestARestoredController(t *testing.T) {
	w := newWorld(t)
	east, west := w.gateways[0], w.gateways[1]
	recipient, code := w.ropewayd("backup-key", w.path("backup.key"))
	if code != 0 {
		t.Fatal(recipient)
	}
	more := []string{"--backup-recipient", strings.TrimSpace(recipient)}
	w.serve(more...)
	w.do("login", server, "--token", w.firstToken())
	w.do("apply", w.shop(pings), "--auto-approve")
	for _, g := range w.gateways {
		if out, err := g.enroll(strings.TrimSpace(w.do("token", "create", "--gateway", g.name()))); err != nil {
			t.Fatalf("enroll: %v\n%s", err, out)
		}
		g.run()
	}
	w.allWell()
	eventually(t, long, "the hosts reach each other", func() bool { return east.reaches(west) })
	unused := strings.TrimSpace(w.do("token", "create", "--viewer", "eve"))
	w.do("backup", w.path("shop.backup"))
	if out, code := w.ropeway("admin", "backup", w.path("shop.backup")); code == 0 {
		t.Errorf("a backup was written over: %s", out)
	}
	w.do("apply", w.shop(nothing), "--auto-approve") // which is lost
	w.allWell()
	lost := w.lines()["gw1"].Epoch
	if east.reaches(west) {
		t.Error("a ping passes that is no longer allowed")
	}

	w.controller.kill()
	must(t, os.RemoveAll(w.path("data")))
	restore := func(file, fabric, key string) (string, int) {
		return w.ropewayd("restore", w.path(file), "--data", w.path("data"), "--fabric", fabric, "--key", w.path(key))
	}
	whole, err := os.ReadFile(w.path("shop.backup"))
	must(t, err)
	must(t, os.WriteFile(w.path("cut"), whole[:len(whole)-100], 0o600))
	whole[len(whole)/2] ^= 1
	must(t, os.WriteFile(w.path("changed"), whole, 0o600))
	if out, code := w.ropewayd("backup-key", w.path("other.key")); code != 0 {
		t.Fatal(out)
	}
	for _, c := range []struct{ file, fabric, key, want string }{
		{"cut", "shop", "backup.key", "RW7232"}, {"changed", "shop", "backup.key", "RW7232"}, {"shop.backup", "shop", "other.key", "RW7231"},
		{"shop.backup", "shoe", "backup.key", "RW7233"}, {"nowhere", "shop", "backup.key", "RW7230"}, {"shop.backup", "shop", "cut", "RW7231"},
	} {
		if out, code := restore(c.file, c.fabric, c.key); code == 0 || !strings.Contains(out, c.want) {
			t.Errorf("%v: %d, %s", c, code, out)
		}
	}
	if out, code := restore("shop.backup", "shop", "backup.key"); code != 0 {
		t.Fatal(out)
	}
	if out, code := restore("shop.backup", "shop", "backup.key"); code == 0 || !strings.Contains(out, "RW7234") {
		t.Errorf("over a controller: %d, %s", code, out)
	}

	w.serve(more...)
	w.allWell()
	eventually(t, long, "the hosts reach each other, as the backup says", func() bool { return east.reaches(west) })
	if now := w.lines()["gw1"].Epoch; now < lost+1000 {
		t.Errorf("gateways hold epoch %d, and the fabric goes on with %d", lost, now)
	}
	if out, code := w.ropeway("eve", "login", server, "--token", unused); code != 0 {
		t.Errorf("a token that was not used: %s", out)
	}
	w.do("apply", w.shop(nothing), "--auto-approve")
	w.allWell()
	if east.reaches(west) {
		t.Error("a ping passes that is no longer allowed")
	}
	var list []struct{ Kind string }
	must(t, json.Unmarshal([]byte(w.do("get", "revisions", "-o", "json")), &list))
	kinds := map[string]int{}
	for _, r := range list {
		kinds[r.Kind]++
	}
	if kinds["restore"] != 1 || kinds["apply"] != 2 || kinds["enroll"] != 2 {
		t.Errorf("revisions: %v", kinds)
	}
}

// TestACopyOfTheDirectoryFromBefore: whoever puts an old copy of the directory back, rather than a backup, gets a fabric whose numbers gateways have
// seen. The first gateway shows what it holds, and all go on.
func TestACopyOfTheDirectoryFromBefore(t *testing.T) {
	w := newWorld(t)
	east, west := w.gateways[0], w.gateways[1]
	w.serve()
	w.do("login", server, "--token", w.firstToken())
	w.do("apply", w.shop(pings), "--auto-approve")
	for _, g := range w.gateways {
		if out, err := g.enroll(strings.TrimSpace(w.do("token", "create", "--gateway", g.name()))); err != nil {
			t.Fatalf("enroll: %v\n%s", err, out)
		}
		g.run()
	}
	w.allWell()
	w.controller.kill()
	must(t, os.CopyFS(w.path("copy"), os.DirFS(w.path("data"))))
	w.serve()
	for range 3 {
		w.do("apply", w.shop(nothing), "--auto-approve")
		w.do("apply", w.shop(pings), "--auto-approve")
	}
	w.do("apply", w.shop(nothing), "--auto-approve")
	w.allWell()
	held := w.lines()["gw1"].Epoch
	w.controller.kill()
	must(t, os.RemoveAll(w.path("data")))
	must(t, os.Rename(w.path("copy"), w.path("data")))
	must(t, filepath.WalkDir(w.path("data"), func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			return os.Chmod(path, 0o700)
		}
		return os.Chmod(path, 0o600)
	}))

	w.serve()
	eventually(t, long, "gateways follow numbers past those that they held", func() bool { return w.lines()["gw1"].Applied > held && w.lines()["gw2"].Applied > held })
	eventually(t, long, "the hosts reach each other, as the copy says", func() bool { return east.reaches(west) })
	w.do("apply", w.shop(nothing), "--auto-approve")
	w.allWell()
	if east.reaches(west) {
		t.Error("a ping passes that is no longer allowed")
	}
}
