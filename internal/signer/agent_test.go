package signer_test

import (
	"bytes"
	"context"
	"crypto"
	"errors"
	"net"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"ropeway/internal/plankey"
	"ropeway/internal/signer"
)

// An agent of OpenSSH's: by fingerprint, by comment, and its only key.
func TestAgent(t *testing.T) {
	startAgent(t)
	_, err := signer.Open(t.Context(), "ssh-agent:", nil)
	refused(t, "no key", err, "RW6031", "0 keys", "ssh-add")
	ada := newKey(t, "ada", "")
	run(t, "ssh-add", "-q", ada)
	signs(t, open(t, "ssh-agent:"))

	bob := newKey(t, "bob", "")
	run(t, "ssh-add", "-q", bob)
	fingerprint := plankey.Fingerprint(publicOf(t, bob))
	_, err = signer.Open(t.Context(), "ssh-agent:", nil)
	refused(t, "two keys", err, "RW6031", "2 keys", fingerprint, "bob")
	for _, name := range []string{fingerprint, "bob"} {
		s := open(t, "ssh-agent:"+name)
		if !publicOf(t, bob).Equal(s.Public()) {
			t.Errorf("%s is another key", s)
		}
		signs(t, s)
	}
	_, err = signer.Open(t.Context(), "ssh-agent:eve", nil)
	refused(t, "nobody's", err, "RW6031", "0 keys", "name one by its fingerprint")

	run(t, "ssh-add", "-q", newKey(t, "bob", ""))
	_, err = signer.Open(t.Context(), "ssh-agent:bob", nil)
	refused(t, "one comment, two keys", err, "RW6031", "2 keys")

	s := open(t, "ssh-agent:ada")
	run(t, "ssh-add", "-q", "-d", ada)
	_, err = s.Sign(nil, []byte("x"), crypto.Hash(0))
	refused(t, "a key that was taken away", err, "RW6032", "did not sign")
	_, err = open(t, "ssh-agent:"+fingerprint).Sign(nil, bytes.Repeat([]byte("x"), 300<<10), crypto.Hash(0))
	refused(t, "a large message", err, "RW6034")
}

// 200 KiB go through an agent of OpenSSH's.
func TestAgentBears(t *testing.T) {
	startAgent(t)
	run(t, "ssh-add", "-q", newKey(t, "ada", ""))
	if _, err := open(t, "ssh-agent:").Sign(nil, bytes.Repeat([]byte("x"), 255<<10), crypto.Hash(0)); err != nil {
		t.Error(err)
	}
}

// A key that has a certificate is used without it, and keys of other kinds are not used at all.
func TestAgentOtherKeys(t *testing.T) {
	startAgent(t)
	ca := newKey(t, "ca", "")
	certified := newKey(t, "certified", "")
	run(t, "ssh-keygen", "-q", "-s", ca, "-I", "ada", "-n", "ada", certified+".pub")
	run(t, "ssh-add", "-q", certified) // adds key and certificate, with one comment
	curve := filepath.Join(t.TempDir(), "ecdsa")
	run(t, "ssh-keygen", "-q", "-t", "ecdsa", "-N", "", "-C", "curve", "-f", curve)
	run(t, "ssh-add", "-q", curve)

	signs(t, open(t, "ssh-agent:"))
	signs(t, open(t, "ssh-agent:certified"))
	_, err := signer.Open(t.Context(), "ssh-agent:curve", nil)
	refused(t, "ECDSA", err, "RW6031", "ecdsa-sha2-nistp256")
}

// A showing agent has one key of a kind that takes hardware, or a certificate without its key.
type showing struct {
	agent.Agent
	format string
}

func (s showing) List() ([]*agent.Key, error) {
	blob := ssh.Marshal(struct{ Format, Rest string }{s.format, "whatever"})
	return []*agent.Key{{Format: s.format, Blob: blob, Comment: "ada"}}, nil
}

// What signs something else than the message is refused with the reason.
func TestAgentRefused(t *testing.T) {
	for format, word := range map[string]string{
		"sk-ssh-ed25519@openssh.com":          "security key",
		"ssh-ed25519-cert-v01@openssh.com":    "certificate",
		"sk-ssh-ed25519-cert-v01@openssh.com": "certificate",
		"ssh-rsa":                             "ssh-rsa",
		"ssh-ed25519":                         "shows a key that is none",
	} {
		l := listen(t)
		go func() {
			if conn, err := l.Accept(); err == nil {
				_ = agent.ServeAgent(showing{agent.NewKeyring(), format}, conn)
				_ = conn.Close()
			}
		}()
		_, err := signer.Open(t.Context(), "ssh-agent:ada", nil)
		refused(t, format, err, "RW6031", word)
	}
}

// listen takes an agent's place.
func listen(t *testing.T) net.Listener {
	t.Helper()
	dir, err := os.MkdirTemp("", "agent") //nolint:usetesting // the path of a socket is short
	must(t, err)
	l, err := net.Listen("unix", filepath.Join(dir, "s"))
	must(t, err)
	t.Cleanup(func() { must(t, errors.Join(l.Close(), os.RemoveAll(dir))) })
	t.Setenv("SSH_AUTH_SOCK", filepath.Join(dir, "s"))
	return l
}

func TestAgentAway(t *testing.T) {
	t.Setenv("SSH_AUTH_SOCK", "")
	_, err := signer.Open(t.Context(), "ssh-agent:", nil)
	refused(t, "not set", err, "RW6032", "SSH_AUTH_SOCK")
	t.Setenv("SSH_AUTH_SOCK", filepath.Join(t.TempDir(), "none"))
	_, err = signer.Open(t.Context(), "ssh-agent:", nil)
	refused(t, "no socket", err, "RW6032", "no such file")
}

// An agent that never answers holds a command until it is interrupted.
func TestAgentThatIsSilent(t *testing.T) {
	l := listen(t)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		conn, err := l.Accept()
		if err == nil {
			_, _ = conn.Read(make([]byte, 1)) // it was asked
			cancel()
			defer conn.Close()
			_, _ = conn.Read(make([]byte, 100))
		}
	}()
	_, err := signer.Open(ctx, "ssh-agent:", nil)
	refused(t, "silence", err, "RW6032")
}
