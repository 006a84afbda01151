package signer

import (
	"crypto/ed25519"
	"crypto/x509"
	"errors"
	"fmt"

	"golang.org/x/crypto/ssh"

	"ropeway/internal/diag"
	"ropeway/internal/files"
)

// maxKeyFile is more than a key takes in any form, in bytes.
const maxKeyFile = 64 << 10

// A fileKey is in memory while it is used.
type fileKey struct{ private ed25519.PrivateKey }

func (k fileKey) sign(message []byte) ([]byte, error) { return ed25519.Sign(k.private, message), nil }

func (k fileKey) Close() error {
	clear(k.private)
	return nil
}

// openFile reads a key. No error repeats what the file holds.
func openFile(r reference, ask Ask) (ed25519.PublicKey, key, error) {
	text, err := files.ReadSecret(r.name, maxKeyFile)
	if err != nil {
		return nil, nil, problem(codeUnusable, r.String(), err.Error())
	}
	defer clear(text)
	parsed, err := ssh.ParseRawPrivateKey(text)
	var locked *ssh.PassphraseMissingError
	if errors.As(err, &locked) {
		parsed, err = unlock(r, text, ask)
	}
	if err != nil {
		return nil, nil, notRead(r, err)
	}
	switch k := parsed.(type) {
	case ed25519.PrivateKey: // of PKCS #8
		return k.Public().(ed25519.PublicKey), fileKey{k}, nil
	case *ed25519.PrivateKey: // of OpenSSH
		return k.Public().(ed25519.PublicKey), fileKey{*k}, nil
	}
	return nil, nil, hinted(codeUnusable, r.String(), fmt.Sprintf("it is a %T, and no Ed25519 key", parsed), "make one: ssh-keygen -t ed25519 -f FILE")
}

// errNobody says that a passphrase is needed, and nobody there who could be asked.
var errNobody = errors.New("it has a passphrase, and there is nobody to ask")

// unlock asks for a passphrase, once. It is kept nowhere.
func unlock(r reference, text []byte, ask Ask) (any, error) {
	if ask == nil {
		return nil, errNobody
	}
	passphrase, err := ask("Passphrase of " + diag.Quote(r.name) + ": ")
	if err != nil {
		return nil, fmt.Errorf("ask for the passphrase of %s: %w", diag.Quote(r.name), err)
	}
	defer clear(passphrase)
	return ssh.ParseRawPrivateKeyWithPassphrase(text, passphrase)
}

func notRead(r reference, err error) error {
	switch {
	case errors.Is(err, errNobody):
		return hinted(codeUnusable, r.String(), err.Error(), "run it on a terminal, or put the key into an SSH agent: ssh-add FILE, and ssh-agent: as the reference")
	case errors.Is(err, x509.IncorrectPasswordError):
		return hinted(codeUnusable, r.String(), "the passphrase is wrong", "try again")
	}
	return hinted(codeUnusable, r.String(), "it holds no private key that can be read",
		"name a key of ssh-keygen -t ed25519, or of openssl genpkey -algorithm ed25519, which has no passphrase")
}
