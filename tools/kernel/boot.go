package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// emulator returns the path of QEMU.
func emulator() (string, error) {
	if runtime.GOARCH != "amd64" {
		return "", lacking("the virtual machine is made for x86-64")
	}
	path, err := exec.LookPath("qemu-system-x86_64")
	if err != nil {
		return "", lacking("there is no qemu-system-x86_64; tools/machine kernel installs it")
	}
	return path, nil
}

// verdict is the line that the init prints at the end.
const verdict = "tests in the virtual machine: "

// boot runs a machine until it ends and prints what it says. It dies with this program, whatever becomes of that.
//
// Deleting a device waits for a grace period of RCU, which an emulated CPU takes long over unless it is told to hurry (rcu_expedited), and page tables of five levels
// (la57) are walked in vain.
func boot(ctx context.Context, qemu, kernel, disk string) error {
	runtime.LockOSThread() // the thread whose death is the machine's
	cmd := exec.CommandContext(ctx, qemu, "-accel", "tcg,thread=multi", "-cpu", "max,la57=off", "-smp", "2", "-m", "2048",
		"-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-net", "none", "-serial", "stdio",
		"-kernel", kernel, "-initrd", disk,
		"-append", "console=ttyS0 panic=-1 quiet mitigations=off rcupdate.rcu_expedited=1")
	cmd.SysProcAttr = &unix.SysProcAttr{Pdeathsig: unix.SIGKILL}
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	result := relay(out)
	err = cmd.Wait()
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case err != nil:
		return fmt.Errorf("run QEMU: %w", err)
	case result != "ok":
		return errors.New(result)
	}
	return nil
}

// relay prints what a machine says, to its end, and returns its verdict.
func relay(console io.Reader) string {
	result := "it ended without a word"
	for lines := bufio.NewReader(console); ; {
		line, err := lines.ReadString('\n')
		_, _ = io.WriteString(os.Stdout, line)
		if _, text, ok := strings.Cut(line, verdict); ok {
			result = strings.TrimSpace(text)
		}
		if err != nil {
			return result
		}
	}
}
