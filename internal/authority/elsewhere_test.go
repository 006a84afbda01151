package authority

import (
	"bytes"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"ropeway/internal/diag"
)

func newPlanKey(t *testing.T) ed25519.PublicKey {
	t.Helper()
	public, _, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	return public
}

func refusedWith(err error, code diag.Code) bool {
	var p diag.Problem
	return errors.As(err, &p) && p.Code == code
}

// TestKeyElsewhere: the authority has no key that signs plans, and is the same at the next start and with every controller that gets its bundle.
func TestKeyElsewhere(t *testing.T) {
	dir, public := filepath.Join(t.TempDir(), "authority"), newPlanKey(t)
	for range 2 { // a start that was cut short is begun again
		if err := KeepElsewhere(dir, public); err != nil {
			t.Fatal(err)
		}
	}
	a := open(t, dir)
	if a.Signer() != nil || !a.PublicKey().Equal(public) {
		t.Fatalf("it signs with %v, and is known by %v", a.Signer(), a.PublicKey())
	}
	if _, err := os.Lstat(filepath.Join(dir, signKeyFile)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a key was made all the same: %v", err)
	}
	if err := KeepElsewhere(dir, public); err != nil {
		t.Errorf("once more, with the authority there: %v", err)
	}
	if err := KeepElsewhere(dir, newPlanKey(t)); !refusedWith(err, codeForeign) {
		t.Errorf("another key: %v", err)
	}
	b, err := Pack(dir)
	if err != nil {
		t.Fatal(err)
	}
	other, err := Unpack(filepath.Join(t.TempDir(), "other"), "acme", b, noon)
	if err != nil || other.Signer() != nil || !other.PublicKey().Equal(public) || other.Pin() != a.Pin() {
		t.Errorf("another controller's: %v", err)
	}
}

func TestKeyElsewhereTooLate(t *testing.T) {
	a, dir := fresh(t)
	for _, key := range []ed25519.PublicKey{newPlanKey(t), a.PublicKey()} {
		if err := KeepElsewhere(dir, key); !refusedWith(err, codeForeign) {
			t.Errorf("an authority that signs already: %v", err)
		}
	}
	if again := open(t, dir); again.Signer() == nil || !again.PublicKey().Equal(a.PublicKey()) {
		t.Error("it does not sign any more")
	}
	if err := KeepElsewhere(filepath.Join(t.TempDir(), "a"), make([]byte, 5)); err == nil {
		t.Error("half a key was taken")
	}
}

// TestTakeOut: the key moves, what is pinned stays; cut short at any point it is done again.
func TestTakeOut(t *testing.T) {
	a, dir := fresh(t)
	key, err := os.ReadFile(filepath.Join(dir, signKeyFile))
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "plans.key")
	for what, prepare := range map[string]func(){
		"at first":            func() {},
		"after the file":      func() { write(t, filepath.Join(dir, signKeyFile), key); remove(t, filepath.Join(dir, signPubFile)) },
		"after the half":      func() { write(t, filepath.Join(dir, signKeyFile), key) },
		"after it was done":   func() {},
		"on another machine ": func() { write(t, filepath.Join(dir, signKeyFile), key); remove(t, file) },
	} {
		prepare()
		public, err := TakeOut(dir, file)
		if err != nil || !public.Equal(a.PublicKey()) {
			t.Fatalf("%s: %v", what, err)
		}
		if b := open(t, dir); b.Signer() != nil || !b.PublicKey().Equal(a.PublicKey()) {
			t.Errorf("%s: the authority signs still, or is another", what)
		}
	}
	write(t, filepath.Join(dir, signKeyFile), key)
	if _, err := TakeOut(dir, file); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(file)
	if err != nil || !bytes.Equal(text, key) {
		t.Errorf("the file does not hold the key: %v", err)
	}
	if info, err := os.Stat(file); err != nil || info.Mode() != 0o600 {
		t.Errorf("the file: %v, %v", info, err)
	}
}

func TestTakeOutRefuses(t *testing.T) {
	_, dir := fresh(t)
	file := filepath.Join(t.TempDir(), "plans.key")
	write(t, file, []byte("somebody's"))
	if _, err := TakeOut(dir, file); err == nil {
		t.Error("a file of somebody's was taken for the key's")
	}
	if a := open(t, dir); a.Signer() == nil {
		t.Error("the key is gone")
	}
	if text, _ := os.ReadFile(file); string(text) != "somebody's" {
		t.Error("the file was written over")
	}
	if _, err := TakeOut(filepath.Join(t.TempDir(), "nothing"), file); err == nil {
		t.Error("there is no authority, and its key was taken out")
	}
}

// TestTwoHalvesThatDoNotMatch: neither is followed.
func TestTwoHalvesThatDoNotMatch(t *testing.T) {
	_, dir := fresh(t)
	der, err := x509.MarshalPKIXPublicKey(newPlanKey(t))
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string][]byte{
		"another half": pem.EncodeToMemory(&pem.Block{Type: publicBlock, Bytes: der}),
		"rubbish":      []byte("rubbish"),
		"nothing":      {},
		"no key":       pem.EncodeToMemory(&pem.Block{Type: publicBlock, Bytes: []byte("x")}),
	} {
		write(t, filepath.Join(dir, signPubFile), text)
		if _, err := Open(dir, "acme", noon); !refusedWith(err, codeDamaged) {
			t.Errorf("%s: %v", name, err)
		}
		remove(t, filepath.Join(dir, signPubFile))
	}
}

func write(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func remove(t *testing.T, path string) {
	t.Helper()
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
}
