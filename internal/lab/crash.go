package lab

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"ropeway/internal/diag"
)

// A Crash is something that happens to a gateway and that its agent mends, so it is no fault that lasts.
type Crash string

// What can crash on a gateway.
const (
	DaemonKill Crash = "daemon-kill" // the routing daemon, all its processes
	DeviceKill Crash = "device-kill" // the process of its userspace devices; a kernel's devices have none
)

// Crash ends processes of a gateway at once, and waits until there are as many of each again and its links carry packets. It returns which they were, sorted, and how
// long that took.
func (l *Lab) Crash(ctx context.Context, gateway string, what Crash) (killed []string, took time.Duration, err error) {
	if l.record.Plan.Gateway(gateway) == nil {
		return nil, 0, problem("RW5009", "fault "+diag.Quote(string(what)+" "+gateway), "the lab has no such gateway", "names are as in the fabric file")
	}
	err = l.alone(func(st *site) error {
		victims, err := l.programs(gateway, what)
		if err != nil {
			return err
		}
		if len(victims) == 0 {
			return problem("RW5009", "fault "+string(what)+" "+gateway, "the gateway runs no such process", "ropeway lab exec "+gateway+" -- ps ax shows what runs")
		}
		killed = namesOf(victims)
		begun := time.Now()
		for pid := range victims {
			if err := unix.Kill(pid, unix.SIGKILL); err != nil && !ended(pid) {
				return fmt.Errorf("kill process %d: %w", pid, err)
			}
		}
		if err := l.awaitPrograms(ctx, gateway, what, victims); err != nil {
			return err
		}
		err = l.rejoin(ctx, st, gateway)
		took = time.Since(begun)
		return err
	})
	return killed, took, err
}

// awaitPrograms waits until others than the victims run in their place.
func (l *Lab) awaitPrograms(ctx context.Context, gateway string, what Crash, victims map[int]string) error {
	for deadline := time.Now().Add(reviveTimeout); ; {
		now, err := l.programs(gateway, what)
		if err != nil {
			return err
		}
		for pid := range victims {
			delete(now, pid)
		}
		if slices.Equal(namesOf(now), namesOf(victims)) {
			return nil
		}
		if time.Now().After(deadline) {
			return problem("RW5010", "gateway "+gateway, "its agent has not started again what was killed: "+strings.Join(namesOf(victims), ", "),
				"its log is "+machineDir(l.Name, gateway)+"/"+logFile)
		}
		if err := sleep(ctx, pollInterval); err != nil {
			return err
		}
	}
}

// programs returns the processes of a gateway that a crash is about, with the names of their programs.
func (l *Lab) programs(gateway string, what Crash) (map[int]string, error) {
	out := map[int]string{}
	err := l.onMachine(gateway, func(pid int) error {
		args, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		if err != nil {
			return err
		}
		if name := victim(what, strings.Split(string(args), "\x00")); name != "" {
			out[pid] = name
		}
		return nil
	})
	return out, err
}

// victim returns the name of the program that a command line runs, where a crash is about it; else "".
func victim(what Crash, args []string) string {
	name := filepath.Base(args[0])
	switch {
	case what == DaemonKill && slices.Contains([]string{"zebra", "bfdd", "bgpd", "bird"}, name):
		return name
	case what == DeviceKill && len(args) > 1 && args[1] == "devices":
		return name
	}
	return ""
}

func namesOf(processes map[int]string) []string {
	out := make([]string, 0, len(processes))
	for _, name := range processes {
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}
