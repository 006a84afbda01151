package skew

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"testing"
	"time"
)

const childEnv = "ROPEWAY_SKEW_TEST_CHILD"

// TestMain is also the process whose clock is changed: a static program that tells the time whenever it is asked.
func TestMain(m *testing.M) {
	if os.Getenv(childEnv) == "" {
		os.Exit(m.Run())
	}
	stop := make(chan struct{})
	for range 3 { // threads that ask all the time
		go func() {
			for time.Now().Unix() > 0 {
				select {
				case <-stop:
					return
				case <-time.After(50 * time.Microsecond):
				}
			}
		}()
	}
	begun := time.Now()
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		fmt.Println(time.Now().Unix(), time.Since(begun).Milliseconds())
	}
}

// A clock is an hour fast, then two slow, then true again, and what only runs forward never notices.
func TestAClockOfItsOwn(t *testing.T) {
	child := exec.CommandContext(context.WithoutCancel(t.Context()), os.Args[0]) // it ends with its input
	child.Env = append(os.Environ(), childEnv+"=1")
	in, err := child.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(in.Close(), child.Wait()); err != nil {
			t.Error(err)
		}
	})
	answers := bufio.NewReader(out)
	var last int64
	for _, offset := range []time.Duration{0, time.Hour, time.Hour, -2 * time.Hour, 0} {
		err := Set(t.Context(), child.Process.Pid, offset)
		if runtime.GOARCH != "amd64" && offset != 0 {
			if !errors.Is(err, ErrArchitecture) {
				t.Errorf("on %s: %v", runtime.GOARCH, err)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(in, "\n"); err != nil {
			t.Fatal(err)
		}
		var now, forward int64
		if _, err := fmt.Fscan(answers, &now, &forward); err != nil {
			t.Fatal(err)
		}
		if off := time.Until(time.Unix(now, 0)) - offset; off.Abs() > time.Minute {
			t.Errorf("with %s it is off by %s", offset, off)
		}
		if forward < last || forward > last+60_000 {
			t.Errorf("what runs forward went from %d to %d ms", last, forward)
		}
		last = forward
	}
	if err := Set(t.Context(), 1<<22+1, time.Hour); err == nil {
		t.Error("the clock of nobody was set")
	}
}
