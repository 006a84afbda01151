// Command kernel runs the tests of a package under a distribution's kernel, in a virtual machine. That kernel has what this machine's may lack: WireGuard, and
// delays (netem).
//
//	go run ./tools/kernel [-timeout 10m] ./internal/wireguard [-test.run PATTERN …]
//
// It wants QEMU and a kernel with its modules, installed or in the user's cache, and says so and succeeds where one is missing: tools/machine kernel gets both.
// The machine has no disk and no network. The tests, Ropeway's programs, those of the system that tests use, and this program, which is its init, come in the
// initial RAM disk. The CPU is emulated, since few machines of a CI have one to give: times are longer there, and throughput means nothing.
//
// Tests find in ROPEWAY_TEST_PROGRAMS the directory of Ropeway's programs, built with failpoints, and in ROPEWAY_TEST_BACKEND that WireGuard is the kernel's.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"time"

	"golang.org/x/sys/unix"
)

func main() {
	if os.Getpid() == 1 && os.Args[0] == "/init" {
		inside()
		return
	}
	flags := flag.NewFlagSet("kernel", flag.ExitOnError)
	limit := flags.Duration("timeout", 10*time.Minute, "how long the machine may run")
	_ = flags.Parse(os.Args[1:])
	if flags.NArg() == 0 {
		fmt.Fprintln(os.Stderr, "usage: kernel [-timeout DURATION] PACKAGE [-test.FLAG …]")
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, unix.SIGTERM)
	err := outside(ctx, *limit, flags.Arg(0), flags.Args()[1:])
	stop()
	var lacking lacking
	switch {
	case errors.As(err, &lacking):
		_, _ = fmt.Fprintln(os.Stdout, "skipped:", lacking)
	case err != nil:
		fmt.Fprintln(os.Stderr, "kernel:", err)
		os.Exit(1)
	}
}

// lacking says what a machine has not that a virtual one needs.
type lacking string

// Error implements error.
func (l lacking) Error() string { return string(l) }

// outside makes the RAM disk and runs the machine.
func outside(ctx context.Context, limit time.Duration, pkg string, args []string) error {
	qemu, err := emulator()
	if err != nil {
		return err
	}
	k, err := findKernel()
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "ropeway-kernel-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	image, err := ramDisk(ctx, dir, k, pkg, args)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("the machine was still running after %v", limit))
	defer cancel()
	return boot(ctx, qemu, k.image, image)
}
