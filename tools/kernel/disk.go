package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Where things are in the machine.
const (
	initPath     = "/init"
	testsPath    = "/tests"
	argsPath     = "/args"     // of the tests, one a line
	modulesPath  = "/modules"  // in the order of their names
	programsPath = "/programs" // Ropeway's
)

// searchPath is where programs are looked for, here and in the machine.
const searchPath = "/usr/sbin:/usr/bin:/sbin:/bin"

// programs returns the programs of the system that the lab, the agent and their tests use, and what PAM loads where vtysh asks it.
func programs() []string {
	return []string{
		"sh", "bash", "true", "env", "cat", "cp", "mkdir", "sleep", "mount", "umount", "unshare", "sysctl",
		"ip", "tc", "nft", "wg", "ping",
		"bird", "birdc", "vtysh", "/usr/lib/frr/zebra", "/usr/lib/frr/bfdd", "/usr/lib/frr/bgpd", "/usr/lib/x86_64-linux-gnu/security/pam_permit.so",
	}
}

// settings returns the files of the system that those programs read: who FRR's user is, how names are looked up, what nft calls protocols, how vtysh behaves.
func settings() []string {
	return []string{"/etc/passwd", "/etc/group", "/etc/nsswitch.conf", "/etc/hosts", "/etc/protocols", "/etc/frr/vtysh.conf"}
}

// ramDisk writes a RAM disk for a kernel that runs the tests of a package, and returns its path.
func ramDisk(ctx context.Context, dir string, k kernel, pkg string, args []string) (string, error) {
	a := archive{made: map[string]bool{}}
	for _, d := range []string{"/proc", "/sys", "/dev", "/tmp", "/run", "/var/tmp", "/etc", "/usr"} {
		a.directory(d)
	}
	for _, top := range topLinks() {
		a.directory("/usr/" + top)
		a.link("/"+top, "usr/"+top)
	}
	a.link("/var/run", "/run")
	if err := a.ours(ctx, dir, pkg); err != nil {
		return "", err
	}
	a.content("/etc/pam.d/frr", []byte("auth sufficient pam_permit.so\naccount sufficient pam_permit.so\n")) // vtysh asks; Debian's own leads to /etc/shadow
	a.content(argsPath, []byte(strings.Join(args, "\n")))
	for _, name := range programs() {
		if err := a.program(ctx, name); err != nil {
			return "", fmt.Errorf("take %s along: %w", name, err)
		}
	}
	for _, path := range settings() {
		if err := a.copy(path); err != nil {
			return "", fmt.Errorf("take %s along: %w", path, err)
		}
	}
	modules, err := k.load(needed())
	if err != nil {
		return "", err
	}
	for i, data := range modules {
		a.content(fmt.Sprintf("%s/%03d", modulesPath, i), data)
	}
	image := filepath.Join(dir, "initrd")
	if err := os.WriteFile(image, a.end(), 0o600); err != nil {
		return "", fmt.Errorf("write the RAM disk: %w", err)
	}
	return image, nil
}

// ours builds what is of this repository and adds it. Nothing of it is linked with C.
func (a *archive) ours(ctx context.Context, dir, pkg string) error {
	for _, build := range []struct{ name, args string }{
		{initPath, "build ropeway/tools/kernel"},
		{testsPath, "test -c " + pkg},
		{programsPath + "/ropeway", "build -tags failpoint ropeway/cmd/ropeway"},
		{programsPath + "/ropeway-gateway", "build -tags failpoint ropeway/cmd/ropeway-gateway"},
	} {
		out := filepath.Join(dir, filepath.Base(build.name))
		args := strings.Fields(build.args)
		last := len(args) - 1
		cmd := exec.CommandContext(ctx, "go", append(args[:last:last], "-ldflags", "-s -w", "-o", out, args[last])...)
		cmd.Env, cmd.Stderr = append(os.Environ(), "CGO_ENABLED=0"), os.Stderr
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("build %s: %w", filepath.Base(build.name), err)
		}
		if err := a.file(build.name, out); err != nil {
			return err
		}
	}
	return nil
}

// program adds a program where it is here, and the libraries that it is linked with.
func (a *archive) program(ctx context.Context, name string) error {
	path, err := find(name)
	if err != nil {
		return lacking("there is no " + name + "; tools/machine kernel installs what has it")
	}
	if err := a.copy(path); err != nil {
		return err
	}
	out, err := exec.CommandContext(ctx, "ldd", path).Output()
	if err != nil {
		return nil //nolint:nilerr // it is linked with nothing
	}
	for word := range strings.FieldsSeq(string(out)) {
		if strings.HasPrefix(word, "/") {
			if err := a.copy(word); err != nil {
				return err
			}
		}
	}
	return nil
}

// find returns the path of a program, or of what has a path already and need not be one.
func find(name string) (string, error) {
	if filepath.IsAbs(name) {
		_, err := os.Stat(name)
		return name, err
	}
	for _, dir := range filepath.SplitList(searchPath) {
		if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return path, nil
		}
	}
	return "", exec.ErrNotFound
}
