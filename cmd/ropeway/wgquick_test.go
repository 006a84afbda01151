package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const twoGateways = `
apiVersion: ropeway/v1
kind: Fabric
metadata: {name: pair}
spec:
  topology: {mode: mesh}
  regions:
    - name: east
      prefixes: [10.10.0.0/16]
      gateways: [{name: east-a, endpoint: 203.0.113.10}]
    - name: west
      prefixes: [10.20.0.0/16]
      gateways: [{name: west-a, endpoint: 203.0.113.20}]
    - name: small
      underlay: {mtu: 1420}
      prefixes: [10.30.0.0/16]
      gateways: [{name: small-a, endpoint: 203.0.113.30}]
  access:
    - {from: region/east, to: region/west, ports: [icmp]}
    - {from: region/east, to: region/small}
`

// The stock wg-quick takes what is exported, and packets fare as the plan says: by the kernel's WireGuard where there is one, else
// by a userspace device.
func TestWGQuickBringsUpATunnel(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	for _, tool := range []string{"wg-quick", "nft", "ping", "unshare"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("needs %s", tool)
		}
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "fabric.yaml")
	if err := os.WriteFile(file, []byte(twoGateways), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"keys", "init", file, "--dir", filepath.Join(dir, "keys")},
		{"export", "wg-quick", file, "--dir", filepath.Join(dir, "out")},
	} {
		cmd := newRootCommand()
		cmd.SetArgs(args)
		if err := cmd.ExecuteContext(t.Context()); err != nil {
			t.Fatalf("%v: %v", args, err)
		}
	}
	userspace := filepath.Join(dir, "wireguard-go")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", userspace, "github.com/tailscale/wireguard-go").CombinedOutput(); err != nil {
		t.Fatalf("build a userspace device: %v\n%s", err, out)
	}
	script, err := filepath.Abs("testdata/wg-quick.sh")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc",
		"bash", script, filepath.Join(dir, "out"), filepath.Join(dir, "keys"))
	cmd.Env = append(os.Environ(), "WG_QUICK_USERSPACE_IMPLEMENTATION="+userspace)
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "all as planned") {
		t.Fatalf("%v\n%s", err, out)
	}
}
