// Command kernel runs the tests of a package in a virtual machine with a kernel that has WireGuard, for machines whose kernel has not:
//
//	go run ./tools/kernel ./internal/wireguard [-test.run PATTERN …]
//	go run ./tools/kernel -with sh,ip,nft,wg -gateway ./e2e/agent [-test.run PATTERN …]
//
// With -with the machine has those programs of this one, and with -gateway the agent, which tests find by ROPEWAY_TEST_GATEWAY. It wants a kernel of the distribution with its modules (Debian: linux-image-amd64), qemu-system-x86_64, modprobe and xz. The machine has no disk and no network: the
// test binary and this program, which is its init, come in the initial RAM disk. The CPU is emulated, so that times mean nothing.
package main

import (
	"bufio"
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// verdict is the line that the init prints at the end.
const verdict = "tests in the virtual machine: "

func main() {
	if os.Getpid() == 1 && os.Args[0] == "/init" {
		inside()
		return
	}
	var w wish
	flags := flag.NewFlagSet("kernel", flag.ExitOnError)
	with := flags.String("with", "", "programs of this machine, with commas between them")
	flags.BoolVar(&w.gateway, "gateway", false, "build the agent too")
	_ = flags.Parse(os.Args[1:])
	if flags.NArg() == 0 {
		fmt.Fprintln(os.Stderr, "usage: kernel [-with PROGRAM,…] [-gateway] PACKAGE [-test.FLAG …]")
		os.Exit(2)
	}
	if *with != "" {
		w.programs = strings.Split(*with, ",")
	}
	w.pkg, w.args = flags.Arg(0), flags.Args()[1:]
	if err := outside(w); err != nil {
		fmt.Fprintln(os.Stderr, "kernel:", err)
		os.Exit(1)
	}
}

// A wish is what the machine shall run.
type wish struct {
	pkg      string
	args     []string // of the tests
	programs []string
	gateway  bool
}

// outside makes the RAM disk, runs the machine and prints what it says.
func outside(w wish) error {
	dir, err := os.MkdirTemp("", "ropeway-kernel-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	version, err := kernel()
	if err != nil {
		return err
	}
	disk, err := ramDisk(dir, version, w)
	if err != nil {
		return err
	}
	image := filepath.Join(dir, "initrd")
	if err := os.WriteFile(image, disk, 0o600); err != nil {
		return err
	}
	cmd := exec.Command("qemu-system-x86_64", "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2", "-m", "2048",
		"-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-net", "none", "-serial", "stdio",
		"-kernel", "/boot/vmlinuz-"+version, "-initrd", image,
		"-append", "console=ttyS0 panic=-1 quiet mitigations=off rcupdate.rcu_expedited=1")
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	result := "it ended without a word"
	for lines := bufio.NewScanner(out); lines.Scan(); {
		_, _ = fmt.Fprintln(os.Stdout, lines.Text())
		if _, text, ok := strings.Cut(lines.Text(), verdict); ok {
			result = strings.TrimSpace(text)
		}
	}
	if err := cmd.Wait(); err != nil {
		return err
	}
	if result != "ok" {
		return errors.New(result)
	}
	return nil
}

// kernel returns the version of an installed kernel whose modules have WireGuard.
func kernel() (string, error) {
	found, err := filepath.Glob("/lib/modules/*/kernel/drivers/net/wireguard/wireguard.ko*")
	if err != nil {
		return "", err
	}
	slices.Reverse(found)
	for _, f := range found {
		version := strings.Split(f, "/")[3]
		if _, err := os.Stat("/boot/vmlinuz-" + version); err == nil {
			return version, nil
		}
	}
	return "", errors.New("no kernel with WireGuard below /boot and /lib/modules: install linux-image-amd64")
}

// ramDisk returns a cpio archive of what the machine runs.
func ramDisk(dir, version string, w wish) ([]byte, error) {
	a := archive{made: map[string]bool{}}
	for _, d := range []string{"proc", "sys", "dev", "tmp", "run", "var", "modules"} {
		a.directory(d)
	}
	builds := map[string][]string{
		"init":  {"build", "-o", filepath.Join(dir, "init"), "ropeway/tools/kernel"},
		"tests": {"test", "-c", "-o", filepath.Join(dir, "tests"), w.pkg},
	}
	if w.gateway {
		builds["ropeway-gateway"] = []string{"build", "-tags", "failpoint", "-o", filepath.Join(dir, "ropeway-gateway"), "ropeway/cmd/ropeway-gateway"}
	}
	for name, build := range builds {
		cmd := exec.Command("go", build...)
		cmd.Env, cmd.Stderr = append(os.Environ(), "CGO_ENABLED=0"), os.Stderr
		if err := cmd.Run(); err != nil {
			return nil, fmt.Errorf("build %s: %w", name, err)
		}
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return nil, err
		}
		a.add(name, unix.S_IFREG|0o755, data)
	}
	a.add("args", unix.S_IFREG|0o644, []byte(strings.Join(w.args, "\n")))
	for _, name := range w.programs {
		if err := a.program(name); err != nil {
			return nil, fmt.Errorf("take %s along: %w", name, err)
		}
	}
	modules, err := needed(version)
	if err != nil {
		return nil, err
	}
	for i, path := range modules {
		data, err := module(path)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", path, err)
		}
		a.add(fmt.Sprintf("modules/%03d", i), unix.S_IFREG|0o644, data)
	}
	a.add("TRAILER!!!", 0, nil)
	return a.buf.Bytes(), nil
}

