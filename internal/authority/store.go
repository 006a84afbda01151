package authority

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"ropeway/internal/files"
)

const (
	signKeyFile = "sign.key"
	signPubFile = "sign.pub" // in its place where the key is kept elsewhere
	caKeyFile   = "ca.key"
	caFile      = "ca.crt"
	chainFile   = "ca-chain.crt" // beside it where the key was taken from elsewhere
	maxFile     = 16 << 10       // a key or a certificate of any usual kind is smaller

	keyBlock         = "PRIVATE KEY" // PKCS #8 (RFC 7468, section 10)
	publicBlock      = "PUBLIC KEY"  // SubjectPublicKeyInfo (RFC 7468, section 13)
	certificateBlock = "CERTIFICATE"
)

// A store is the open directory of an authority.
type store struct {
	dir  *files.Secrets
	path string
}

// make writes what is missing, the certificate last.
func (s store) make(name string, now time.Time) error {
	if err := s.dir.Lock(); err != nil {
		return refused(s.path, err)
	}
	if _, err := s.dir.Read(caFile, maxFile); !errors.Is(err, fs.ErrNotExist) {
		return nil // somebody else was first; load says what is wrong with it, if anything is
	}
	if err := s.ensurePlanKey(); err != nil {
		return err
	}
	above, err := s.above()
	if err != nil {
		return err
	}
	if _, err := s.key(caKeyFile); above != nil && errors.Is(err, fs.ErrNotExist) {
		return problem(codeDamaged, s.dir.Path(caKeyFile), "is missing, and "+chainFile+" is there")
	}
	issuer, err := s.ensure(caKeyFile, func() (crypto.Signer, error) { return ecdsa.GenerateKey(elliptic.P256(), rand.Reader) })
	if err != nil {
		return err
	}
	if !isP256(issuer.Public()) {
		return problem(codeDamaged, s.dir.Path(caKeyFile), "is not of ECDSA P-256")
	}
	der, err := selfSigned(issuer, name, above, now)
	if err != nil {
		return err
	}
	if err := s.dir.Create(caFile, pem.EncodeToMemory(&pem.Block{Type: certificateBlock, Bytes: der})); err != nil {
		return refused(s.path, err)
	}
	return nil
}

// ensure returns the key of a file, and makes it where there is none.
func (s store) ensure(file string, generate func() (crypto.Signer, error)) (sealed, error) {
	k, err := s.key(file)
	if !errors.Is(err, fs.ErrNotExist) {
		return k, err
	}
	made, err := generate()
	if err != nil {
		return sealed{}, fmt.Errorf("make %s: %w", file, err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(made)
	if err != nil {
		return sealed{}, fmt.Errorf("encode %s: %w", file, err)
	}
	defer clear(der)
	text := pem.EncodeToMemory(&pem.Block{Type: keyBlock, Bytes: der})
	defer clear(text)
	if err := s.dir.Create(file, text); err != nil {
		return sealed{}, refused(s.path, err)
	}
	return s.key(file)
}

// key reads a private key. The error is fs.ErrNotExist where there is none.
func (s store) key(file string) (sealed, error) {
	der, err := s.block(file, keyBlock)
	if err != nil {
		return sealed{}, err
	}
	defer clear(der)
	parsed, err := x509.ParsePKCS8PrivateKey(der)
	k, ok := parsed.(crypto.Signer)
	if err != nil || !ok {
		return sealed{}, problem(codeDamaged, s.dir.Path(file), "does not hold a private key in PKCS #8") // never its content
	}
	return seal(k), nil
}

// block returns what the one PEM block of a file holds.
func (s store) block(file, kind string) ([]byte, error) {
	data, err := s.dir.Read(file, maxFile)
	if err != nil && !errors.Is(err, files.ErrTooLarge) { // which is no such block
		return nil, refused(s.path, err)
	}
	defer clear(data)
	block, rest := pem.Decode(data)
	if block == nil || block.Type != kind || len(bytes.TrimSpace(rest)) != 0 {
		return nil, problem(codeDamaged, s.dir.Path(file), "is not one PEM block of the type "+kind)
	}
	return block.Bytes, nil
}

func isP256(public crypto.PublicKey) bool {
	k, ok := public.(*ecdsa.PublicKey)
	return ok && k.Curve == elliptic.P256()
}
