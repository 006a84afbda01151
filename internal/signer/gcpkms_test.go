package signer

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ropeway/internal/diag"
)

const gcpKeyName = "projects/p/locations/europe-west1/keyRings/r/cryptoKeys/k/cryptoKeyVersions/1"

// A goog speaks the part of Google's protocol that a signer needs, as Google documents it (Cloud KMS REST reference: cryptoKeyVersions.getPublicKey and
// asymmetricSign; tokens of a service account). No test has spoken to Google itself.
type goog struct {
	private   ed25519.PrivateKey
	algorithm string
	token     string
}

func (g *goog) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	answer := func(v any) { _ = json.NewEncoder(w).Encode(v) }
	if r.URL.Path == "/token" {
		if r.PostFormValue("grant_type") != "urn:ietf:params:oauth:grant-type:jwt-bearer" || r.PostFormValue("assertion") == "" {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		answer(map[string]any{"access_token": g.token, "token_type": "Bearer", "expires_in": 3600})
		return
	}
	if r.Header.Get("Authorization") != "Bearer canary-token" || r.Header.Get("X-Goog-User-Project") != "billed" {
		w.WriteHeader(http.StatusForbidden)
		answer(map[string]any{"error": map[string]any{"code": 403, "status": "PERMISSION_DENIED"}})
		return
	}
	switch r.Method + " " + r.URL.Path {
	case "GET /v1/" + gcpKeyName + "/publicKey":
		der, _ := x509.MarshalPKIXPublicKey(g.private.Public())
		answer(map[string]any{"pem": string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})), "algorithm": g.algorithm, "name": gcpKeyName})
	case "POST /v1/" + gcpKeyName + ":asymmetricSign":
		var ask struct{ Data []byte }
		_ = json.NewDecoder(r.Body).Decode(&ask)
		answer(map[string]any{"signature": ed25519.Sign(g.private, ask.Data), "name": gcpKeyName})
	default:
		w.WriteHeader(http.StatusNotFound)
	}
}

func startGoogle(t *testing.T) (*goog, string) {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	g := &goog{private, "EC_SIGN_ED25519", "canary-token"}
	server := httptest.NewServer(g)
	t.Cleanup(server.Close)
	account, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	der, _ := x509.MarshalPKCS8PrivateKey(account)
	text, _ := json.Marshal(map[string]string{
		"type": "service_account", "client_email": "ropeway@p.iam.gserviceaccount.com", "private_key_id": "1", "quota_project_id": "billed",
		"private_key": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})), "token_uri": server.URL + "/token",
	})
	path := filepath.Join(t.TempDir(), "account.json")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", path)
	return g, server.URL
}

func TestGCP(t *testing.T) {
	g, address := startGoogle(t)
	r, err := parse("gcpkms:" + gcpKeyName)
	if err != nil {
		t.Fatal(err)
	}
	public, k, err := openGCP(t.Context(), r, address)
	if err != nil || !public.Equal(g.private.Public()) {
		t.Fatalf("%x, %v", public, err)
	}
	s := &Signer{r.String(), public, k}
	signature, err := s.Sign(nil, []byte("plan"), crypto.Hash(0))
	if err != nil || !ed25519.Verify(public, []byte("plan"), signature) {
		t.Errorf("signed %x, %v", signature, err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	refuse := func(what, code, word string) {
		t.Helper()
		_, _, err := openGCP(t.Context(), r, address)
		var p diag.Problem
		if !errors.As(err, &p) || string(p.Code) != code || !strings.Contains(err.Error(), word) || strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: %v", what, err)
		}
	}
	g.algorithm = "EC_SIGN_P256_SHA256"
	refuse("another kind", "RW6031", "EC_SIGN_P256_SHA256")
	g.token = "another"
	refuse("a stranger", "RW6032", "403")
	r.name = strings.TrimSuffix(gcpKeyName, "1") + "2"
	g.token = "canary-token"
	refuse("no such version", "RW6032", "404")
	t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", filepath.Join(t.TempDir(), "none"))
	refuse("nobody", "RW6032", "no such file")
}
