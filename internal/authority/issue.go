package authority

import (
	"crypto"
	"crypto/ed25519"
	"crypto/x509"
	"fmt"
	"time"

	"ropeway/internal/role"
)

// maxRequest bounds a CSR, in bytes: a key and a name take a few hundred.
const maxRequest = 16 << 10

// Issue returns a certificate for the identity, and its issuer's, for the key of a PKCS #10 request (RFC 2986) in DER. The request shows
// that whoever made it has the private key. Nothing else in it counts: names, extensions and validity are the authority's to say. It is
// for clients only, and controllers are none.
func (a *Authority) Issue(csrDER []byte, id role.Identity, now time.Time, life time.Duration) (chain [][]byte, notAfter time.Time, err error) {
	if !id.Valid() || id.Role == role.Controller {
		return nil, time.Time{}, fmt.Errorf("issue a certificate: %s is nobody who gets one", id)
	}
	public, err := requested(csrDER)
	if err != nil {
		return nil, time.Time{}, fmt.Errorf("issue a certificate for %s: %w", id, err)
	}
	leaf, err := a.sign(public, id, period{now, life}, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} })
	if err != nil {
		return nil, time.Time{}, fmt.Errorf("issue a certificate for %s: %w", id, err)
	}
	return [][]byte{leaf.Raw, a.certificate.Raw}, leaf.NotAfter, nil
}

// requested returns the public key of a request, whose kind is looked at before anything is calculated with it.
func requested(csrDER []byte) (crypto.PublicKey, error) {
	if len(csrDER) > maxRequest {
		return nil, fmt.Errorf("the request has more than %d bytes", maxRequest)
	}
	csr, err := x509.ParseCertificateRequest(csrDER)
	if err != nil {
		return nil, fmt.Errorf("read the request: %w", err)
	}
	if _, isEd25519 := csr.PublicKey.(ed25519.PublicKey); !isEd25519 && !isP256(csr.PublicKey) {
		return nil, fmt.Errorf("the key of the request is neither ECDSA P-256 nor Ed25519")
	}
	if err := csr.CheckSignature(); err != nil {
		return nil, fmt.Errorf("check the signature of the request: %w", err)
	}
	return csr.PublicKey, nil
}
