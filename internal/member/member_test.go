package member

import (
	"crypto/rand"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ropeway/internal/authority"
	"ropeway/internal/files"
	"ropeway/internal/role"
	"ropeway/internal/token"
)

// enrolled writes a membership as Enroll does, without a controller.
func enrolled(t *testing.T) (*Member, string) {
	t.Helper()
	now := time.Now()
	ca, err := authority.Open(filepath.Join(t.TempDir(), "ca"), "shop", now)
	if err != nil {
		t.Fatal(err)
	}
	signer, der, err := newKey()
	if err != nil {
		t.Fatal(err)
	}
	csr, err := request(signer)
	if err != nil {
		t.Fatal(err)
	}
	id := role.Identity{Role: role.Gateway, Name: "gw1"}
	chain, _, err := ca.Issue(csr, id, now, 24*time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	pin := ca.Pin()
	m := &Member{Version: version, Identity: id.String(), Fabric: "shop", Servers: []string{"https://192.0.2.1:8443"}, Pin: pin[:], Authority: ca.PublicKey(), Chain: chain, Key: der}
	dir := filepath.Join(t.TempDir(), "state")
	if err := files.SecretDir(dir); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "member.json")
	if err := m.save(path); err != nil {
		t.Fatal(err)
	}
	return m, path
}

func TestLoad(t *testing.T) {
	want, path := enrolled(t)
	m, err := Load(path)
	if err != nil || m.Name() != "gw1" || m.Fabric != want.Fabric {
		t.Fatalf("%+v, %v", m, err)
	}
	now := time.Now()
	if m.Aging(now) || m.Aging(now.Add(15*time.Hour)) || !m.Aging(now.Add(17*time.Hour)) || !m.Aging(now.Add(48*time.Hour)) {
		t.Error("a certificate of a day is renewed after sixteen hours")
	}
	if _, err := Load(filepath.Join(filepath.Dir(path), "nothing.json")); !errors.Is(err, ErrMissing) {
		t.Errorf("no file: %v", err)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, cut := range []int{0, 1, len(whole) / 2, len(whole) - 1} { // a key stands somewhere in it, and in no error
		if err := os.WriteFile(path, whole[:cut], 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Load(path); err == nil || len(err.Error()) > 300 || strings.Contains(err.Error(), `"key"`) {
			t.Errorf("cut after %d: %v", cut, err)
		}
	}
	if err := os.WriteFile(path, whole, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(path); !errors.Is(err, files.ErrExposed) {
		t.Errorf("a file that others may read: %v", err)
	}
}

// Nothing is asked of anybody whose address makes no sense.
func TestServers(t *testing.T) {
	made, err := token.New(rand.Reader, [32]byte{1})
	if err != nil {
		t.Fatal(err)
	}
	for _, server := range []string{"", "192.0.2.1:8443", "http://192.0.2.1", "https://", "https://u:p@192.0.2.1", "https://192.0.2.1/x", "file:///etc/passwd"} {
		path := filepath.Join(t.TempDir(), "m.json")
		if _, err := Enroll(t.Context(), path, server, made, Beside{}); err == nil {
			t.Errorf("%q was taken", server)
		}
		if _, err := os.Lstat(path); err == nil {
			t.Errorf("%q left a file", server)
		}
	}
}