// needed returns the modules to load, in order.
func needed(version string) (paths []string, err error) {
	for _, name := range []string{"wireguard", "veth", "tun", "bridge", "nf_tables", "nft_ct", "nft_objref"} {
		out, err := exec.Command("modprobe", "-S", version, "--show-depends", name).Output()
		if err != nil {
			return nil, fmt.Errorf("modprobe %s: %w", name, err)
		}
		for line := range strings.Lines(string(out)) {
			if f := strings.Fields(line); len(f) == 2 && f[0] == "insmod" && !slices.Contains(paths, f[1]) {
				paths = append(paths, f[1])
			}
		}
	}
	return paths, nil
}

func module(path string) ([]byte, error) {
	if strings.HasSuffix(path, ".xz") {
		return exec.Command("xz", "-dc", path).Output()
	}
	return os.ReadFile(path)
}

// An archive is in cpio's "newc" format: headers of hexadecimal numbers, everything aligned to 4 bytes.
type archive struct {
	buf   bytes.Buffer
	inode int
	made  map[string]bool
}

// program adds a program to /bin, and the libraries that it is linked with to where it looks for them.
func (a *archive) program(name string) error {
	path, err := exec.LookPath(name)
	if err != nil {
		return err
	}
	if err := a.file("bin/"+name, path); err != nil {
		return err
	}
	out, err := exec.Command("ldd", path).Output()
	if err != nil {
		return nil //nolint:nilerr // it is linked with nothing
	}
	for _, word := range strings.Fields(string(out)) {
		if strings.HasPrefix(word, "/") {
			if err := a.file(word[1:], word); err != nil {
				return err
			}
		}
	}
	return nil
}

// file adds a file of this machine, once, and the directories that it is in.
func (a *archive) file(name, from string) error {
	if a.made[name] {
		return nil
	}
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	a.directory(filepath.Dir(name))
	a.made[name] = true
	a.add(name, unix.S_IFREG|0o755, data)
	return nil
}

func (a *archive) directory(name string) {
	if name == "." || a.made[name] {
		return
	}
	a.directory(filepath.Dir(name))
	a.made[name] = true
	a.add(name, unix.S_IFDIR|0o755, nil)
}

func (a *archive) add(name string, mode uint32, data []byte) {
	a.inode++
	fmt.Fprintf(&a.buf, "070701%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X",
		a.inode, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name)+1, 0)
	a.buf.WriteString(name + "\x00")
	a.pad()
	a.buf.Write(data)
	a.pad()
}

func (a *archive) pad() {
	for a.buf.Len()%4 != 0 {
		a.buf.WriteByte(0)
	}
}

// inside is the init of the machine.
func inside() {
	result := "ok"
	if err := run(os.Stdout); err != nil {
		result = err.Error()
	}
	_, _ = fmt.Fprintln(os.Stdout, verdict+result)
	unix.Sync()
	_ = unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)
}

func run(out io.Writer) error {
	for path, kind := range map[string]string{"/proc": "proc", "/sys": "sysfs", "/dev": "devtmpfs", "/tmp": "tmpfs", "/run": "tmpfs"} {
		if err := unix.Mount(kind, path, kind, 0, ""); err != nil {
			return fmt.Errorf("mount %s: %w", path, err)
		}
	}
	if err := os.Symlink("/run", "/var/run"); err != nil {
		return err
	}
	modules, err := filepath.Glob("/modules/*")
	if err != nil {
		return err
	}
	for _, m := range modules {
		f, err := os.Open(m)
		if err != nil {
			return err
		}
		if err := unix.FinitModule(int(f.Fd()), "", 0); err != nil && !errors.Is(err, unix.EEXIST) && !errors.Is(err, unix.ENODEV) {
			fmt.Fprintln(out, "load", m, err) // a faster form of a cipher that this CPU has not, mostly
		}
		_ = f.Close()
	}
	text, err := os.ReadFile("/args")
	if err != nil {
		return err
	}
	cmd := exec.Command("/tests", strings.Fields(string(text))...)
	cmd.Env = []string{"ROPEWAY_TEST_BACKEND=kernel", "TMPDIR=/tmp", "HOME=/tmp", "PATH=/bin", "ROPEWAY_TEST_GATEWAY=/ropeway-gateway"}
	cmd.Stdout, cmd.Stderr = out, out
	return cmd.Run()
}
