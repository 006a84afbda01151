package main

import (
	"bytes"
	"debug/elf"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// A kernel is one that can be booted, and its modules.
type kernel struct {
	image   string            // the file to boot
	modules map[string]string // name → file
}

// needed returns the modules that the tests want, without those that they need in turn: tunnels, what the lab is wired with, what rules are made of, delays, and what ss asks.
func needed() []string {
	return []string{
		"wireguard", "veth", "tun", "bridge", "sch_netem", "inet_diag", "tcp_diag", "udp_diag",
		"nf_tables", "nft_ct", "nft_objref", "nft_limit", "nft_log", "nft_reject_inet", "nft_nat", "nft_chain_nat",
	}
}

// findKernel returns the newest kernel with WireGuard that is installed, or the one that tools/machine put in the user's cache.
func findKernel() (kernel, error) {
	roots := []string{"/"}
	if cache, err := os.UserCacheDir(); err == nil {
		roots = append(roots, filepath.Join(cache, "ropeway/linux"))
	}
	for _, root := range roots {
		found, err := filepath.Glob(filepath.Join(root, "lib/modules/*/kernel/drivers/net/wireguard/wireguard.ko*"))
		if err != nil {
			return kernel{}, fmt.Errorf("look for a kernel: %w", err)
		}
		slices.Reverse(found)
		for _, path := range found {
			dir, _, _ := strings.Cut(path, "/kernel/")
			image := filepath.Join(root, "boot/vmlinuz-"+filepath.Base(dir))
			if _, err := os.Stat(image); err != nil {
				continue
			}
			modules, err := listModules(dir)
			return kernel{image, modules}, err
		}
	}
	return kernel{}, lacking("there is no kernel with WireGuard as a module; tools/machine kernel fetches one")
}

// listModules finds every module below a directory. Names have underscores, whatever their files have.
func listModules(dir string) (map[string]string, error) {
	modules := map[string]string{}
	err := filepath.WalkDir(filepath.Join(dir, "kernel"), func(path string, _ fs.DirEntry, err error) error {
		if name, _, ok := strings.Cut(filepath.Base(path), ".ko"); ok {
			modules[strings.ReplaceAll(name, "-", "_")] = path
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list the modules of a kernel: %w", err)
	}
	return modules, nil
}

// load returns the contents of modules and of all that they need, in the order in which the kernel takes them. What is no module is part of the kernel.
func (k kernel) load(names []string) ([][]byte, error) {
	var out [][]byte
	done := map[string]bool{}
	var visit func(name string) error
	visit = func(name string) error {
		path, ok := k.modules[name]
		if done[name] || !ok {
			return nil
		}
		done[name] = true
		data, err := readModule(path)
		if err != nil {
			return fmt.Errorf("read module %s: %w", name, err)
		}
		first, err := depends(data)
		if err != nil {
			return fmt.Errorf("read what module %s needs: %w", name, err)
		}
		for _, other := range first {
			if err := visit(other); err != nil {
				return err
			}
		}
		out = append(out, data)
		return nil
	}
	for _, name := range names {
		if err := visit(name); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// readModule reads a module, which some distributions compress.
func readModule(path string) ([]byte, error) {
	switch filepath.Ext(path) {
	case ".xz":
		return exec.Command("xz", "-dc", path).Output()
	case ".zst":
		return exec.Command("zstd", "-dc", path).Output()
	}
	return os.ReadFile(path)
}

// depends returns the modules that a module names in its section .modinfo (MODULE_INFO in linux/module.h), which is text with a zero after each entry.
func depends(module []byte) ([]string, error) {
	file, err := elf.NewFile(bytes.NewReader(module))
	if err != nil {
		return nil, err
	}
	section := file.Section(".modinfo")
	if section == nil {
		return nil, fmt.Errorf("it has no section .modinfo")
	}
	info, err := section.Data()
	if err != nil {
		return nil, err
	}
	for entry := range strings.SplitSeq(string(info), "\x00") {
		if list, ok := strings.CutPrefix(entry, "depends="); ok && list != "" {
			return strings.Split(strings.ReplaceAll(list, "-", "_"), ","), nil
		}
	}
	return nil, nil
}
