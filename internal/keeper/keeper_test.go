package keeper

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"io"
	"net/url"
	"strings"
	"testing"

	"filippo.io/age"
	"gocloud.dev/secrets"
	"gocloud.dev/secrets/localsecrets"

	"ropeway/internal/diag"
	"ropeway/internal/vaulttest"
)

var vault = flag.Bool("vault", false, "speak to a real Vault, which takes a quarter of an hour to build once")

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// local is a key of this process's, which no flag can name: on a command line everybody would see it.
func local(t testing.TB) *Keeper {
	t.Helper()
	key, err := localsecrets.NewRandomKey()
	must(t, err)
	u := &url.URL{Scheme: "base64key", Host: "local"}
	return &Keeper{u, func(context.Context, *url.URL) (*secrets.Keeper, func(), error) {
		return localsecrets.NewKeeper(key), func() {}, nil
	}}
}

func encrypt(t testing.TB, text string, to ...age.Recipient) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := age.Encrypt(&out, to...)
	must(t, err)
	_, err = io.WriteString(w, text)
	must(t, errors.Join(err, w.Close()))
	return out.Bytes()
}

func decrypt(file []byte, with ...age.Identity) (string, error) {
	r, err := age.Decrypt(bytes.NewReader(file), with...)
	if err != nil {
		return "", err
	}
	text, err := io.ReadAll(r)
	return string(text), err
}

// holds sees to it that a keeper's files are read with it, and with nothing else.
func holds(t testing.TB, k *Keeper) []byte {
	t.Helper()
	file := encrypt(t, "the authority", k)
	if got, err := decrypt(file, k); err != nil || got != "the authority" {
		t.Errorf("%q, %v", got, err)
	}
	other, err := age.GenerateX25519Identity()
	must(t, err)
	both := encrypt(t, "for two", other.Recipient(), k)
	for _, with := range []age.Identity{k, other} {
		if got, err := decrypt(both, with); err != nil || got != "for two" {
			t.Errorf("with %T: %q, %v", with, got, err)
		}
	}
	var foreign *age.NoIdentityMatchError
	if _, err := decrypt(encrypt(t, "x", other.Recipient()), k); !errors.As(err, &foreign) {
		t.Errorf("a file for others: %v", err)
	}
	return file
}

func TestLocal(t *testing.T) {
	k := local(t)
	file := holds(t, k)
	end := bytes.Index(file, []byte("\n---"))
	for at := range end {
		bad := bytes.Clone(file)
		bad[at] ^= 1
		if got, err := decrypt(bad, k); err == nil {
			t.Fatalf("changed at %d of the header: %q", at, got)
		}
	}
	if got, err := decrypt(file, local(t)); err == nil {
		t.Errorf("another key reads %q", got)
	}
}

func TestAddresses(t *testing.T) {
	for _, address := range []string{
		"awskms:///arn:aws:kms:us-east-2:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab?region=us-east-2", "awskms://alias/backups?region=eu-west-1",
		"gcpkms://projects/p/locations/l/keyRings/r/cryptoKeys/k", "azurekeyvault://v.vault.azure.net/keys/k", "hashivault://backups?engine=transit",
	} {
		if _, err := New(address); err != nil {
			t.Errorf("%s: %v", address, err)
		}
	}
	for _, address := range []string{"", "awskms", "awskms://", "age1abc", "https://x", "base64key://c2VjcmV0", "hashivault://ada:secret@x", "%://", "file:///x"} {
		if _, err := New(address); !errors.Is(err, ErrURL) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: %v", address, err)
		}
	}
}

// away sees to it that a KMS that does not do its part is named, in its own words, and that a backup is neither made nor read.
func away(t *testing.T, what string, k *Keeper, file []byte, word string) {
	t.Helper()
	_, wrapped := k.Wrap(make([]byte, 16))
	_, read := decrypt(file, k)
	for _, err := range []error{wrapped, read} {
		var p diag.Problem
		if !errors.As(err, &p) || p.Code != "RW7235" || !strings.Contains(p.Message, word) || strings.ContainsAny(p.Message, "\n\x1b") {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func newKeeper(t testing.TB, address string) *Keeper {
	t.Helper()
	k, err := New(address)
	must(t, err)
	return k
}

// A real Vault.
func TestVault(t *testing.T) {
	if !*vault {
		t.Skip("go test -vault")
	}
	v := vaulttest.Start(t)
	v.Run(t, "write", "-f", "transit/keys/backups")
	v.Run(t, "write", "-f", "transit/keys/others")
	k := newKeeper(t, "hashivault://backups")
	file := holds(t, k)
	v.Run(t, "write", "-f", "transit/keys/backups/rotate")
	if got, err := decrypt(file, k); err != nil || got != "the authority" {
		t.Errorf("after a rotation: %q, %v", got, err)
	}
	var foreign *age.NoIdentityMatchError
	if _, err := decrypt(file, newKeeper(t, "hashivault://others")); !errors.As(err, &foreign) {
		t.Errorf("another key: %v", err)
	}
	bad := bytes.Clone(file)
	bad[bytes.Index(bad, []byte("hashivault\n"))+30] ^= 1
	if _, err := decrypt(bad, k); !errors.As(err, &foreign) {
		t.Errorf("a changed stanza: %v", err)
	}

	// Who may encrypt and not decrypt, as a controller should.
	v.Write(t, "policy", "write", "controller", `path "transit/encrypt/backups" { capabilities = ["update"] }`)
	t.Setenv("VAULT_TOKEN", strings.TrimSpace(v.Run(t, "token", "create", "-policy=controller", "-field=token")))
	made := encrypt(t, "by a controller", k)
	if _, err := decrypt(made, k); err == nil || !strings.Contains(err.Error(), "RW7235") || !strings.Contains(err.Error(), "permission denied") {
		t.Errorf("a controller reads its backup: %v", err)
	}
	t.Setenv("VAULT_TOKEN", "canary")
	away(t, "a stranger", k, file, "permission denied")
	t.Setenv("VAULT_ADDR", "http://vault.example.net")
	away(t, "in clear", k, file, "https")
	t.Setenv("VAULT_ADDR", "http://127.0.0.1:1")
	away(t, "away", k, file, "refused")
}
