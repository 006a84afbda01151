package signer

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"ropeway/internal/diag"
	"ropeway/internal/files"
)

// maxVaultMessage is what Vault signs unless it is told otherwise (max_json_string_value_length is 1 MiB, and base64 takes a third more), in bytes.
const maxVaultMessage = 768 << 10

// A vaultKey is in the transit engine of a Vault.
type vaultKey struct {
	reference
	service
}

func openVault(ctx context.Context, r reference) (ed25519.PublicKey, key, error) {
	k := vaultKey{reference: r}
	if err := k.find(ctx); err != nil {
		return nil, nil, err
	}
	var answer struct {
		Data struct {
			Type    string `json:"type"`
			Derived bool   `json:"derived"`
			Latest  int    `json:"latest_version"`
			Keys    map[string]struct {
				Public string `json:"public_key"` // base64; of other types PEM
			} `json:"keys"`
		} `json:"data"`
	}
	if err := k.call(http.MethodGet, "/v1/"+r.mount+"/keys/"+r.name, nil, &answer); err != nil {
		return nil, nil, errors.Join(err, k.Close())
	}
	if answer.Data.Type != "ed25519" || answer.Data.Derived {
		return nil, nil, errors.Join(hinted(codeUnusable, k.String(), "it is of the type "+diag.Quote(answer.Data.Type)+", or derived, and no plain Ed25519 key",
			"make one: vault write -f "+r.mount+"/keys/NAME type=ed25519"), k.Close())
	}
	if k.version == 0 {
		k.version = answer.Data.Latest
	}
	public, err := base64.StdEncoding.DecodeString(answer.Data.Keys[strconv.Itoa(k.version)].Public)
	if err != nil || len(public) != ed25519.PublicKeySize {
		return nil, nil, errors.Join(hinted(codeUnusable, k.String(), fmt.Sprintf("Vault has no version %d of it any more, or not yet", k.version),
			"vault read "+r.mount+"/keys/"+r.name+" shows which there are"), k.Close())
	}
	return public, &k, nil
}

// find learns where Vault is and who asks, from where Vault's own command does.
func (k *vaultKey) find(ctx context.Context) error {
	address, token := os.Getenv("VAULT_ADDR"), os.Getenv("VAULT_TOKEN")
	if address == "" {
		return hinted(codeAway, k.String(), "VAULT_ADDR is not set", "set it to https://HOST:8200")
	}
	if token == "" {
		var err error
		if token, err = k.helped(); err != nil {
			return err
		}
	}
	header := http.Header{"X-Vault-Token": {token}, "X-Vault-Request": {"true"}}
	if namespace := os.Getenv("VAULT_NAMESPACE"); namespace != "" {
		header.Set("X-Vault-Namespace", namespace)
	}
	var err error
	k.service, err = newService(ctx, k.String(), address, os.Getenv("VAULT_CACERT"), header)
	return err
}

// helped reads the token that `vault login` left.
func (k *vaultKey) helped() (string, error) {
	home, err := os.UserHomeDir()
	if err != nil {
		return "", problem(codeAway, k.String(), err.Error())
	}
	text, err := files.ReadSecret(filepath.Join(home, ".vault-token"), 64<<10)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", hinted(codeAway, k.String(), "nobody is logged in to Vault", "vault login, or set VAULT_TOKEN")
	case err != nil:
		return "", problem(codeUnusable, k.String(), err.Error())
	}
	defer clear(text)
	return strings.TrimSpace(string(text)), nil
}

func (k *vaultKey) sign(message []byte) ([]byte, error) {
	if len(message) > maxVaultMessage {
		return nil, problem(codeTooLarge, k.String(), fmt.Sprintf("Vault signs %d bytes at most, and it is %d", maxVaultMessage, len(message)))
	}
	ask := struct {
		Input   []byte `json:"input"`
		Version int    `json:"key_version"`
	}{message, k.version}
	var answer struct {
		Data struct {
			Signature string `json:"signature"`
		} `json:"data"`
	}
	if err := k.call(http.MethodPost, "/v1/"+k.mount+"/sign/"+k.name, ask, &answer); err != nil {
		return nil, err
	}
	text, ok := strings.CutPrefix(answer.Data.Signature, fmt.Sprintf("vault:v%d:", k.version))
	signature, err := base64.StdEncoding.DecodeString(text)
	if !ok || err != nil {
		return nil, problem(codeAnswer, k.String(), "Vault's answer is no signature of that version")
	}
	return signature, nil
}
