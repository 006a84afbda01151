package plankey_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"ropeway/internal/plankey"
)

func newKey(t testing.TB) (ed25519.PublicKey, string) {
	t.Helper()
	key, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return key, string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

// Every form of one key is that key, and what is written is what OpenSSH writes.
func TestForms(t *testing.T) {
	key, asPEM := newKey(t)
	theirs, err := ssh.NewPublicKey(key)
	if err != nil {
		t.Fatal(err)
	}
	line := strings.TrimSpace(string(ssh.MarshalAuthorizedKey(theirs)))
	if got := plankey.Line(key); got != line {
		t.Errorf("wrote %q, and OpenSSH %q", got, line)
	}
	if got := plankey.Fingerprint(key); got != ssh.FingerprintSHA256(theirs) {
		t.Errorf("fingerprint %q, and OpenSSH's is %q", got, ssh.FingerprintSHA256(theirs))
	}
	for _, text := range []string{
		line, line + "\n", line + " ada@laptop, the blue one\n", asPEM, "\n" + asPEM + "\n\n", base64.StdEncoding.EncodeToString(key) + "\n",
	} {
		got, err := plankey.Public([]byte(text))
		if err != nil || !got.Equal(key) {
			t.Errorf("%q: %x, %v", text, got, err)
		}
	}
}

// What ssh-keygen makes is read, and its private half refused for what it is.
func TestSSHKeygen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	if out, err := exec.CommandContext(t.Context(), "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "of plans", "-f", path).CombinedOutput(); err != nil {
		t.Fatalf("ssh-keygen: %v: %s", err, out)
	}
	public, err := os.ReadFile(path + ".pub")
	if err != nil {
		t.Fatal(err)
	}
	key, err := plankey.Public(public)
	if err != nil || !strings.HasPrefix(string(public), plankey.Line(key)+" ") {
		t.Errorf("%s: %v", public, err)
	}
	private, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := plankey.Public(private); !errors.Is(err, plankey.ErrPrivate) {
		t.Errorf("the private half: %v", err)
	}
}

func TestRefused(t *testing.T) {
	key, asPEM := newKey(t)
	line := plankey.Line(key)
	data, _ := base64.StdEncoding.DecodeString(strings.Fields(line)[1])
	changed := func(at int) string {
		bad := bytes.Clone(data)
		bad[at] ^= 1
		return "ssh-ed25519 " + base64.StdEncoding.EncodeToString(bad)
	}
	for _, text := range []string{
		"", " ", "ssh-ed25519", "ssh-ed25519 ", line[:len(line)-4], line + "\n" + line, "restrict " + line, changed(3), changed(5), changed(18),
		"ssh-rsa AAAA", strings.Replace(line, "ssh-ed25519 ", "sk-ssh-ed25519@openssh.com ", 1), "ssh-ed25519 " + base64.StdEncoding.EncodeToString(key),
		asPEM + asPEM, strings.ReplaceAll(asPEM, "PUBLIC KEY", "CERTIFICATE"), asPEM[:40],
		base64.StdEncoding.EncodeToString(key[:31]), base64.StdEncoding.EncodeToString(append(bytes.Clone(key), 0)), hex.EncodeToString(key),
	} {
		if got, err := plankey.Public([]byte(text)); !errors.Is(err, plankey.ErrFormat) {
			t.Errorf("%q: %x, %v", text, got, err)
		}
	}
}

// A key of small order is refused, and would have to be: signatures of it are made from nothing but other such points.
func TestKeysThatAnybodySignsFor(t *testing.T) {
	var points [][]byte
	for _, y := range []string{
		strings.Repeat("00", 32), "01" + strings.Repeat("00", 31), "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
		"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a", "ec" + strings.Repeat("ff", 30) + "7f",
	} {
		point, _ := hex.DecodeString(y)
		signed := bytes.Clone(point)
		signed[31] |= 0x80
		points = append(points, point, signed)
	}
	for _, key := range points {
		if _, err := plankey.Public([]byte(base64.StdEncoding.EncodeToString(key))); !errors.Is(err, plankey.ErrWeak) {
			t.Errorf("%x: %v", key, err)
		}
	}
	forged := 0
	for i := range 1000 {
		for _, r := range points {
			if ed25519.Verify(points[0], fmt.Append(nil, i), append(bytes.Clone(r), make([]byte, 32)...)) {
				forged++
			}
		}
	}
	if forged == 0 {
		t.Error("no signature could be forged for a blank key")
	}
}

// FuzzPublic: what is read is written and read again as the same key.
func FuzzPublic(f *testing.F) {
	key, asPEM := newKey(f)
	f.Add([]byte(asPEM))
	f.Add([]byte(plankey.Line(key) + " comment"))
	f.Add([]byte(base64.StdEncoding.EncodeToString(key)))
	f.Fuzz(func(t *testing.T, text []byte) {
		got, err := plankey.Public(text)
		if err != nil {
			return
		}
		again, err := plankey.Public([]byte(plankey.Line(got)))
		if err != nil || !again.Equal(got) || len(got) != ed25519.PublicKeySize {
			t.Errorf("%q: %x, then %x, %v", text, got, again, err)
		}
	})
}
