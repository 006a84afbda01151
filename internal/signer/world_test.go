package signer_test

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ropeway/internal/diag"
	"ropeway/internal/signer"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// run runs a command of the machine's.
func run(t testing.TB, name string, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v: %s", cmd, err, out)
	}
}

// newKey makes a key with ssh-keygen, and returns its file.
func newKey(t testing.TB, comment, passphrase string, more ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "key")
	run(t, "ssh-keygen", append([]string{"-q", "-t", "ed25519", "-N", passphrase, "-C", comment, "-f", path}, more...)...)
	return path
}

// startAgent runs the agent of OpenSSH until the test ends, and points SSH_AUTH_SOCK to it.
func startAgent(t *testing.T) {
	t.Helper()
	dir, err := os.MkdirTemp("", "agent") //nolint:usetesting // the path of a socket is short
	must(t, err)
	socket := filepath.Join(dir, "s")
	cmd := exec.CommandContext(t.Context(), "ssh-agent", "-D", "-a", socket)
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = io.Discard, &said
	must(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		must(t, os.RemoveAll(dir))
	})
	await(t, "the agent", &said, func() error {
		conn, err := net.Dial("unix", socket)
		if err == nil {
			_ = conn.Close()
		}
		return err
	})
	t.Setenv("SSH_AUTH_SOCK", socket)
}

// await waits until something that was started is there.
func await(t testing.TB, what string, said *bytes.Buffer, there func() error) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(time.Minute); ; <-tick.C {
		err := there()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s does not come: %v: %s", what, err, said)
		}
	}
}

// open opens a key, and closes it when the test ends.
func open(t testing.TB, ref string) *signer.Signer {
	t.Helper()
	s, err := signer.Open(t.Context(), ref, nil)
	must(t, err)
	t.Cleanup(func() { must(t, s.Close()) })
	return s
}

// signs sees to it that a key signs what others verify, and the same bytes every time.
func signs(t testing.TB, s crypto.Signer) {
	t.Helper()
	public := s.Public().(ed25519.PublicKey)
	for _, message := range [][]byte{{}, []byte("ropeway grant v1\x00"), bytes.Repeat([]byte("plan "), signer.MaxMessage/5)} {
		signature, err := s.Sign(nil, message, crypto.Hash(0))
		must(t, err)
		if !ed25519.Verify(public, message, signature) {
			t.Errorf("it is no signature of %q", message)
		}
		again, err := s.Sign(nil, message, crypto.Hash(0))
		if err != nil || !bytes.Equal(again, signature) {
			t.Errorf("it signs otherwise the second time: %v", err)
		}
	}
	if _, err := s.Sign(nil, make([]byte, 64), crypto.SHA512); err == nil {
		t.Error("it signs a hash")
	}
}

// refused sees to it that an error has its code, and the words that tell.
func refused(t testing.TB, what string, err error, code diag.Code, words ...string) {
	t.Helper()
	var p diag.Problem
	if !errors.As(err, &p) || p.Code != code || p.Hint == "" {
		t.Errorf("%s: want %s with a hint, got %v", what, code, err)
		return
	}
	for _, word := range words {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("%s: %v does not say %q", what, err, word)
		}
	}
}
