package authority

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"ropeway/internal/diag"
	"ropeway/internal/files"
)

// maxAbove bounds how many certificates an authority has from elsewhere: its own from there, and those above it.
const maxAbove = 4

// TakeCA has the authority that will be made in a directory use the key of a CA from elsewhere, such as an intermediate of a company's. certFile holds the
// CA's certificate and those above it, in this order; keyFile its key, with mode 0600.
//
// To Ropeway's own clients that changes nothing: they pin the key, and believe the certificate that the authority signs for itself, with its own limits.
// What a company's root says of the key (that it is good, until when, or that it is revoked) counts for nothing here. The certificates from elsewhere are
// shown beside that one, for whoever believes the root and knows no pin. Both bear the same subject, which has to name the fabric: so the CA was made for
// this and nothing else. Whoever has the key elsewhere can be anybody in the fabric.
func TakeCA(dir, name, certFile, keyFile string, now time.Time) error {
	above, err := readAbove(certFile, name, now)
	if err != nil {
		return err
	}
	key, err := readCAKey(keyFile)
	if err != nil {
		return err
	}
	if !key.PublicKey.Equal(above[0].PublicKey) {
		return problem(codeTaken, keyFile, "is not the key of the first certificate of "+diag.Quote(certFile))
	}
	d, err := files.MakeSecrets(dir)
	if err != nil {
		return refused(dir, err)
	}
	defer func() { _ = d.Close() }()
	if Exists(dir) {
		return problem(codeForeign, d.Path(caFile), "is there already: clients have pinned the key of this authority")
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return fmt.Errorf("encode %s: %w", caKeyFile, err)
	}
	defer clear(der)
	text := pem.EncodeToMemory(&pem.Block{Type: keyBlock, Bytes: der})
	defer clear(text)
	if err := put(d, chainFile, encodeAbove(above)); err != nil { // first: without it the key would be taken for one that is ours alone
		return err
	}
	return put(d, caKeyFile, text)
}

// readAbove reads the certificates of a CA, and refuses one that is not for this.
func readAbove(file, name string, now time.Time) ([]*x509.Certificate, error) {
	text, err := files.Read(file, maxFile)
	if err != nil {
		return nil, problem(codeTaken, file, "cannot be read: "+err.Error())
	}
	above := parseAbove(text)
	if above == nil {
		return nil, problem(codeTaken, file, fmt.Sprintf("does not hold 1 to %d certificates in PEM, each signed by the next, and nothing else", maxAbove))
	}
	c := above[0]
	switch {
	case !isP256(c.PublicKey):
		return nil, problem(codeTaken, file, "is of a key that is not ECDSA P-256")
	case !c.BasicConstraintsValid || !c.IsCA || !c.MaxPathLenZero || c.KeyUsage&x509.KeyUsageCertSign == 0:
		return nil, problem(codeTaken, file, "is not the certificate of a CA that signs no further one (basicConstraints CA:TRUE, pathlen:0; keyUsage keyCertSign)")
	case c.Subject.CommonName != commonName(name):
		return nil, problem(codeTaken, file, fmt.Sprintf("is that of %s; the one for this fabric has the common name %q", diag.Quote(c.Subject.CommonName), commonName(name)))
	case len(c.UnhandledCriticalExtensions) > 0 || !serves(c):
		return nil, problem(codeTaken, file, "is for other ends than servers, or has critical extensions that nobody here knows")
	case now.Before(c.NotBefore) || now.After(c.NotAfter):
		return nil, problem(codeTaken, file, fmt.Sprintf("is valid from %s to %s", c.NotBefore.UTC().Format(time.DateOnly), c.NotAfter.UTC().Format(time.DateOnly)))
	}
	return above, nil
}

func serves(c *x509.Certificate) bool {
	return len(c.ExtKeyUsage)+len(c.UnknownExtKeyUsage) == 0 || slices.Contains(c.ExtKeyUsage, x509.ExtKeyUsageServerAuth) || slices.Contains(c.ExtKeyUsage, x509.ExtKeyUsageAny)
}

// parseAbove returns nil for what is no chain.
func parseAbove(text []byte) (above []*x509.Certificate) {
	for rest := text; len(bytes.TrimSpace(rest)) > 0; {
		var block *pem.Block
		block, rest = pem.Decode(bytes.TrimSpace(rest))
		if block == nil || block.Type != certificateBlock || len(above) == maxAbove {
			return nil
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil || len(above) > 0 && above[len(above)-1].CheckSignatureFrom(c) != nil {
			return nil
		}
		above = append(above, c)
	}
	return above
}

func encodeAbove(above []*x509.Certificate) (text []byte) {
	for _, c := range above {
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: certificateBlock, Bytes: c.Raw})...)
	}
	return text
}

// readCAKey reads a key as OpenSSL writes it. No error repeats what the file holds.
func readCAKey(file string) (*ecdsa.PrivateKey, error) {
	text, err := files.ReadSecret(file, maxFile)
	if err != nil {
		return nil, problem(codeTaken, file, "cannot be used: "+err.Error())
	}
	defer clear(text)
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, problem(codeTaken, file, "holds no key in PEM")
	}
	defer clear(block.Bytes)
	if parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes); err == nil {
		if k, ok := parsed.(*ecdsa.PrivateKey); ok && isP256(k.Public()) {
			return k, nil
		}
	}
	if k, err := x509.ParseECPrivateKey(block.Bytes); err == nil && isP256(k.Public()) {
		return k, nil
	}
	return nil, problem(codeTaken, file, "holds no key of ECDSA P-256 without a passphrase")
}

// above reads the certificates that were taken; there are none where the authority is its own.
func (s store) above() ([]*x509.Certificate, error) {
	text, err := s.dir.Read(chainFile, maxFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil && !errors.Is(err, files.ErrTooLarge) {
		return nil, refused(s.path, err)
	}
	above := parseAbove(text)
	if above == nil {
		return nil, problem(codeDamaged, s.dir.Path(chainFile), "does not hold certificates, each signed by the next")
	}
	return above, nil
}

// same refuses a certificate of the authority's own that is of another key or another name than the one from elsewhere.
func (s store) same(own *x509.Certificate, above []*x509.Certificate) error {
	if len(above) > 0 && (!bytes.Equal(own.RawSubject, above[0].RawSubject) || !bytes.Equal(own.RawSubjectPublicKeyInfo, above[0].RawSubjectPublicKeyInfo)) {
		return problem(codeDamaged, s.dir.Path(chainFile), "is not of the same authority as "+caFile)
	}
	return nil
}

// chain is what a controller shows after its own certificate: what was taken, for those who believe a root of theirs, and last the certificate that clients of
// Ropeway's believe. Nobody has to be shown a root.
func (a *Authority) chain() (shown [][]byte) {
	for _, c := range a.above {
		if !bytes.Equal(c.RawSubject, c.RawIssuer) {
			shown = append(shown, c.Raw)
		}
	}
	return append(shown, a.certificate.Raw)
}
