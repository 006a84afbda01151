package signer_test

import (
	"crypto"
	"crypto/ed25519"
	"encoding/json"
	"flag"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ropeway/internal/signer"
	"ropeway/internal/vaulttest"
)

var vault = flag.Bool("vault", false, "speak to a real Vault, which takes a quarter of an hour to build once")

// A real Vault: the version that was found when the key was opened signs, whatever is rotated meanwhile.
func TestVault(t *testing.T) {
	if !*vault {
		t.Skip("go test -vault")
	}
	v := vaulttest.Start(t)
	v.Run(t, "write", "-f", "transit/keys/plans", "type=ed25519")
	first := open(t, "vault:transit/plans")
	signs(t, first)
	v.Run(t, "write", "-f", "transit/keys/plans/rotate")
	signs(t, first)
	second := open(t, "vault:transit/plans")
	signs(t, second)
	if first.Public().(ed25519.PublicKey).Equal(second.Public()) {
		t.Error("the newest version is the first")
	}
	if s := open(t, "vault:transit/plans?version=1"); !first.Public().(ed25519.PublicKey).Equal(s.Public()) {
		t.Error("version 1 is another key")
	}
	if _, err := second.Sign(nil, make([]byte, 768<<10), crypto.Hash(0)); err != nil {
		t.Errorf("768 KiB: %v", err)
	}
	_, err := second.Sign(nil, make([]byte, 768<<10+1), crypto.Hash(0))
	refused(t, "a large message", err, "RW6034")

	_, err = signer.Open(t.Context(), "vault:transit/plans?version=3", nil)
	refused(t, "no such version", err, "RW6031", "no version 3")
	_, err = signer.Open(t.Context(), "vault:transit/none", nil)
	refused(t, "no such key", err, "RW6032", "404")
	for name, kind := range map[string]string{"curve": "type=ecdsa-p256", "derived": "type=ed25519"} {
		args := []string{"write", "-f", "transit/keys/" + name, kind}
		if name == "derived" {
			args = append(args, "derived=true")
		}
		v.Run(t, args...)
		_, err = signer.Open(t.Context(), "vault:transit/"+name, nil)
		refused(t, name, err, "RW6031", "no plain Ed25519 key")
	}
	v.Run(t, "write", "transit/keys/plans/config", "min_encryption_version=2")
	_, err = first.Sign(nil, []byte("x"), crypto.Hash(0))
	refused(t, "a version that does not sign any more", err, "RW6032", "less than th")

	t.Setenv("VAULT_TOKEN", "canary-wrong")
	_, err = signer.Open(t.Context(), "vault:transit/plans", nil)
	refused(t, "a stranger", err, "RW6032", "403", "permission denied")
	if strings.Contains(err.Error(), "canary") {
		t.Errorf("%v repeats the token", err)
	}
	home := t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("VAULT_TOKEN", "")
	must(t, os.WriteFile(filepath.Join(home, ".vault-token"), []byte(vaulttest.Token+"\n"), 0o600))
	signs(t, open(t, "vault:transit/plans"))
	t.Setenv("VAULT_CACERT", "")
	_, err = signer.Open(t.Context(), "vault:transit/plans", nil)
	refused(t, "an authority that nobody trusts", err, "RW6032", "certificate")
}

// Where Vault is not, or is somebody else, nothing is signed and no token shown.
func TestVaultAway(t *testing.T) {
	t.Setenv("VAULT_CACERT", "")
	t.Setenv("VAULT_TOKEN", "canary-token")
	for address, word := range map[string]string{
		"": "VAULT_ADDR", "http://vault.example.net:8200": "https", "https://ada:canary@127.0.0.1": "https", "nonsense": "https", "http://127.0.0.1:1": "refused",
	} {
		t.Setenv("VAULT_ADDR", address)
		_, err := signer.Open(t.Context(), "vault:transit/plans", nil)
		refused(t, address, err, "RW6032", word)
		if strings.Contains(err.Error(), "canary") {
			t.Errorf("%v shows a secret", err)
		}
	}
	t.Setenv("VAULT_ADDR", "http://127.0.0.1:1")
	t.Setenv("VAULT_TOKEN", "")
	t.Setenv("HOME", t.TempDir())
	_, err := signer.Open(t.Context(), "vault:transit/plans", nil)
	refused(t, "nobody", err, "RW6032", "vault login")
}

// Whoever sits at Vault's address gets no further with what he answers.
func TestVaultAnswers(t *testing.T) {
	public, private, err := ed25519.GenerateKey(nil)
	must(t, err)
	elsewhere := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("the token went elsewhere: %v", r.Header)
	}))
	t.Cleanup(elsewhere.Close)
	var answer func(w http.ResponseWriter, r *http.Request)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { answer(w, r) }))
	t.Cleanup(server.Close)
	t.Setenv("VAULT_ADDR", server.URL)
	t.Setenv("VAULT_TOKEN", "canary-token")
	key := func(w http.ResponseWriter, signature string) {
		_ = json.NewEncoder(w).Encode(map[string]any{"data": map[string]any{
			"type": "ed25519", "latest_version": 1, "keys": map[string]any{"1": map[string]any{"public_key": public}}, "signature": signature,
		}})
	}
	say := func(signature string) { answer = func(w http.ResponseWriter, _ *http.Request) { key(w, signature) } }

	say("")
	s := open(t, "vault:transit/plans")
	other := ed25519.Sign(private, []byte("another message"))
	text, _ := json.Marshal(other)
	for _, signature := range []string{"", "vault:v1:", "vault:v2:AAAA", "vault:v1:!", "vault:v1:" + strings.Trim(string(text), `"`)} {
		say(signature)
		_, err := s.Sign(nil, []byte("x"), crypto.Hash(0))
		refused(t, signature, err, "RW6033")
	}
	answer = func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, elsewhere.URL, http.StatusTemporaryRedirect)
	}
	_, err = s.Sign(nil, []byte("x"), crypto.Hash(0))
	refused(t, "a redirect", err, "RW6032", "307")
	answer = func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("\x1b[2J not JSON")) }
	_, err = s.Sign(nil, []byte("x"), crypto.Hash(0))
	refused(t, "no JSON", err, "RW6033")
	answer = func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusTeapot)
		_, _ = w.Write([]byte("\x1b[2J" + strings.Repeat("x", 1<<20)))
	}
	_, err = s.Sign(nil, []byte("x"), crypto.Hash(0))
	refused(t, "an error", err, "RW6032", "418", `\x1b`)
	if len(err.Error()) > 1000 || strings.Contains(err.Error(), "\x1b") {
		t.Errorf("it repeats too much: %.2000q", err)
	}
}
