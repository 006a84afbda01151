package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// inside is the init of the machine.
func inside() {
	result := "ok"
	if err := runTests(); err != nil {
		result = err.Error()
	}
	_, _ = fmt.Fprintln(os.Stdout, verdict+result)
	unix.Sync()
	_ = unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)
}

func runTests() error {
	for _, m := range [][2]string{{"/proc", "proc"}, {"/sys", "sysfs"}, {"/dev", "devtmpfs"}, {"/tmp", "tmpfs"}, {"/run", "tmpfs"}} {
		if err := unix.Mount(m[1], m[0], m[1], 0, ""); err != nil {
			return fmt.Errorf("mount %s: %w", m[0], err)
		}
	}
	for name, to := range map[string]string{"fd": "", "stdin": "/0", "stdout": "/1", "stderr": "/2"} { // udev would, where there is one
		if err := os.Symlink("/proc/self/fd"+to, "/dev/"+name); err != nil {
			return err
		}
	}
	if err := loadModules(); err != nil {
		return err
	}
	text, err := os.ReadFile(argsPath)
	if err != nil {
		return err
	}
	cmd := exec.Command(testsPath, strings.FieldsFunc(string(text), func(r rune) bool { return r == '\n' })...)
	cmd.Env = []string{"ROPEWAY_TEST_BACKEND=kernel", "ROPEWAY_TEST_PROGRAMS=" + programsPath, "TMPDIR=/tmp", "HOME=/tmp", "PATH=" + searchPath}
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stdout
	if err := cmd.Start(); err != nil {
		return err
	}
	return reap(cmd.Process.Pid)
}

// loadModules loads every module. What this CPU has no use for, a faster form of a cipher mostly, is none that anybody misses.
func loadModules() error {
	modules, err := filepath.Glob(modulesPath + "/*")
	if err != nil {
		return err
	}
	for _, path := range modules {
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		err = unix.FinitModule(int(f.Fd()), "", 0)
		_ = f.Close()
		if err != nil && !errors.Is(err, unix.EEXIST) && !errors.Is(err, unix.ENODEV) {
			return fmt.Errorf("load %s: %w", path, err)
		}
	}
	return nil
}

// reap is the part of an init that nobody else plays: it takes every process that ended without a parent, until the tests end.
func reap(tests int) error {
	for {
		var status unix.WaitStatus
		pid, err := unix.Wait4(-1, &status, 0, nil)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return fmt.Errorf("wait for the tests: %w", err)
		case pid == tests && status.Signaled():
			return fmt.Errorf("signal: %v", status.Signal())
		case pid == tests && status.ExitStatus() != 0:
			return fmt.Errorf("exit status %d", status.ExitStatus())
		case pid == tests:
			return nil
		}
	}
}
