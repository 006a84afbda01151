package lab

import (
	"os"
	"os/exec"
	"testing"
	"time"
)

// TestEnded: a process has ended from the moment when it is over, whether or not somebody has asked how.
func TestEnded(t *testing.T) {
	if ended(os.Getpid()) {
		t.Error("this one has ended")
	}
	cmd := exec.Command("sleep", "60")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	pid := cmd.Process.Pid
	if ended(pid) {
		t.Error("one that runs has ended")
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	for begun := time.Now(); !ended(pid); time.Sleep(time.Millisecond) {
		if time.Since(begun) > time.Minute {
			t.Fatal("one that was killed has not ended")
		}
	}
	_ = cmd.Wait()
	if !ended(pid) {
		t.Error("one that is gone has not ended")
	}
}
