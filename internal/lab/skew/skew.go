// Package skew gives one running process a wall clock of its own.
//
// Linux keeps one wall clock for all: time namespaces shift the others only (time_namespaces(7)). But programs ask the kernel's vDSO (vdso(7)), a
// piece of code in their own memory, and each process has its own copy of that as soon as somebody writes to it, as debuggers do. So the function
// that tells the time is replaced, in that copy, by one that asks the kernel and adds an offset to what it says of the wall clock. The clock that
// only runs forward stays as it is, as on a machine whose clock somebody sets.
//
// The program need not know, nothing of the machine changes, and another process, a child too, has the true time.
package skew

import (
	"bytes"
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// ErrArchitecture says that this package does not know the machine's language.
var ErrArchitecture = errors.New("the clock of a process can only be changed on x86-64")

// Set makes the wall clock of a process differ from the machine's by whole seconds; 0 makes it true again. The process is stopped for a moment.
func Set(ctx context.Context, pid int, offset time.Duration) error {
	if err := set(ctx, pid, offset); err != nil {
		return fmt.Errorf("set the clock of process %d: %w", pid, err)
	}
	return nil
}

func set(ctx context.Context, pid int, offset time.Duration) error {
	f, err := find(pid)
	if err != nil {
		return err
	}
	code := f.original
	if offset != 0 {
		if code, err = replacement(int64(offset / time.Second)); err != nil {
			return err
		}
	}
	if len(code) > len(f.original) {
		return errors.New("the vDSO has no room for other code")
	}
	memory, err := os.OpenFile(fmt.Sprintf("/proc/%d/mem", pid), os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer memory.Close()
	now := make([]byte, len(code))
	if _, err := memory.ReadAt(now, int64(f.start)); err != nil {
		return err
	}
	if bytes.Equal(now, code) {
		return nil
	}
	return f.whileOutside(ctx, pid, func() error {
		_, err := memory.WriteAt(code, int64(f.start))
		return err
	})
}

// A function is the code that tells the time, in the memory of a process.
type function struct {
	start    uint64 // its address
	original []byte
}

// symbol is the function's name (vdso(7)).
const symbol = "__vdso_clock_gettime"

// find returns the function of a process. What it is in the original it is in this very process, whose copy nobody has written to.
func find(pid int) (f function, err error) {
	there, _, err := vdso(strconv.Itoa(pid))
	if err != nil {
		return f, err
	}
	here, size, err := vdso("self")
	if err != nil {
		return f, err
	}
	own, err := os.Open("/proc/self/mem")
	if err != nil {
		return f, err
	}
	defer own.Close()
	image := make([]byte, size)
	if _, err := own.ReadAt(image, int64(here)); err != nil {
		return f, err
	}
	object, err := elf.NewFile(bytes.NewReader(image))
	if err != nil {
		return f, err
	}
	symbols, err := object.DynamicSymbols()
	if err != nil {
		return f, err
	}
	for _, s := range symbols {
		if s.Name == symbol && s.Value+s.Size <= size {
			return function{there + s.Value, image[s.Value : s.Value+s.Size]}, nil
		}
	}
	return f, fmt.Errorf("the vDSO has no %s", symbol)
}

// vdso returns where the vDSO of a process is.
func vdso(pid string) (start, size uint64, err error) {
	maps, err := os.ReadFile("/proc/" + pid + "/maps")
	if err != nil {
		return 0, 0, err
	}
	for line := range strings.SplitSeq(string(maps), "\n") {
		var end uint64
		if !strings.HasSuffix(line, "[vdso]") {
			continue
		}
		if _, err := fmt.Sscanf(line, "%x-%x ", &start, &end); err != nil {
			return 0, 0, err
		}
		return start, end - start, nil
	}
	return 0, 0, errors.New("it has no vDSO")
}

// How often it is tried to find no thread in the function, and how long a thread takes to stop.
const (
	attempts = 200
	moment   = time.Millisecond
)

// whileOutside stops a process where no thread of it is in the function, and does something before it goes on.
func (f function) whileOutside(ctx context.Context, pid int, do func() error) (err error) {
	for range attempts {
		if err := unix.Kill(pid, unix.SIGSTOP); err != nil {
			return err
		}
		inside, err := f.inside(pid)
		if err == nil && !inside {
			err = do()
		}
		if err := errors.Join(err, unix.Kill(pid, unix.SIGCONT)); err != nil || !inside {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		time.Sleep(moment)
	}
	return errors.New("some thread of it always asks for the time")
}

// inside reports whether some thread is in the function, or does not stop.
func (f function) inside(pid int) (bool, error) {
	threads, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	if err != nil {
		return false, err
	}
	for _, t := range threads {
		counter, err := position(filepath.Join("/proc", strconv.Itoa(pid), "task", t.Name()))
		switch {
		case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ESRCH):
			continue // it ended
		case err != nil:
			return false, err
		case counter >= f.start && counter < f.start+uint64(len(f.original)):
			return true, nil
		}
	}
	return false, nil
}

// position returns where a stopped thread is: the last word of /proc/PID/task/TID/syscall (proc(5)). One that is not stopped yet is waited for.
func position(task string) (counter uint64, err error) {
	for range attempts {
		line, err := os.ReadFile(filepath.Join(task, "syscall"))
		if err != nil {
			return 0, err
		}
		words := strings.Fields(string(line))
		if len(words) > 1 { // "running" otherwise
			_, err = fmt.Sscanf(words[len(words)-1], "0x%x", &counter)
			return counter, err
		}
		time.Sleep(moment)
	}
	return 0, errors.New("a thread of it does not stop")
}
