// Package signer signs with a key that no controller has.
//
// A reference says where the key is: in a file, with an SSH agent, or in a KMS.
//
//	file:PATH                                  PKCS #8 or OpenSSH, of mode 0600
//	ssh-agent:                                 the only Ed25519 key of the agent at SSH_AUTH_SOCK
//	ssh-agent:SHA256:…   ssh-agent:COMMENT     one of several
//	vault:MOUNT/KEY?version=N                  the transit engine of the Vault at VAULT_ADDR; the newest version unless said
//	awskms:KEY?region=REGION                   an id, ARN or alias of AWS
//	gcpkms:projects/…/cryptoKeyVersions/N      Google Cloud
//
// All sign with plain Ed25519 (RFC 8032), so a signature is the same wherever its key is, and whoever verifies it need not know. Which key it is is settled
// when it is opened: a version of Vault's is named in every request, and no signature leaves this package that is not one of the public key that was
// read. Keys of an SSH agent also log in; what is signed here is to begin with words of its own, as no message of SSH's does.
//
// What is signed travels whole, and services bound it: MaxMessage bytes are taken by all of them.
package signer

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"errors"
	"io"

	"ropeway/internal/plankey"
)

// MaxMessage is what every signer takes, in bytes. AWS takes no more; an SSH agent takes 255 KiB, Vault 768 KiB, and a file anything.
const MaxMessage = 4096

// A Signer is one Ed25519 key, and a crypto.Signer. Requests end with the context that it was opened with.
type Signer struct {
	name   string
	public ed25519.PublicKey
	key    key
}

// A key is where the private half is.
type key interface {
	sign(message []byte) ([]byte, error)
	io.Closer
}

// Ask asks a person for a passphrase; prompt says what for.
type Ask func(prompt string) ([]byte, error)

// Open finds the key that a reference names, and asks for its public half. Ask may be nil where there is nobody to ask.
func Open(ctx context.Context, ref string, ask Ask) (*Signer, error) {
	r, err := parse(ref)
	if err != nil {
		return nil, err
	}
	s := &Signer{name: r.String()}
	switch r.kind {
	case inFile:
		s.public, s.key, err = openFile(r, ask)
	case inAgent:
		s.public, s.key, err = openAgent(ctx, r)
	case inVault:
		s.public, s.key, err = openVault(ctx, r)
	case inAWS:
		s.public, s.key, err = openAWS(ctx, r)
	case inGCP:
		s.public, s.key, err = openGCP(ctx, r, gcpAddress)
	}
	if err != nil {
		return nil, err
	}
	return s, nil
}

// String names the key: the reference, which holds nothing secret, and the fingerprint.
func (s *Signer) String() string { return s.name + " (" + plankey.Fingerprint(s.public) + ")" }

// Public returns an ed25519.PublicKey.
func (s *Signer) Public() crypto.PublicKey { return s.public }

// Sign signs a message itself, so opts are those of no hash: crypto.Hash(0). No random bytes are read.
func (s *Signer) Sign(_ io.Reader, message []byte, opts crypto.SignerOpts) ([]byte, error) {
	if opts.HashFunc() != 0 {
		return nil, errors.New("sign: Ed25519 takes the message, and no hash of it")
	}
	signature, err := s.key.sign(message)
	if err != nil {
		return nil, err // names the key
	}
	if len(signature) != ed25519.SignatureSize || !ed25519.Verify(s.public, message, signature) {
		return nil, problem(codeAnswer, s.name, "the answer is no signature of the key "+plankey.Fingerprint(s.public))
	}
	return signature, nil
}

// Close ends what Open began, and forgets the key.
func (s *Signer) Close() error { return s.key.Close() }
