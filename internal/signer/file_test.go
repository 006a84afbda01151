package signer_test

import (
	"crypto"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ropeway/internal/plankey"
	"ropeway/internal/signer"
)

// publicOf reads the public half as ssh-keygen wrote it.
func publicOf(t testing.TB, path string) ed25519.PublicKey {
	t.Helper()
	text, err := os.ReadFile(path + ".pub")
	must(t, err)
	key, err := plankey.Public(text)
	must(t, err)
	return key
}

func TestFile(t *testing.T) {
	path := newKey(t, "ada", "")
	s := open(t, "file:"+path)
	signs(t, s)
	if !publicOf(t, path).Equal(s.Public()) {
		t.Error("it is another key")
	}
	if want := "file:" + path + " (" + plankey.Fingerprint(publicOf(t, path)) + ")"; s.String() != want {
		t.Errorf("it is called %s", s)
	}
}

// PKCS #8, as OpenSSL writes keys.
func TestFilePKCS8(t *testing.T) {
	_, private, err := ed25519.GenerateKey(nil)
	must(t, err)
	der, err := x509.MarshalPKCS8PrivateKey(private)
	must(t, err)
	path := filepath.Join(t.TempDir(), "key.pem")
	must(t, os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600))
	signs(t, open(t, "file:"+path))
}

func TestFileWithPassphrase(t *testing.T) {
	path := newKey(t, "ada", "correct horse")
	answer := func(text string) signer.Ask {
		return func(prompt string) ([]byte, error) {
			if !strings.Contains(prompt, path) {
				t.Errorf("it asks %q", prompt)
			}
			return []byte(text), nil
		}
	}
	s, err := signer.Open(t.Context(), "file:"+path, answer("correct horse"))
	must(t, err)
	signs(t, s)
	must(t, s.Close())
	if _, err := s.Sign(nil, nil, crypto.Hash(0)); err == nil {
		t.Error("a key that was forgotten signs")
	}
	_, err = signer.Open(t.Context(), "file:"+path, answer("wrong horse"))
	refused(t, "a wrong passphrase", err, "RW6031", "passphrase is wrong")
	_, err = signer.Open(t.Context(), "file:"+path, nil)
	refused(t, "nobody to ask", err, "RW6031", "nobody to ask", "ssh-add")
	gone := errors.New("the terminal is gone")
	_, err = signer.Open(t.Context(), "file:"+path, func(string) ([]byte, error) { return nil, gone })
	refused(t, "no answer", err, "RW6031")
}

func TestFileRefused(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		must(t, os.WriteFile(path, []byte(text), mode))
		must(t, os.Chmod(path, mode))
		return path
	}
	good := newKey(t, "", "")
	exposed := newKey(t, "", "")
	must(t, os.Chmod(exposed, 0o640))
	link := filepath.Join(dir, "link")
	must(t, os.Symlink(good, link))
	ecdsa := filepath.Join(dir, "ecdsa")
	run(t, "ssh-keygen", "-q", "-t", "ecdsa", "-N", "", "-f", ecdsa)
	for path, word := range map[string]string{
		filepath.Join(dir, "none"):             "no such file",
		dir:                                    "regular file",
		exposed:                                "mode 0640",
		link:                                   "symbolic link",
		ecdsa:                                  "no Ed25519 key",
		good + ".pub":                          "mode",
		write("empty", "", 0o600):              "no private key",
		write("noise", "secret canary", 0o600): "no private key",
		write("large", strings.Repeat("x", 1<<17), 0o600): "too large",
	} {
		_, err := signer.Open(t.Context(), "file:"+path, nil)
		refused(t, path, err, "RW6031", word)
		if err != nil && strings.Contains(err.Error(), "canary") {
			t.Errorf("%v repeats the file", err)
		}
	}
}
