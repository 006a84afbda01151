// Package authority is what a controller is trusted for: a certificate authority, which says who somebody is, and a key that signs plans.
//
// Both are in one directory, made at the first start: ca.key and ca.crt (ECDSA P-256), and sign.key (Ed25519), kept as files.Secrets keeps
// them. ca.crt is written last, so where it is, the others are, and nothing is ever made again in their place: a new ca.key would be an
// authority that no client pinned, a new sign.key one that no gateway follows. Before it is there, what a start that was cut short has
// left is used, and so is a key that somebody put there himself. Two controllers that start at once have the same.
//
// The authority signs no further authority, and nothing but certificates for one end of a TLS connection. Private keys are sealed: they
// sign, and do not print, marshal or leave the package, but in a Bundle: all controllers of a fabric are one authority, so each of them has the same
// directory. To each other they show a certificate that nobody else gets (Peer).
//
// The key that signs plans may be kept elsewhere, with an operator or a KMS: then sign.pub stands in the place of sign.key, put there before the
// authority is made (KeepElsewhere), and whoever takes over a controller cannot sign.
//
// The key of the certificate authority may come from elsewhere (TakeCA). Then ca-chain.crt holds what is said of it there.
package authority

import (
	"crypto"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"ropeway/internal/fabric"
	"ropeway/internal/files"
	"ropeway/internal/pin"
)

// An Authority is that of one fabric, or of one cluster of controllers.
type Authority struct {
	certificate *x509.Certificate
	issuer      sealed // of certificates
	signer      sealed // of plans; zero where the key is kept elsewhere
	planKey     ed25519.PublicKey
	above       []*x509.Certificate // of the same key, from elsewhere, and of those above it (TakeCA)
}

// Open makes the authority in a directory where there is none, and returns it. The name is that of its fabric or cluster, a DNS label; the
// authority of another one is refused.
func Open(dir, name string, now time.Time) (*Authority, error) {
	if !fabric.ValidName(name) {
		return nil, fmt.Errorf("open an authority: its name is a DNS label")
	}
	d, err := files.MakeSecrets(dir)
	if err != nil {
		return nil, refused(dir, err)
	}
	s := store{d, dir}
	defer func() { _ = d.Close() }()
	a, err := s.load(name, now)
	if !errors.Is(err, fs.ErrNotExist) {
		return a, err
	}
	if err := s.make(name, now); err != nil {
		return nil, err
	}
	return s.load(name, now) // what is on disk, whoever was first
}

// Pin returns what clients know of the authority beforehand.
func (a *Authority) Pin() [sha256.Size]byte { return pin.Of(a.certificate) }

// Certificate returns the authority's certificate. Nobody changes it.
func (a *Authority) Certificate() *x509.Certificate { return a.certificate }

// Signer returns what signs plans (package grant), and nil where the key is kept elsewhere.
func (a *Authority) Signer() crypto.Signer {
	if a.signer.open == nil {
		return nil
	}
	return a.signer
}

// PublicKey returns what gateways pin to know signed plans.
func (a *Authority) PublicKey() ed25519.PublicKey { return a.planKey }
