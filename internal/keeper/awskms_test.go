package keeper

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"

	"filippo.io/age"
)

// An amazon speaks the part of AWS's protocol that a keeper needs, as AWS documents it (KMS API reference: Encrypt, Decrypt). No test has spoken to AWS
// itself; that requests are signed is the SDK's doing.
type amazon struct {
	sealed cipher.AEAD
	deny   string // every request, with this code
}

func (a *amazon) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	deny := func(code string) {
		w.WriteHeader(http.StatusBadRequest)
		_ = json.NewEncoder(w).Encode(map[string]string{"__type": code, "message": "not\nso \x1b[2J"})
	}
	var ask struct {
		KeyId                     string //nolint:revive // AWS's name
		Plaintext, CiphertextBlob []byte
	}
	_ = json.NewDecoder(r.Body).Decode(&ask)
	nonce := make([]byte, 12)
	switch {
	case a.deny != "":
		deny(a.deny)
	case r.Header.Get("X-Amz-Target") == "TrentService.Encrypt" && ask.KeyId == "alias/backups":
		_, _ = rand.Read(nonce)
		_ = json.NewEncoder(w).Encode(map[string]any{"CiphertextBlob": a.sealed.Seal(nonce, nonce, ask.Plaintext, nil)})
	case r.Header.Get("X-Amz-Target") == "TrentService.Decrypt" && len(ask.CiphertextBlob) > 12:
		plain, err := a.sealed.Open(nil, ask.CiphertextBlob[:12], ask.CiphertextBlob[12:], nil)
		if err != nil {
			deny("InvalidCiphertextException")
			return
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"Plaintext": plain})
	default:
		deny("NotFoundException")
	}
}

func newAmazon(t *testing.T) *amazon {
	t.Helper()
	key := make([]byte, 32)
	_, _ = rand.Read(key)
	block, err := aes.NewCipher(key)
	must(t, err)
	sealed, err := cipher.NewGCM(block)
	must(t, err)
	return &amazon{sealed: sealed}
}

func TestAWS(t *testing.T) {
	a := newAmazon(t)
	server := httptest.NewServer(a)
	t.Cleanup(server.Close)
	for name, value := range map[string]string{
		"AWS_ENDPOINT_URL_KMS": server.URL, "AWS_ACCESS_KEY_ID": "AKID", "AWS_SECRET_ACCESS_KEY": "canary", "AWS_SESSION_TOKEN": "", "AWS_PROFILE": "",
		"AWS_CONFIG_FILE": filepath.Join(t.TempDir(), "none"), "AWS_SHARED_CREDENTIALS_FILE": filepath.Join(t.TempDir(), "none"), "AWS_MAX_ATTEMPTS": "1",
	} {
		t.Setenv(name, value)
	}
	k := newKeeper(t, "awskms://alias/backups?region=eu-west-1")
	file := holds(t, k)
	a.sealed = newAmazon(t).sealed
	var foreign *age.NoIdentityMatchError
	if _, err := decrypt(file, k); !errors.As(err, &foreign) {
		t.Errorf("another key: %v", err)
	}
	a.deny = "AccessDeniedException"
	away(t, "denied", k, file, "AccessDeniedException")
	a.deny = "DisabledException"
	away(t, "disabled", k, file, "DisabledException")
	server.Close()
	away(t, "away", k, file, "refused")
}
