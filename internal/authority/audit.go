package authority

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/sha256"
	"fmt"
)

// auditInfo separates the key of the audit log from all else that could ever be derived from the certificate authority's (RFC 5869, section 3.2).
const auditInfo = "ropeway audit log v1"

// AuditSigner returns what signs the checkpoints of the audit log: an Ed25519 key that is derived from the certificate authority's.
//
// It is not the key that signs plans, which may be kept out of the controllers' reach, while every one of them signs a checkpoint with every
// entry. It is no file of its own either: whoever has the certificate authority can be anybody and so can write any entry, so a key that
// follows from it gives nobody more than he has; every controller that shares the authority has it; and nothing more has to be copied, backed up or lost.
func (a *Authority) AuditSigner() (crypto.Signer, error) {
	k, ok := a.issuer.open().(*ecdsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("derive the key of the audit log: the certificate authority's does not show itself")
	}
	secret, err := k.Bytes()
	if err != nil {
		return nil, fmt.Errorf("derive the key of the audit log: %w", err)
	}
	defer clear(secret)
	seed, err := hkdf.Key(sha256.New, secret, nil, auditInfo, ed25519.SeedSize)
	if err != nil {
		return nil, fmt.Errorf("derive the key of the audit log: %w", err)
	}
	defer clear(seed)
	return seal(ed25519.NewKeyFromSeed(seed)), nil
}
