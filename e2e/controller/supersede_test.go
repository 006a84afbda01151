package controller_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ropeway/internal/nstest"
)

// types runs ropeway as the administrator, who sits at a terminal and has typed something.
func (w *world) types(keys string, args ...string) (out string, code int) {
	w.t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	must(w.t, err)
	defer func() { _ = master.Close() }()
	must(w.t, unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0))
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	must(w.t, err)
	slave, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	must(w.t, err)
	defer func() { _ = slave.Close() }()
	_, err = master.WriteString(keys)
	must(w.t, err)
	cmd := exec.Command(filepath.Join(programs, "ropeway"), args...)
	cmd.Env, cmd.Stdin = append(os.Environ(), "ROPEWAY_CONFIG="+w.path("person-admin")), slave
	var both []byte
	nstest.In(w.t, w.office, func() { both, err = cmd.CombinedOutput() })
	if cmd.ProcessState == nil {
		w.t.Fatalf("ropeway %s: %v", args[0], err)
	}
	return string(both), cmd.ProcessState.ExitCode()
}

// TestSupersede: a rollout is ended for another change where somebody agrees to that, and for nothing else.
func TestSupersede(t *testing.T) {
	w := newTrio(t)
	saved := w.path("friday.plan")
	w.do("apply", w.trio(anyAll), "--auto-approve", "--no-wait", "--soak", "1h")
	running := w.rollout()
	untouched := func(what string) {
		t.Helper()
		if r := w.rollout(); r.State != "running" || r.Revision != running.Revision {
			t.Fatalf("after %s: %+v", what, r)
		}
	}
	file := w.trio("{from: any, to: any, ports: [icmp, tcp/443]}")
	w.says(1, args("apply", file, "--supersede"), "RW6001", "nobody is there to ask")
	untouched("a question that nobody heard")
	out, code := w.types("no\n", "apply", file, "--supersede")
	if code != 0 || !strings.Contains(out, fmt.Sprintf("The rollout of revision %d is running, at wave 1 of 2", running.Revision)) ||
		!strings.Contains(out, "End that rollout?") || !strings.Contains(out, "Nothing was changed.") || strings.Contains(out, "Apply this") {
		t.Errorf("no: exit %d\n%s", code, out)
	}
	untouched("a no")
	w.says(2, args("plan", file, "--out", saved))
	w.says(1, args("apply", saved, "--supersede"), "RW7301")
	untouched("a saved plan")
	wrong := w.path("wrong.yaml")
	text, err := os.ReadFile(file)
	must(t, err)
	must(t, os.WriteFile(wrong, []byte(strings.Replace(string(text), "name: gw1", "name: GW1", 1)), 0o600))
	w.says(1, args("apply", wrong, "--supersede", "--auto-approve"), "RW1101")
	untouched("a file that is wrong")
	must(t, os.WriteFile(wrong, append(text, "  tests:\n    - {from: region/east, to: \"10.2.0.5:22/tcp\", expect: reachable}\n"...), 0o600))
	w.says(3, args("apply", wrong, "--supersede", "--auto-approve"), "FAIL")
	untouched("a proof that fails")

	out, code = w.types("yes\nno\n", "apply", file, "--supersede")
	back := w.rollout()
	if code != 0 || back.State != "aborted" || !strings.Contains(out, "Apply this to the fabric?") || !strings.Contains(out, fmt.Sprintf("beside revision %d", back.Back)) {
		t.Errorf("yes, and no: exit %d, %+v\n%s", code, back, out)
	}
	w.do("apply", w.trio(anyAll), "--auto-approve", "--no-wait", "--soak", "1h")
	file = w.trio("{from: any, to: any, ports: [icmp, tcp/443]}")
	out, code = w.types("yes\nyes\n", "apply", file, "--supersede", "--no-wait", "--soak", "10ms")
	if code != 0 || !strings.Contains(out, "is aborted: ") || !strings.Contains(out, "is accepted") {
		t.Fatalf("yes, and yes: exit %d\n%s", code, out)
	}
	eventually(t, 90*time.Second, "the change is in force", func() bool { return w.rollout().State == "done" })
	if got := w.do("show"); !strings.Contains(got, "tcp/443") {
		t.Errorf("the fabric is\n%s", got)
	}
}
