// Package vaulttest runs a HashiCorp Vault for a test: the real one, which tools/build makes once, in a quarter of an hour.
// So tests that need it ask for a flag (-vault).
package vaulttest

import (
	"bytes"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Token lets anybody do anything in a Vault that Start started.
const Token = "canary-root-token" //nolint:gosec // of a Vault in memory, and no secret

// A Vault runs until its test ends.
type Vault struct {
	program, Address string
}

// Start starts a Vault in memory, with TLS and the transit engine, and points VAULT_ADDR, VAULT_TOKEN and VAULT_CACERT to it.
func Start(t testing.TB) *Vault {
	t.Helper()
	program, err := exec.CommandContext(t.Context(), "../../tools/build", "vault").Output()
	if err != nil {
		t.Fatalf("build Vault: %v", err)
	}
	certs, listen := t.TempDir(), free(t)
	v := &Vault{string(bytes.TrimSpace(program)), "https://" + listen}
	var said bytes.Buffer
	cmd := exec.CommandContext(t.Context(), v.program, "server", "-dev-tls", "-dev-tls-cert-dir", certs, "-dev-root-token-id", Token, "-dev-no-store-token", "-dev-listen-address", listen) //nolint:gosec // a test's own
	cmd.Stdout, cmd.Stderr = &said, &said
	cmd.Env = append(os.Environ(), "HOME="+t.TempDir())
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	t.Setenv("VAULT_ADDR", v.Address)
	t.Setenv("VAULT_TOKEN", Token)
	t.Setenv("VAULT_CACERT", filepath.Join(certs, "vault-ca.pem"))
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(100 * time.Millisecond) {
		if err := v.command(t, "status").Run(); err == nil {
			break
		}
		if time.Now().After(deadline) {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
			t.Fatalf("Vault does not come: %s", said.String())
		}
	}
	v.Run(t, "secrets", "enable", "transit")
	return v
}

// free returns an address on this machine that nobody listens on.
func free(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

func (v *Vault) command(t testing.TB, args ...string) *exec.Cmd {
	return exec.CommandContext(t.Context(), v.program, args...) //nolint:gosec // a test's own
}

// Run runs a command of Vault's, as root, and returns what it printed.
func (v *Vault) Run(t testing.TB, args ...string) string {
	t.Helper()
	cmd := v.command(t, args...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("vault %q: %v: %s", args, err, out)
	}
	return string(out)
}

// Write runs a command whose last argument goes to its standard input.
func (v *Vault) Write(t testing.TB, args ...string) {
	t.Helper()
	last := len(args) - 1
	cmd := v.command(t, append(args[:last:last], "-")...)
	cmd.Stdin = strings.NewReader(args[last])
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("vault %q: %v: %s", args, err, out)
	}
}
