package authority

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"

	"ropeway/internal/files"
)

// KeepElsewhere has the authority that will be made in a directory sign no plans: whoever has the private half of the key does. Where there is an
// authority already that follows this very key, nothing is done; one that follows another is refused, since gateways have pinned that.
func KeepElsewhere(dir string, public ed25519.PublicKey) error {
	if len(public) != ed25519.PublicKeySize {
		return fmt.Errorf("keep the key that signs plans elsewhere: it is no key of Ed25519")
	}
	d, err := files.MakeSecrets(dir)
	if err != nil {
		return refused(dir, err)
	}
	s := store{d, dir}
	defer func() { _ = d.Close() }()
	if err := d.Lock(); err != nil {
		return refused(dir, err)
	}
	signer, there, err := s.planKey()
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return err
	case signer.open != nil:
		return problem(codeForeign, d.Path(signKeyFile), "is there: this authority signs plans itself, and gateways have pinned its key")
	case !there.Equal(public):
		return problem(codeForeign, d.Path(signPubFile), "is another key, which gateways have pinned")
	default:
		return nil
	}
	return s.putPublicKey(public)
}

// planKey returns the key that signs plans: both halves, or the public one where the other is kept elsewhere. The error is fs.ErrNotExist where there is
// neither.
func (s store) planKey() (signer sealed, public ed25519.PublicKey, err error) {
	public, err = s.publicKey()
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return sealed{}, nil, err
	}
	signer, err = s.key(signKeyFile)
	switch {
	case public != nil && errors.Is(err, fs.ErrNotExist):
		return sealed{}, public, nil
	case err != nil:
		return sealed{}, nil, err
	}
	own, ok := signer.Public().(ed25519.PublicKey)
	switch {
	case !ok:
		return sealed{}, nil, problem(codeDamaged, s.dir.Path(signKeyFile), "is not of Ed25519")
	case public != nil && !public.Equal(own):
		return sealed{}, nil, problem(codeDamaged, s.dir.Path(signPubFile), "is not the public half of "+signKeyFile)
	}
	return signer, own, nil
}

func (s store) publicKey() (ed25519.PublicKey, error) {
	der, err := s.block(signPubFile, publicBlock)
	if err != nil {
		return nil, err
	}
	parsed, err := x509.ParsePKIXPublicKey(der)
	public, ok := parsed.(ed25519.PublicKey)
	if err != nil || !ok {
		return nil, problem(codeDamaged, s.dir.Path(signPubFile), "does not hold a public key of Ed25519")
	}
	return public, nil
}

// ensurePlanKey makes a key that signs plans where none is there and none is kept elsewhere.
func (s store) ensurePlanKey() error {
	if _, err := s.publicKey(); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	_, err := s.ensure(signKeyFile, func() (crypto.Signer, error) {
		_, k, err := ed25519.GenerateKey(rand.Reader)
		return k, err
	})
	return err
}

// TakeOut moves the key that signs plans out of an authority's directory into a file of its own, PKCS #8 in PEM with mode 0600, and leaves its public half.
// What gateways have pinned stays good. Where several controllers share the authority it is done on each, with a file that holds the same key or is not
// there yet. The key is in at least one place at every moment, so what was cut short can be done again.
func TakeOut(dir, file string) (ed25519.PublicKey, error) {
	d, err := files.OpenSecrets(dir)
	if err != nil {
		return nil, refused(dir, err)
	}
	s := store{d, dir}
	defer func() { _ = d.Close() }()
	if err := d.Lock(); err != nil {
		return nil, refused(dir, err)
	}
	signer, public, err := s.planKey()
	switch {
	case err != nil:
		return nil, fmt.Errorf("take the key that signs plans out of %s: %w", dir, err)
	case signer.open == nil: // it is elsewhere
		return public, nil
	}
	text, err := d.Read(signKeyFile, maxFile)
	if err != nil {
		return nil, refused(dir, err)
	}
	defer clear(text)
	if err := writeOnce(file, text); err != nil {
		return nil, err
	}
	if err := s.putPublicKey(public); err != nil {
		return nil, err
	}
	if err := d.Remove(signKeyFile); err != nil {
		return nil, refused(dir, err)
	}
	return public, nil
}

// writeOnce makes a file, or accepts one that holds the same.
func writeOnce(file string, text []byte) error {
	err := files.Create(file, text, 0o600)
	if errors.Is(err, fs.ErrExist) {
		there, readErr := files.Read(file, maxFile)
		defer clear(there)
		if readErr == nil && string(there) == string(text) {
			return nil
		}
	}
	if err != nil {
		return fmt.Errorf("write the key that signs plans to %s: %w", file, err)
	}
	return nil
}

func (s store) putPublicKey(public ed25519.PublicKey) error {
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return fmt.Errorf("encode the key that signs plans: %w", err)
	}
	return put(s.dir, signPubFile, pem.EncodeToMemory(&pem.Block{Type: publicBlock, Bytes: der}))
}
